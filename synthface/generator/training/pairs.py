"""Pictures and their embeddings: row n of the embedding files belongs to picture n of the dataset.

`synthface embed` leaves out pictures without a face and damaged ones; its array `indices` then tells the picture of each
row.
"""

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
    """A dataset and its embeddings; `len`, `dimension`, `label_N` (N,) int64; `index_N`: pictures, None: as they come.

    `fingerprint` tells this set of pairs from every other: hash of the embeddings' bytes and of the dataset's shape.
    """

    def __init__(self, dataset: Any, rows: EmbeddingSet, place: str) -> None:
        self.index_N = _picture_of_each_row(rows)
        if (len(dataset) != len(rows)) if self.index_N is None else int(self.index_N.max()) >= len(dataset):
            raise InputError(
                f"{place} holds {len(dataset):,} pictures and the embedding files {len(rows):,} rows"
                + ("." if self.index_N is None else f" of pictures up to number {int(self.index_N.max()):,}."),
                f"Make them of this very dataset: synthface embed {place} --out emb.npz",
            )
        label_N = np.asarray(dataset.labels_N, dtype=np.int64)
        self.label_N = label_N if self.index_N is None else label_N[self.index_N]
        if rows.labels_N is not None and not _same_grouping(rows.labels_N, self.label_N):
            row = int(np.argmax(rows.labels_N != self.label_N))
            raise InputError(
                f"Row {row} of the embeddings is of person {rows.labels_N[row]} and its picture in {place} of person "
                f"{self.label_N[row]}.",
                f"Make the embeddings of this very dataset: synthface embed {place} --out emb.npz",
            )
        self.dataset, self.rows, self.place, self.dimension = dataset, rows, place, rows.dimension
        digest = hashlib.sha256(f"{len(self)} {rows.fingerprint()}".encode())
        digest.update(self.label_N.tobytes())
        if self.index_N is not None:
            digest.update(self.index_N.tobytes())
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

    def payloads(self, row_B: Sequence[int]) -> list[bytes]:
        """The encoded pictures of these pairs."""
        index_B = list(row_B) if self.index_N is None else self.index_N[list(row_B)].tolist()
        return [bytes(payload) for payload in self.dataset.payloads(index_B)]

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


def _picture_of_each_row(rows: EmbeddingSet) -> NDArray[np.int64] | None:
    """The array `indices` of a file by `embed`; None where there is none, and for several files as one set."""
    if len(rows.paths) != 1:
        return None
    path = rows.paths[0]
    index_N: Any = None
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            index_N = file["indices"] if "indices" in file.files else None
    elif path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            index_N = file.get_tensor("indices") if "indices" in file.keys() else None  # noqa: SIM118
    if index_N is None:
        return None
    if index_N.shape != (len(rows),) or index_N.min() < 0:
        raise InputError(f"{path}: `indices` does not tell the picture of each row.", "Make the file again.")
    return np.asarray(index_N, dtype=np.int64)


def _same_grouping(a_N: NDArray[np.int64], b_N: NDArray[np.int64]) -> bool:
    """Whether two labellings are the same up to the people's numbers."""
    pairs = np.unique(np.stack([a_N, b_N], 1), axis=0)
    return len(pairs) == len(np.unique(a_N)) == len(np.unique(b_N))
