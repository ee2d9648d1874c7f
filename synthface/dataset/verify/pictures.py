"""All pictures of a dataset: decoding, sizes, checksums, duplicates, and the colour of skin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.dataset.record_file import map_file
from synthface.dataset.verify import pool
from synthface.dataset.verify.findings import Report
from synthface.dataset.verify.inspect import FATAL, GOOD, INSPECTED, inspect_many
from synthface.dataset.verify.structure import Structure
from synthface.devices import cores
from synthface.progress import Progress

_SLICE = 512
_ALONE = 1_024  # fewer pictures are looked at without starting processes
# a picture counts as coloured from this mean |red − blue| on, and as blue below this mean red − blue
_COLOURED, _BLUE = 8.0, -4.0
_LEAST_COLOURED, _LEAST_BLUE_SHARE = 8, 0.6


def check_pictures(structure: Structure, report: Report, workers: int | None) -> None:
    """Looks at every picture and adds what it finds to `report`."""
    if not len(structure.parts.picture_N):
        return
    seen = look(structure, workers)
    key_N = structure.key_N
    bad = np.flatnonzero(seen["state"] != GOOD)
    if len(bad):
        fatal = int((seen["state"] == FATAL).sum())
        report.add(
            "does not decode", "error", f"{len(bad):,} pictures cannot be decoded"
            + (f", {fatal:,} of them kill the decoder." if fatal else "."),
            "Remove or replace them.", count=len(bad), keys=key_N[bad],
        )  # fmt: skip
    if structure.expected_N is not None:
        wrong = np.flatnonzero(seen["crc32"].astype(np.int64) != structure.expected_N)
        if len(wrong):
            report.add(
                "checksum wrong", "error", f"{len(wrong):,} pictures have another CRC-32 than the manifest tells.",
                "Take another copy of the dataset.", count=len(wrong), keys=key_N[wrong],
            )  # fmt: skip
    good_N = seen["state"] == GOOD
    other = np.flatnonzero(good_N & ~seen["jpeg"])
    if len(other):
        report.add(
            "no JPEG", "note", f"{len(other):,} pictures are no JPEGs; MXNet reads PNG as well, other readers may not.",
            count=len(other), keys=key_N[other],
        )  # fmt: skip
    _check_sizes(structure, seen, good_N, report)
    _check_duplicates(structure, seen, report)
    _check_colour(seen[good_N], report)
    report.checked += ["pictures", "duplicates", "channels"]


def look(structure: Structure, workers: int | None) -> NDArray[np.void]:
    """INSPECTED rows of all pictures; those that killed a decoder have state FATAL."""
    row_N = structure.parts.picture_N
    file, headers = structure.file, structure.headers
    start_N = np.where(
        file.whole_R[row_N], file.offset_R[row_N] + 8 + headers.begin_R[row_N], -1 - file.offset_R[row_N]
    )
    start_N[headers.begin_R[row_N] < 0] = 0  # no header, no picture: the payload is empty
    length_N = headers.payload_R[row_N]
    order_N = np.argsort(file.offset_R[row_N], kind="stable")  # the disk is read from front to back
    place_N2 = np.stack([start_N, length_N], axis=1)[order_N]
    seen = np.zeros(len(row_N), INSPECTED)
    seen["state"] = FATAL
    total = len(row_N)
    with Progress(total, "images", "verifying") as progress:
        if total <= _ALONE or workers == 1:
            work = make_work(file.path, place_N2)
            for start in range(0, total, _SLICE):
                stop = min(start + _SLICE, total)
                seen[order_N[start:stop]] = work(start, stop)
                progress.update(stop - start)
            return seen
        crew = workers or cores()
        for start, stop, rows in pool.run(make_work, (file.path, place_N2), total, workers=crew, slice_size=_SLICE):
            if rows is not None:
                seen[order_N[start:stop]] = rows
            progress.update(stop - start)
    return seen


def make_work(path: Path, place_N2: NDArray[np.int64]) -> Callable[[int, int], NDArray[np.void]]:
    """The function that inspects pictures start … stop − 1 of (start, length) places in the file."""
    view = map_file(path)
    return lambda start, stop: inspect_many(view, place_N2[start:stop].tolist(), stop - start)


def _check_sizes(structure: Structure, seen: NDArray[np.void], good_N: NDArray[np.bool_], report: Report) -> None:
    if not good_N.any():
        return
    told = structure.stated
    size_N2 = np.stack([seen["height"], seen["width"]], axis=1)
    first = size_N2[np.argmax(good_N)]
    height, width = (told.height, told.width) if told else (int(first[0]), int(first[1]))
    report.height, report.width = height, width
    differ = np.flatnonzero(good_N & (size_N2 != (height, width)).any(axis=1))
    if len(differ):
        one = size_N2[differ[0]]
        report.add(
            "size differs", "error", f"{len(differ):,} pictures are not {width} × {height} pixels as "
            f"{'`property` tells' if told else 'the first one'}, but {one[1]} × {one[0]} for example.",
            "Crop or resize them, or mend `property`.", count=len(differ), keys=structure.key_N[differ],
        )  # fmt: skip


def _check_duplicates(structure: Structure, seen: NDArray[np.void], report: Report) -> None:
    """The same bytes twice; copies that the manifest declares (oversampled center images) are no duplicates."""
    candidate = np.flatnonzero((seen["state"] == GOOD) & ~structure.copies_N)
    hash_M, label_M = seen["hash"][candidate], structure.label_N[candidate]
    order_M = np.lexsort((label_M, hash_M))
    same = np.flatnonzero(hash_M[order_M][1:] == hash_M[order_M][:-1])
    if not len(same):
        return
    across = label_M[order_M[same]] != label_M[order_M[same + 1]]
    key_N = structure.key_N
    for name, chosen in (("duplicates", same[~across]), ("duplicates across labels", same[across])):
        if len(chosen):
            keys = key_N[candidate[np.concatenate([order_M[chosen[:1]], order_M[chosen + 1]])]]
            where = "under several labels" if name.endswith("labels") else "under one label"
            report.add(
                name, "error" if name.endswith("labels") else "warning",
                f"{len(chosen):,} pictures repeat the bytes of another one, {where}.",
                "Look at them with `synthface preview`, and leave them out.", count=len(chosen), keys=keys,
            )  # fmt: skip


def _check_colour(seen: NDArray[np.void], report: Report) -> None:
    """Suspects swapped channels where the skin of most coloured pictures is blue."""
    if not len(seen):
        return
    coloured = seen["colour"] >= _COLOURED
    report.grey_share = round(float((seen["colour"] < 1.0).mean()), 4)
    blue = int((seen["red"][coloured] < _BLUE).sum())
    if coloured.sum() >= _LEAST_COLOURED and blue >= _LEAST_BLUE_SHARE * coloured.sum():
        report.add(
            "channels swapped", "warning",
            f"Suspicion: in {blue:,} of {coloured.sum():,} coloured pictures the middle of the face is blue rather than "
            "red; the channels may be swapped (BGR stored as RGB).",
            "Look at `synthface preview`; if faces are blue, swap the channels and encode again.", count=blue,
        )  # fmt: skip
