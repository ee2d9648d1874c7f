"""Pictures with what is known of them, batch by batch: what every exporter writes from."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthface.dataset import manifest
from synthface.dataset.decode import suffix
from synthface.dataset.opening import Dataset
from synthface.dataset.plan import running_number
from synthface.errors import InputError
from synthface.progress import Progress

if TYPE_CHECKING:
    import pyarrow

BATCH = 1_024  # pictures held at once


@dataclass(frozen=True)
class Batch:
    """Some pictures: their encoded bytes, labels, and rows of the manifest's schema (without a manifest mostly null).

    `keys`: the picture's number in the export's order, from 0, or the dataset's key, as the exporter chose.
    """

    keys: list[int]
    labels: list[int]
    payloads: list[bytes]
    rows: pyarrow.Table

    def suffixes(self) -> list[str]:
        """`.jpg`, or what the bytes are."""
        return [suffix(payload) for payload in self.payloads]


class Samples:
    """A dataset as batches. Checks every payload against the manifest's checksum."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        self.label_N = dataset.labels_N
        self.num_classes = dataset.num_classes
        self._table = dataset.manifest()

    def __len__(self) -> int:
        return len(self.dataset)

    def batches(self, order_N: NDArray[np.int64] | None = None, *, renumber: bool = False) -> Iterator[Batch]:
        """All pictures, in this order; keys are the dataset's, or with `renumber` 0 … N − 1."""
        order_N = np.arange(len(self)) if order_N is None else order_N
        index_N = running_number(self.label_N)
        with Progress(len(self), "images", "exporting") as progress:
            for begin in range(0, len(order_N), BATCH):
                order_B = order_N[begin : begin + BATCH]
                payloads = [bytes(payload) for payload in self.dataset.payloads(order_B)]
                keys = np.arange(begin, begin + len(order_B)) if renumber else self.dataset.key_N[order_B]
                rows = self._rows(order_B, keys, index_N[order_B], payloads)
                yield Batch(keys.tolist(), self.label_N[order_B].tolist(), payloads, rows)
                progress.update(len(order_B))

    def _rows(
        self, order_B: NDArray[np.int64], key_B: NDArray[np.int64], index_B: NDArray[np.int64], payloads: list[bytes]
    ) -> pyarrow.Table:
        import pyarrow as pa

        crc32_B = np.array([zlib.crc32(payload) for payload in payloads], np.uint32)
        if self._table is not None:
            rows = self._table.take(order_B)
            if (wrong := np.flatnonzero(rows["crc32"].to_numpy() != crc32_B)).size:
                raise InputError(
                    f"{self.dataset.key(int(order_B[wrong[0]]))} is damaged: its CRC-32 is not the one in the manifest.",
                    f"`synthface verify {self.dataset.path}` lists all that are; take another copy.",
                )
            return rows.set_column(0, manifest.schema().field("key"), pa.array(key_B, pa.int64()))
        label_B = self.label_N[order_B]
        known = {"key": key_B, "label": label_B, "identity": label_B, "index": index_B, "crc32": crc32_B,
                 "bytes": np.array([len(payload) for payload in payloads])}  # fmt: skip
        return manifest.table(known)


class ManifestBeside:
    """Writes the exported pictures' manifest into the export's folder."""

    def __init__(self, folder: Path) -> None:
        self._writer = manifest.ManifestWriter(folder / manifest.NAME)
        self._waiting: list[pyarrow.Table] = []

    def write(self, batch: Batch) -> None:
        self._waiting.append(batch.rows)
        if sum(len(rows) for rows in self._waiting) >= manifest.ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._writer.write_rows(pa.concat_tables(self._waiting))
            self._waiting = []

    def __enter__(self) -> ManifestBeside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.__exit__(kind, error, trace)
