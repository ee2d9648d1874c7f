"""What can be mended without guessing: a new index; an incomplete record cut off the tail, and what follows from that.

Every step looks at what is there and is on the disk before the next one begins, so that a repair that was killed at any
moment goes on when it is called again. Where records are appended, the index that names their keys is written first: until
they are all there it tells of more than the file holds, and its keys are believed for what the file does hold.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.dataset import index, irheader, layout, listing, manifest, recordio
from synthface.dataset.record_file import RecordFile, map_file, scan, swallowed, with_keys
from synthface.dataset.verify.findings import Report
from synthface.dataset.verify.structure import record_follows, right_index
from synthface.errors import InputError


def repair(path_rec: Path) -> list[str]:
    """Mends what can be mended; gives sentences of what was done. Raises OutputError where it may not write."""
    done: list[str] = []
    with files.writing(path_rec):
        _remove_leftovers(path_rec)
        if not _cut_tail(path_rec, done):
            return done
        file = _current(path_rec)
        if file is None:
            return done
        file = _append_header(path_rec, file, done)
        _trim_manifest(path_rec, file, done)
        _trim_list(path_rec, file, done)
        _mend_property(path_rec, file, done)
        if file.rebuilt:
            done.append(_write_index(path_rec, file.key_R.tolist(), file.offset_R.tolist()))
    return done


def _write_index(path_rec: Path, keys: Sequence[int], offsets: Sequence[int]) -> str:
    """Writes the `.idx` file; gives the sentence about it."""
    path = path_rec.with_suffix(".idx")
    files.write_text(path, index.text(keys, offsets))
    return f"wrote {path.name} with {len(keys):,} records"


def _remove_leftovers(path_rec: Path) -> None:
    """Temporary files of a repair that was killed."""
    names = (path_rec.with_suffix(".idx").name, path_rec.with_suffix(".lst").name, "property", manifest.NAME,
             path_rec.with_suffix(".parquet").name)  # fmt: skip
    for name in names:
        for leftover in path_rec.parent.glob(f".{name}.*.tmp"):
            leftover.unlink(missing_ok=True)


def _cut_tail(path_rec: Path, done: list[str]) -> bool:
    """Cuts an incomplete last record off; False where the records are damaged elsewhere and nothing can be done."""
    view = map_file(path_rec)
    found, damage = scan(view)
    if damage is None:
        return True
    if not damage.cut or record_follows(view, damage.offset):
        return False
    lost = len(view) - damage.offset
    _truncate(path_rec, damage.offset)
    done.append(f"cut {lost:,} bytes of an incomplete record off {path_rec.name}, behind {len(found):,} whole ones")
    return True


def _truncate(path: Path, size: int) -> None:
    """Shortens a file, on the disk."""
    os.truncate(path, size)
    with open(path, "rb+") as opened:
        os.fsync(opened.fileno())


def _append(path: Path, content: bytes) -> None:
    """Lengthens a file, on the disk."""
    with open(path, "ab") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _current(path_rec: Path) -> RecordFile | None:
    """The file with the keys of its index where that tells of all records, else with keys that are read off the records.

    An index may tell of records behind the end of the file: they are lost, or not yet appended. None where records
    begin inside of others: lengths are damaged, and nothing can be done.
    """
    scanned = with_keys(path_rec, scan(map_file(path_rec))[0], "repaired")
    told = right_index(path_rec, scanned, None, Report(str(path_rec)))
    if told is not None:
        return RecordFile(path_rec, told[0], (told[1], *told[2]), "")
    if len(swallowed(scanned)):
        return None
    try:
        key_R, offset_R = index.read(path_rec.with_suffix(".idx"))
    except (index.BadIndex, OSError):
        return scanned
    inside_R = offset_R < len(scanned.view)
    keys, offsets = key_R[inside_R], offset_R[inside_R]
    if len(keys) and len(np.unique(keys)) == len(keys) and np.array_equal(np.sort(offsets), scanned.offset_R):
        return scanned.renamed(keys.tolist(), offsets.tolist())
    return scanned


def _append_header(path_rec: Path, file: RecordFile, done: list[str]) -> RecordFile:
    """Identity and header records for pictures 1 … N in the order of people that have lost theirs."""
    headers = file.headers()
    parts = layout.sort_out(file.key_R, headers)
    row_N = parts.picture_N[np.argsort(file.key_R[parts.picture_N])]
    total = len(row_N)
    if parts.header is not None or not total or not np.array_equal(file.key_R[row_N], np.arange(1, total + 1)):
        return file
    ranges = _ranges(headers.label_R[row_N])
    special_R = layout.is_special(headers)
    end = int(file.offset_R[special_R].min(initial=len(file.view)))
    if ranges is None or (file.offset_R[row_N] >= end).any():
        return file
    keys, offsets, pieces, at = file.key_R[~special_R].tolist(), file.offset_R[~special_R].tolist(), [], end
    for key, label, id2 in layout.special_records(ranges, total):
        framed = recordio.encode(irheader.pack(label, key, b"", id2))
        keys.append(key)
        offsets.append(at)
        pieces.append(framed)
        at += len(framed)
    if end < len(file.view):
        if file.rebuilt:  # the keys of the pictures may not be told by the records that are cut off
            _write_index(path_rec, file.key_R.tolist(), file.offset_R.tolist())
        _truncate(path_rec, end)
    wrote = _write_index(path_rec, keys, offsets)
    _append(path_rec, b"".join(pieces))
    done += [f"wrote a header record at key 0 and identity records of {len(ranges):,} people", wrote]
    return with_keys(path_rec, scan(map_file(path_rec))[0], "").renamed(keys, offsets)


def _ranges(label_N: NDArray[np.float32]) -> list[tuple[int, int]] | None:
    """First and last + 1 key of each run of labels; None where a label has two runs or is no class number."""
    begins = np.flatnonzero(np.append(True, label_N[1:] != label_N[:-1]))
    first = label_N[begins]
    if len(np.unique(first)) != len(begins) or not (np.isfinite(first) & (first == np.floor(first))).all():
        return None
    bounds = np.append(begins, len(label_N)) + 1
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


def _picture_keys(file: RecordFile) -> NDArray[np.int64]:
    return file.key_R[layout.sort_out(file.key_R, file.headers()).picture_N]


def _trim_manifest(path_rec: Path, file: RecordFile, done: list[str]) -> None:
    """Leaves out the rows of pictures that were lost."""
    path = next((p for p in (path_rec.parent / manifest.NAME, path_rec.with_suffix(".parquet")) if p.exists()), None)
    if path is None:
        return
    try:
        table = manifest.read(path)
    except InputError:
        return
    kept_M = np.isin(table["key"].to_numpy(), key_N := _picture_keys(file))
    if kept_M.all() or int(kept_M.sum()) != len(key_N):
        return
    kept = table.filter(kept_M)
    with files.atomic_path(path) as temporary, manifest.ManifestWriter(temporary) as writer:
        writer.write_table({name: kept[name].combine_chunks() for name in manifest.COLUMNS})
    done.append(f"left {int((~kept_M).sum()):,} rows of lost pictures out of {path.name}")


def _trim_list(path_rec: Path, file: RecordFile, done: list[str]) -> None:
    """Leaves out the lines of pictures that were lost."""
    path = path_rec.with_suffix(".lst")
    if not path.exists():
        return
    try:
        told = listing.read(path)
    except InputError:
        return
    key_N = _picture_keys(file)
    kept_M = np.isin(np.array(told.keys, np.int64), key_N)
    numbered_anew = told.dialect == "face2rec2" and not kept_M[: int(kept_M.sum())].all()
    if kept_M.all() or int(kept_M.sum()) != len(key_N) or numbered_anew:
        return
    with open(path, "rb") as opened:
        lines = opened.readlines()
    files.write_bytes(path, b"".join(line for line, kept in zip(lines, kept_M, strict=True) if kept))
    done.append(f"left {int((~kept_M).sum()):,} lines of lost pictures out of {path.name}")


def _mend_property(path_rec: Path, file: RecordFile, done: list[str]) -> None:
    """The number of classes, where the records are whole and tell of fewer: people were lost from the tail."""
    try:
        told = layout.read_property(path_rec.parent)
    except InputError:
        return
    headers = file.headers()
    parts = layout.sort_out(file.key_R, headers)
    people = len(parts.identity_C)
    if told is None or people >= told.num_classes or not layout.complete(file.key_R, headers):
        return
    files.write_text(path_rec.parent / "property", layout.property_text(people, told.height, told.width))
    done.append(f"wrote {people:,} classes into property, where {told.num_classes:,} were")
