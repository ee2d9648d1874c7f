"""Pictures and their embeddings: row n of the embedding files belongs to picture n of the dataset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.errors import InputError
from synthface.identity.embeddings import EmbeddingSet, open_embeddings
from synthface.progress import Progress

_ROWS = 65_536


class Pairs:
    """A dataset and its embeddings; `len`, `dimension`, `label_N` (N,) int64.

    `fingerprint` tells this set of pairs from every other: hash of the embeddings' bytes and of the dataset's shape.
    """

    def __init__(self, dataset: Any, rows: EmbeddingSet, place: str) -> None:
        if len(dataset) != len(rows):
            raise InputError(
                f"{place} holds {len(dataset):,} pictures and the embedding files {len(rows):,} rows.",
                f"Make them of this very dataset: synthface embed {place} --out emb.npz",
            )
        self.label_N = np.asarray(dataset.labels_N, dtype=np.int64)
        if rows.labels_N is not None and not _same_grouping(rows.labels_N, self.label_N):
            row = int(np.argmax(rows.labels_N != self.label_N))
            raise InputError(
                f"Row {row} of the embeddings is of person {rows.labels_N[row]} and picture {row} of {place} of person "
                f"{self.label_N[row]}.",
                f"Make the embeddings of this very dataset: synthface embed {place} --out emb.npz",
            )
        self.dataset, self.rows, self.place, self.dimension = dataset, rows, place, rows.dimension
        digest = hashlib.sha256(f"{len(self)} {rows.fingerprint()}".encode())
        digest.update(self.label_N.tobytes())
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def people(self) -> int:
        return len(np.unique(self.label_N))

    @property
    def rows_N(self) -> NDArray[np.int64]:
        """The numbers of all pairs."""
        return np.arange(len(self), dtype=np.int64)

    def payloads(self, index_B: Sequence[int]) -> list[bytes]:
        """The encoded pictures."""
        return [bytes(payload) for payload in self.dataset.payloads(list(index_B))]

    def unit_rows(self, cache: Path) -> NDArray[np.float32]:
        """The unit embeddings (N, D), memory-mapped from a file that is written once: 42M of them fit no memory."""
        path, mark = cache / "embeddings.npy", cache / "embeddings.json"
        if not (mark.exists() and files.read_json(mark).get("fingerprint") == self.fingerprint):
            files.make_directory(cache)
            with files.writing(path), Progress(len(self), "embeddings", "reading") as progress:
                array_ND = np.lib.format.open_memmap(
                    path, mode="w+", dtype=np.float32, shape=(len(self), self.dimension)
                )
                for chunk in self.rows.chunks(_ROWS, reuse=True):
                    array_ND[chunk.start : chunk.start + len(chunk.embedding_BD)] = chunk.embedding_BD
                    progress.update(len(chunk.embedding_BD))
                array_ND.flush()
            files.write_json(mark, {"fingerprint": self.fingerprint})
        array: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array


def open_pairs(data: str | os.PathLike[str], embeddings: Sequence[str | os.PathLike[str]]) -> Pairs:
    """Pictures of a RecordIO or class folder with the embeddings that `embed` made of it, in its order.

    Raises InputError when they do not belong together.
    """
    from synthface.dataset import open_dataset

    return Pairs(open_dataset(Path(data)), open_embeddings(embeddings), os.fspath(data))


def _same_grouping(a_N: NDArray[np.int64], b_N: NDArray[np.int64]) -> bool:
    """Whether two labellings are the same up to the people's numbers."""
    pairs = np.unique(np.stack([a_N, b_N], 1), axis=0)
    return len(pairs) == len(np.unique(a_N)) == len(np.unique(b_N))
