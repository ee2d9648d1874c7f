"""A `.rec` file with its index: memory-mapped, checked as a whole when it is opened, read by key or in the file's order.

Nothing is read through a file position, so the object may be shared between threads, forked and spawned workers.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.dataset import index, recordio
from synthface.dataset.irheader import HEADER, IRHeader, unpack
from synthface.dataset.recordio import Buffer, Damage
from synthface.errors import InputError
from synthface.progress import say

_LENGTH_MASK = recordio.MAX_RECORD - 1
_BATCH = 1 << 16
_SCANNED_WORDS = 1 << 22


@dataclass(frozen=True)
class Headers:
    """The IRHeaders of records, row by row: flag, label, id, id2, and where the payload lies in its record.

    label_R is the scalar label, or the first of the label array; second_R the second one (NaN where there is none).
    begin_R: bytes before the payload; −1 where the record is too short for its header, and then the rest is zero.
    """

    flag_R: NDArray[np.int64]
    label_R: NDArray[np.float32]
    second_R: NDArray[np.float32]
    id_R: NDArray[np.uint64]
    id2_R: NDArray[np.uint64]
    begin_R: NDArray[np.int64]
    payload_R: NDArray[np.int64]  # length of the payload


class RecordFile:
    """Records by row (the index's order) and by key.

    key_R, offset_R, length_R (int64): key, place in the file and length of each record, magics restored.
    whole_R: bool, False for records of several parts. `rebuilt`: why the index was not taken from the `.idx` file, or "".
    """

    def __init__(self, path: Path, key_R: NDArray[np.int64], records: Sequence[NDArray[Any]], rebuilt: str) -> None:
        self.path, self.key_R, self.rebuilt = path, key_R, rebuilt
        self.offset_R, self.length_R, self.whole_R = records
        self._map()

    def _map(self) -> None:
        self.view = map_file(self.path)
        self._words = np.frombuffer(self.view, "<u4", len(self.view) // 4)
        self._row_of: NDArray[np.int64] | None = None
        self._sorted: NDArray[np.int64] | None = None
        # single elements of a memoryview are plain numbers, several times faster to get than an array's
        self._offset, self._length, self._whole = self.offset_R.data, self.length_R.data, self.whole_R.data

    def __getstate__(self) -> dict[str, Any]:
        kept = ("path", "key_R", "offset_R", "length_R", "whole_R", "rebuilt")
        return {"size": len(self.view), **{name: getattr(self, name) for name in kept}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        size = state.pop("size")
        self.__dict__.update(state)
        self._map()
        if len(self.view) != size:
            raise InputError(f"{self.path} has changed while it was in use.", "Leave a dataset alone while it is read.")

    def renamed(self, keys: Sequence[int], offsets: Sequence[int]) -> RecordFile:
        """The same records with these keys, told by the records' offsets."""
        order = np.argsort(offsets)
        key_R = np.array(keys, np.int64)[order][np.searchsorted(np.array(offsets)[order], self.offset_R)]
        return RecordFile(self.path, key_R, (self.offset_R, self.length_R, self.whole_R), self.rebuilt)

    def __len__(self) -> int:
        return len(self.key_R)

    def rows(self, keys: ArrayLike) -> NDArray[np.int64]:
        """The row of each key. Raises InputError that names the first key that is not in the index."""
        key_K = np.asarray(keys, dtype=np.int64)
        if self._row_of is None and self._sorted is None:
            self._prepare_lookup()
        if self._row_of is not None:
            inside_K = (key_K >= 0) & (key_K < len(self._row_of))
            row_K = self._row_of[np.where(inside_K, key_K, 0)]
            missing_K = ~inside_K | (row_K < 0)
        elif len(self):
            assert self._sorted is not None
            place_K = np.searchsorted(self.key_R, key_K, sorter=self._sorted)
            row_K = self._sorted[np.minimum(place_K, len(self) - 1)]
            missing_K = self.key_R[row_K] != key_K
        else:
            row_K, missing_K = np.zeros(key_K.shape, np.int64), np.ones(key_K.shape, bool)
        if missing_K.any():
            raise InputError(f"{self.path} has no record with key {key_K[missing_K].flat[0]}.")
        return row_K

    def _prepare_lookup(self) -> None:
        """A table from key to row where the keys are dense, else the order in which they can be searched."""
        largest = int(self.key_R.max(initial=-1))
        if len(self) and largest < 4 * len(self) + 1_024:
            self._row_of = np.full(largest + 1, -1, np.int64)
            self._row_of[self.key_R] = np.arange(len(self))
        else:
            self._sorted = np.argsort(self.key_R, kind="stable")

    def record(self, row: int) -> Buffer:
        """The bytes of a record: a slice of the file where it is whole, else a copy with its magics restored."""
        start = self._offset[row] + recordio.HEAD.size
        if self._whole[row]:
            return self.view[start : start + self._length[row]]
        return recordio.read(self.view, start - recordio.HEAD.size)[0]

    def read(self, key: int) -> tuple[IRHeader, Buffer]:
        """Header and payload of the record with this key. Raises InputError."""
        table = self._row_of
        row = table.item(key) if table is not None and 0 <= key < len(table) else -1
        return unpack(self.record(row if row >= 0 else int(self.rows(key))))

    def read_many(self, keys: ArrayLike) -> tuple[Headers, list[Buffer]]:
        """IRHeaders and payloads of the records with these keys, in the keys' order; a key may come several times.

        A payload is a slice of the file where its record is whole, else a copy with its magics restored. Of a label array
        the first two are given; `read` gives all. Raises InputError for a key that is not there, or whose record is too
        short for its header.
        """
        row_K = self.rows(keys).ravel()
        headers = self.headers(row_K)
        if (short := np.flatnonzero(headers.begin_R < 0)).size:
            raise InputError(
                f"The record with key {self.key_R[row_K[short[0]]]} of {self.path} is too short for its header.",
                "It is no picture dataset, or damaged; copy it again.",
            )
        start_K = self.offset_R[row_K] + recordio.HEAD.size + headers.begin_R
        end_K = start_K + headers.payload_R
        view = self.view
        payloads: list[Buffer] = [view[a:b] for a, b in zip(start_K.tolist(), end_K.tolist(), strict=True)]
        for place in np.flatnonzero(~self.whole_R[row_K]).tolist():
            payloads[place] = unpack(self.record(int(row_K[place])))[1]
        return headers, payloads

    def headers(self, rows: NDArray[np.int64] | None = None) -> Headers:
        """The IRHeaders of these rows, in their order, gathered at once; of all where none are named."""
        row_R = np.arange(len(self)) if rows is None else rows
        total = len(row_R)
        headers = Headers(*(np.zeros(total, kind) for kind in ("i8", "f4", "f4", "u8", "u8", "i8", "i8")))
        headers.second_R[:] = np.nan
        headers.begin_R[:] = -1
        for begin in range(0, total, _BATCH):
            self._gather(headers, np.arange(begin, min(begin + _BATCH, total)), row_R)
        length_R = self.length_R[row_R]
        for place in np.flatnonzero(~self.whole_R[row_R] & (length_R >= HEADER.size)).tolist():
            self._gather_one(headers, place, int(row_R[place]))
        begin_R = HEADER.size + 4 * headers.flag_R
        fits_R = (length_R >= HEADER.size) & (begin_R <= length_R)
        headers.begin_R[fits_R] = begin_R[fits_R]
        headers.payload_R[fits_R] = (length_R - begin_R)[fits_R]
        return headers

    def _gather(self, headers: Headers, place_B: NDArray[np.int64], row_R: NDArray[np.int64]) -> None:
        """Fills the places of `headers` from the rows that stand there in row_R, where those are whole records."""
        place_B = place_B[self.whole_R[row_R[place_B]] & (self.length_R[row_R[place_B]] >= HEADER.size)]
        row_B = row_R[place_B]
        word_B = self.offset_R[row_B] // 4 + 2
        header_B6 = self._words[word_B[:, None] + np.arange(6)]
        flag_B = header_B6[:, 0].astype(np.int64)
        headers.flag_R[place_B] = flag_B
        headers.label_R[place_B] = header_B6[:, 1].copy().view("<f4")
        headers.id_R[place_B] = np.ascontiguousarray(header_B6[:, 2:4]).view("<u8")[:, 0]
        headers.id2_R[place_B] = np.ascontiguousarray(header_B6[:, 4:6]).view("<u8")[:, 0]
        for number, into_R in ((1, headers.label_R), (2, headers.second_R)):
            long_B = (flag_B >= number) & (HEADER.size + 4 * flag_B <= self.length_R[row_B])
            into_R[place_B[long_B]] = self._words[word_B[long_B] + 5 + number].view("<f4")

    def _gather_one(self, headers: Headers, place: int, row: int) -> None:
        record = self.record(row)
        flag, label, headers.id_R[place], headers.id2_R[place] = HEADER.unpack_from(record)
        headers.flag_R[place], headers.label_R[place] = flag, label
        if flag and HEADER.size + 4 * flag <= len(record):
            label_F = np.frombuffer(record, "<f4", min(flag, 2), HEADER.size)
            headers.label_R[place] = label_F[0]
            if len(label_F) > 1:
                headers.second_R[place] = label_F[1]


def map_file(path: Path) -> memoryview:
    """The file's bytes, mapped. Raises InputError."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def open_records(path: Path, *, quiet: bool = False) -> RecordFile:
    """Opens `path` (.rec) and the `.idx` beside it; an index that is missing, damaged or of another file is rebuilt.

    The index is good when each of its offsets is the beginning of a record and the records follow each other without a
    gap from the first byte to the last. Raises InputError where the records themselves are damaged, or fewer than the
    index tells.
    """
    view = map_file(path)
    path_idx = path.with_suffix(".idx")
    key_R = offset_R = np.zeros(0, np.int64)
    try:
        key_R, offset_R = index.read(path_idx)
        records, reason = _walk_index(view, key_R, offset_R)
        if records is not None:
            return RecordFile(path, key_R, records, "")
    except FileNotFoundError:
        reason = "there is none"
    except index.BadIndex as error:
        reason = str(error)
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    file = rebuild(path, view, reason)
    _check_nothing_is_lost(file, offset_R)
    if not quiet:
        say(
            f"The index {path_idx} was rebuilt in memory by scanning {path.name} ({reason}); "
            f"`synthface verify {path.parent} --repair` writes it."
        )
    return file


def _walk_index(
    view: memoryview, key_R: NDArray[np.int64], offset_R: NDArray[np.int64]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]] | None, str]:
    """Offsets, lengths and wholeness of the records, or None and why the index is not of this file."""
    size = len(view)
    if len(np.unique(key_R)) != len(key_R):
        return None, "it names a key twice"
    if ((offset_R % 4 != 0) | (offset_R > size - recordio.HEAD.size)).any():
        return None, "it points outside of the file or between its words"
    word_R = offset_R // 4
    words = np.frombuffer(view, "<u4", size // 4)
    lrec_R = words[word_R + 1].astype(np.int64)
    cflag_R = lrec_R >> recordio.LENGTH_BITS
    if ((words[word_R] != recordio.MAGIC) | (cflag_R > recordio.FIRST)).any():
        return None, "it points to where no record begins"
    length_R = lrec_R & _LENGTH_MASK
    end_R = offset_R + 8 + ((length_R + 3) & ~3)
    whole_R = cflag_R == recordio.WHOLE
    for row in np.flatnonzero(~whole_R):
        try:
            record = recordio.record_at(view, int(offset_R[row]))
        except Damage as error:
            return None, str(error)
        length_R[row], end_R[row] = record.length, record.end
    order_R = np.argsort(offset_R, kind="stable")
    begin_U, first_U = np.unique(offset_R[order_R], return_index=True)
    end_U = end_R[order_R][first_U]
    if not np.array_equal(np.append(begin_U, size), np.concatenate([[0], end_U])):
        return None, "it does not cover the file"
    return (offset_R, length_R, whole_R), ""


def scan(view: memoryview) -> tuple[list[recordio.Record], Damage | None]:
    """All records from the first byte on, and the damage at which they end, if any."""
    found: list[recordio.Record] = []
    at, size = 0, len(view)
    try:
        while at < size:
            record = recordio.record_at(view, at)
            found.append(record)
            at = record.end
    except Damage as damage:
        return found, damage
    return found, None


def rebuild(path: Path, view: memoryview, reason: str) -> RecordFile:
    """The file with an index made by scanning it. Raises InputError when its records are damaged."""
    found, damage = scan(view)
    if damage is not None:
        fix = (
            f"`synthface verify {path.parent} --repair` cuts what is incomplete off its end; better, copy the file again."
            if damage.cut
            else f"Copy the file again; `synthface verify {path.parent}` tells more."
        )
        raise InputError(f"{path} is damaged behind {len(found):,} whole records: {damage}.", fix)
    return with_keys(path, found, reason)


def with_keys(path: Path, found: Sequence[recordio.Record], reason: str) -> RecordFile:
    """A RecordFile of scanned records, whose keys are read off the records."""
    table = np.array([(record.offset, record.length) for record in found], np.int64).reshape(-1, 2)
    whole_R = np.fromiter((record.parts == 1 for record in found), bool, len(found))
    file = RecordFile(path, np.arange(len(found)), (table[:, 0].copy(), table[:, 1].copy(), whole_R), reason)
    file.key_R = _keys(file.headers())
    file._row_of = file._sorted = None
    return file


def _keys(headers: Headers) -> NDArray[np.int64]:
    """Keys for records whose index is lost: their `id`, which the usual writers set to the key, where ids are unique.

    Else by order: pictures from 1 on, then identity records, and key 0 for the header record, as insightface numbers
    them; without a header record, from 0 on.
    """
    if len(np.unique(headers.id_R)) == len(headers.id_R) and int(headers.id_R.max(initial=0)) < 1 << 62:
        return headers.id_R.astype(np.int64)
    special_R = (headers.flag_R >= 2) & (headers.payload_R == 0) & (headers.begin_R >= 0)
    header_R = special_R & (headers.id_R == 0) & (headers.id2_R == 1)
    if header_R.sum() != 1:
        return np.arange(len(special_R))
    key_R = np.zeros(len(special_R), np.int64)
    pictures_R, identities_R = ~special_R, special_R & ~header_R
    key_R[pictures_R] = np.arange(1, 1 + pictures_R.sum())
    key_R[identities_R] = 1 + pictures_R.sum() + np.arange(identities_R.sum())
    return key_R


def swallowed(file: RecordFile) -> NDArray[np.int64]:
    """Where records begin inside of other ones and end with them: the lengths of those others are wrong.

    Aligned bytes that look like the beginning of a record never stand inside of one (see recordio.py); a writer that does
    not know this is forgiven, as long as they are no record. Reads the whole file: for files without a right index only.
    """
    records = [recordio.record_at(file.view, offset) for offset in file.offset_R.tolist()]
    ends = {record.end for record in records}
    size = max(ends, default=0) // 4
    words = np.frombuffer(file.view, "<u4", size)
    found: list[int] = []
    for begin in range(0, size, _SCANNED_WORDS):
        word_M = begin + np.flatnonzero(words[begin : begin + _SCANNED_WORDS] == recordio.MAGIC)
        for offset in np.setdiff1d(word_M * 4, file.offset_R, assume_unique=True).tolist():
            try:
                if recordio.record_at(file.view, offset).end in ends:
                    found.append(offset)
            except Damage:
                continue
    return np.array(found, np.int64)


def _check_nothing_is_lost(file: RecordFile, offset_R: NDArray[np.int64]) -> None:
    """Raises InputError when there are records inside of others, or when the index tells of some behind the file's end.

    The latter may be where a header record says that all is there.
    """
    if len(inside := swallowed(file)):
        raise InputError(
            f"{file.path} is damaged before byte {inside[0]:,}: a record reaches over the next one.",
            f"Copy the file again; `synthface verify {file.path.parent}` tells more.",
        )
    beyond = int((offset_R >= len(file.view)).sum())
    if not beyond or len(file) >= len(offset_R):
        return
    from synthface.dataset.layout import complete

    if not complete(file.key_R, file.headers()):
        raise InputError(
            f"{file.path} ends early: its index tells of {len(offset_R):,} records, {len(file):,} are there.",
            "Copy the file again, or take what is left: "
            f"`synthface verify {file.path.parent} --repair` writes an index of it.",
        )
