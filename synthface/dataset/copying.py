"""Reads the planned pictures out of their sources, with few files open and little in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.dataset import manifest, recordio
from synthface.dataset.irheader import unpack
from synthface.dataset.opening import find_record_file, open_dataset
from synthface.dataset.plan import Plan
from synthface.dataset.record_file import map_file
from synthface.errors import InputError

_COPIED = ("seed", "attempt", "center_similarity", "reference_similarity", "detection_score", "landmarks", "yaw",
           "pitch", "roll")  # fmt: skip


class PayloadReader:
    """Pictures and manifest rows of a plan, by their place in it. Every source is opened once a call."""

    def __init__(self, laid: Plan) -> None:
        self.laid = laid
        self.files = [
            None if number in laid.folders else _record_file(path) for number, path in enumerate(laid.sources)
        ]
        self._latest: tuple[int, Any] = (-1, None)

    def payloads(self, place_W: NDArray[np.int64]) -> list[bytes]:
        """The encoded pictures at these places, in their order."""
        found: list[bytes] = [b""] * len(place_W)
        source_W = self.laid.entries.source_N[place_W]
        for source in np.unique(source_W).tolist():
            members = np.flatnonzero(source_W == source)
            members = members[np.argsort(self.laid.entries.start_N[place_W[members]], kind="stable")]
            read = self._read_folder if self.files[source] is None else self._read_records
            for member, payload in zip(members.tolist(), read(source, place_W[members]), strict=True):
                found[member] = payload
        return found

    def _read_folder(self, source: int, place_M: NDArray[np.int64]) -> Iterator[bytes]:
        yield from self.laid.folders[source].payloads(self.laid.entries.number_N[place_M])

    def _read_records(self, source: int, place_M: NDArray[np.int64]) -> Iterator[bytes]:
        path = self.files[source]
        assert path is not None
        entries = self.laid.entries
        with _descriptor(path) as descriptor:
            for start, length in zip(
                entries.start_N[place_M].tolist(), entries.length_N[place_M].tolist(), strict=True
            ):
                if start < 0:
                    yield bytes(unpack(recordio.read(map_file(path), -1 - start)[0])[1])
                    continue
                payload = os.pread(descriptor, length, start)
                if len(payload) != length:
                    raise InputError(f"{path} has become shorter while it was read.", "Leave shards alone meanwhile.")
                yield payload

    def manifest_columns(self, place_B: NDArray[np.int64]) -> dict[str, Any]:
        """What the sources' manifests tell of the pictures at these places; null where a source has none."""
        import pyarrow as pa

        source_B = self.laid.entries.source_N[place_B]
        number_B = self.laid.entries.number_N[place_B]
        tables, members = [], []
        for source in np.unique(source_B).tolist():
            inside = np.flatnonzero(source_B == source)
            table = self._manifest(source)
            if table is None:
                table = pa.table({name: pa.nulls(len(inside), manifest.schema().field(name).type) for name in _COPIED})
            else:
                table = table.take(number_B[inside])
            tables.append(table)
            members.append(inside)
        order = np.argsort(np.concatenate(members), kind="stable")
        joined = pa.concat_tables(tables).take(order)
        return {name: joined[name].combine_chunks() for name in _COPIED}

    def _manifest(self, source: int) -> Any:
        """The manifest of a source in the order of its pictures, or None."""
        if source != self._latest[0]:  # blocks that follow each other often end and begin in the same shard
            dataset = self.laid.folders.get(source) or open_dataset(self.laid.sources[source])
            self._latest = (source, dataset.manifest(_COPIED))
        return self._latest[1]

    def name(self, place: int) -> str:
        """What a person finds a picture by."""
        entries = self.laid.entries
        source, number = int(entries.source_N[place]), int(entries.number_N[place])
        if source in self.laid.folders:
            return self.laid.folders[source].key(number)
        return (
            f"Picture {entries.index_N[place]} of identity {entries.identity_N[place]} (number {number} of "
            f"{self.files[source]})"
        )

    def listed_path(self, place: int) -> str:
        """The path that train.lst gives: the file in its class folder, or identity/index."""
        entries = self.laid.entries
        source, number = int(entries.source_N[place]), int(entries.number_N[place])
        if source in self.laid.folders:
            folder = self.laid.folders[source]
            return folder.files[number].relative_to(folder.path).as_posix()
        return f"{entries.identity_N[place]:06d}/{entries.index_N[place]:04d}.jpg"


def _record_file(path: Path) -> Path:
    return path if path.suffix == ".rec" else find_record_file(path) or path


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
