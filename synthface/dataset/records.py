"""A RecordIO folder as a numbered set of pictures with labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthface.dataset import layout, listing
from synthface.dataset.decode import decode
from synthface.dataset.irheader import unpack
from synthface.dataset.record_file import RecordFile
from synthface.dataset.recordio import Buffer
from synthface.errors import InputError

if TYPE_CHECKING:
    import pyarrow


class RecordDataset:
    """Pictures of a RecordIO folder, whoever made it.

    path: the folder. key_N (int64): the key of each picture, 1 … N in insightface's layout, else in the index's order.
    property: the file of that name, or None. May be shared between threads and forked or spawned workers.
    """

    kind = "recordio"

    def __init__(self, path: Path, file: RecordFile) -> None:
        self.path, self.file = path, file
        self.headers = file.headers()
        if (short := np.flatnonzero(self.headers.begin_R < 0)).size:
            raise InputError(
                f"The record with key {file.key_R[short[0]]} of {file.path} is too short for its header"
                + (f", and {short.size - 1:,} more are." if short.size > 1 else "."),
                "It is no picture dataset, or damaged; copy it again.",
            )
        self.layout = layout.read_layout(file, self.headers)
        self.property = layout.read_property(path)
        row_N = self.layout.picture_N
        self.key_N: NDArray[np.int64] = file.key_R[row_N]
        whole_N = file.whole_R[row_N]
        start_N = file.offset_R[row_N] + 8 + self.headers.begin_R[row_N]
        self._start_N = np.where(whole_N, start_N, -1)
        self._end_N = self._start_N + self.headers.payload_R[row_N]

    def __len__(self) -> int:
        return len(self.key_N)

    @cached_property
    def labels_N(self) -> NDArray[np.int64]:  # the name that trainers use
        """The label of each picture.

        Raises InputError for labels that are no class numbers, and where the identity records, the manifest or, without
        a manifest, the `.lst` file tell otherwise: a wrong label is worse than none.
        """
        label_N = self.headers.label_R[self.layout.picture_N].astype(np.float64)
        with np.errstate(invalid="ignore"):
            bad_N = ~((label_N >= 0) & (label_N <= layout.EXACT) & (label_N == np.floor(label_N)))
        if bad_N.any():
            key = self.key_N[bad_N][0]
            raise InputError(
                f"The label of key {key} in {self.file.path} is {label_N[bad_N][0]:g}, no class number"
                + (f"; {bad_N.sum() - 1:,} more are none either." if bad_N.sum() > 1 else "."),
                f"`synthface verify {self.path}` tells what is wrong with the dataset.",
            )
        found_N = label_N.astype(np.int64)
        self._check_identity_records(found_N)
        if self.manifest_file is not None:
            self._check_manifest(found_N)
        else:
            self._check_list(found_N)
        return found_N

    @cached_property
    def num_classes(self) -> int:
        """Classes that the header record announces; without one, `property`; without that, the largest label + 1."""
        if self.layout.header is not None:
            return len(self.layout.identity_C)
        if self.property is not None:
            return self.property.num_classes
        return int(self.labels_N.max(initial=-1)) + 1

    def payloads(self, indices: Sequence[int] | NDArray[np.integer]) -> list[Buffer]:
        """The encoded pictures of these numbers: slices of the file, copies only for records of several parts."""
        index_B = np.asarray(indices, dtype=np.int64)
        start_B = self._start_N[index_B]
        view = self.file.view
        if start_B.min(initial=0) >= 0:
            return [view[start:end] for start, end in zip(start_B.tolist(), self._end_N[index_B].tolist(), strict=True)]
        return [self._payload(index) for index in index_B.tolist()]

    def _payload(self, index: int) -> Buffer:
        start = int(self._start_N[index])
        if start >= 0:
            return self.file.view[start : int(self._end_N[index])]
        return unpack(self.file.record(int(self.layout.picture_N[index])))[1]

    def places(self) -> NDArray[np.int64]:
        """Where each encoded picture begins in the `.rec` file; −1 − the record's offset where it has several parts."""
        row_N = self.layout.picture_N
        return np.where(self._start_N >= 0, self._start_N, -1 - self.file.offset_R[row_N])

    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each encoded picture."""
        return self.headers.payload_R[self.layout.picture_N]

    def image(self, index: int) -> NDArray[np.uint8]:
        """A picture, (H, W, 3) uint8 RGB. Raises InputError that names its key."""
        try:
            return decode(self._payload(index))
        except InputError as error:
            raise InputError(f"{self.key(index)}: {error.problem}", error.fix) from error

    def key(self, index: int) -> str:
        """What a person finds a picture by."""
        return f"{self.file.path}, key {self.key_N[index]}"

    @cached_property
    def manifest_file(self) -> Path | None:
        """The manifest of a dataset or of a shard, where there is one."""
        for path in (self.path / "manifest.parquet", self.file.path.with_suffix(".parquet")):
            if path.is_file():
                return path
        return None

    def manifest(self, columns: Sequence[str] | None = None) -> pyarrow.Table | None:
        """The manifest in the pictures' order, or None. Raises InputError when it does not belong to these pictures."""
        from synthface.dataset import manifest

        if self.manifest_file is None:
            return None
        return manifest.read_for(self.manifest_file, self.key_N, columns)

    def _check_identity_records(self, label_N: NDArray[np.int64]) -> None:
        if self.layout.header is None:
            return
        if wrong := identity_contradiction(self.layout, label_N):
            raise InputError(
                f"The labels of {self.path} contradict its identity records: {wrong}.",
                f"`synthface verify {self.path}` tells more; pack it again from class folders or take another copy.",
            )

    def _check_manifest(self, label_N: NDArray[np.int64]) -> None:
        table = self.manifest(["key", "label"])
        if table is None:
            return
        told_N = table["label"].to_numpy()
        differ = np.flatnonzero(told_N != label_N)
        if len(differ):
            raise InputError(
                f"Picture {self.key_N[differ[0]]} of {self.path} has label {label_N[differ[0]]} in its record and "
                f"{told_N[differ[0]]} in the manifest"
                + (f"; {len(differ):,} differ in all." if len(differ) > 1 else "."),
                "One of the two is damaged; take another copy of the dataset.",
            )

    def _check_list(self, label_N: NDArray[np.int64]) -> None:
        """A list of other keys tells nothing of these pictures."""
        path = self.file.path.with_suffix(".lst")
        if not path.is_file():
            return
        try:
            key_M, label_M = listing.read_labels(path)
        except InputError:
            return
        differ = listing.differences(key_M, label_M, self.key_N, label_N)
        if differ is not None and len(differ):
            raise InputError(
                f"Picture {self.key_N[differ[0]]} of {self.path} has label {label_N[differ[0]]} in its record and "
                f"another one in {path.name}" + (f"; {len(differ):,} differ in all." if len(differ) > 1 else "."),
                f"One of the two is damaged: take another copy; if it is the list, remove {path}.",
            )


def identity_contradiction(parts: layout.Layout, label_N: NDArray[np.int64]) -> str:
    """How labels of pictures 1 … N contradict the identity records, "" where they do not.

    The ranges must cover all pictures without overlap; within each the label is one, and no two people share it.
    """
    with np.errstate(invalid="ignore"):
        first_C, end_C = parts.first_C.astype(np.float64), parts.end_C.astype(np.float64)
        sane = np.isfinite(first_C) & np.isfinite(end_C) & (first_C >= 1) & (end_C >= first_C)
    if not sane.all() or (end_C > len(label_N) + 1).any():
        return "a range of keys is impossible"
    order_C = np.lexsort((end_C, first_C))
    if not np.array_equal(np.append(first_C[order_C], len(label_N) + 1), np.append(1, end_C[order_C])):
        return "their ranges do not cover the pictures"
    filled_C = order_C[end_C[order_C] > first_C[order_C]]
    start_C = first_C[filled_C].astype(np.int64) - 1
    if not len(start_C):
        return ""
    label_C = label_N[start_C]
    within_N = np.repeat(label_C, np.diff(np.append(start_C, len(label_N))))
    if (mixed := np.flatnonzero(within_N != label_N)).size:
        return f"the person of key {mixed[0] + 1} has pictures of labels {within_N[mixed[0]]} and {label_N[mixed[0]]}"
    value_C, count_C = np.unique(label_C, return_counts=True)
    if (count_C > 1).any():
        return f"{count_C.max():,} people share the label {value_C[count_C.argmax()]}"
    return ""
