"""Embedding files: .npy, .npz and .safetensors, several as one set, read in blocks that never fill the memory.

Every row leaves this module as a float32 unit vector; NaN, zero rows, another dimension and labels of another length
are errors that name the file and the row.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError
from synthface.identity import sphere
from synthface.identity.formats import FIX, Part, open_part
from synthface.identity.formats import SUFFIXES as SUFFIXES
from synthface.identity.threads import in_order

BLOCK = 4_096  # rows that are hashed, converted and multiplied together: a few MiB a thread
_SLAB = 1_024  # rows converted at once: 2 MiB at 512 dimensions, so that the passes over them stay in the cache


class Chunk(NamedTuple):
    """Rows `start` … `start + len(embedding_BD)` of a set."""

    start: int
    embedding_BD: NDArray[np.float32]  # unit rows
    label_B: NDArray[np.int64] | None


class Block(NamedTuple):
    """Rows `start` … `start + rows` of a set as they are stored: pieces of files, each with its path and first row."""

    start: int
    rows: int
    pieces: list[tuple[Path, int, NDArray[Any]]]

    def unit_rows(self, target_BD: NDArray[np.float32]) -> NDArray[np.float32]:
        """Writes the normalised rows into `target_BD`, and gives that part of it.

        Raises InputError for NaN, infinite and zero rows, naming file and row.
        """
        filled = 0
        for path, first, raw in self.pieces:
            for start in range(0, len(raw), _SLAB):
                slab = raw[start : start + _SLAB]
                _unit_rows(slab, target_BD[filled : filled + len(slab)], path, first + start)
                filled += len(slab)
        return target_BD[:filled]

    def checked_digest(self) -> bytes:
        """`digest`, after a look at every row: raises InputError for NaN, infinite and zero rows, naming file and row."""
        for path, first, raw in self.pieces:
            slab_SD = np.empty((min(len(raw), _SLAB), raw.shape[1]), np.float32)
            for start in range(0, len(raw), _SLAB):
                slab = raw[start : start + _SLAB]
                _unit_rows(slab, slab_SD[: len(slab)], path, first + start)
        return self.digest()

    def digest(self) -> bytes:
        """SHA-256 of the rows as stored."""
        digest = hashlib.sha256()
        for _, _, raw in self.pieces:
            digest.update(np.ascontiguousarray(raw).data)
        return digest.digest()


class EmbeddingSet:
    """One or several embedding files as one sequence of unit rows.

    Attributes: `dimension` d; `labels_N` (N,) int64 when every file has labels, else None; `len(set)` rows.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self.dimension = parts[0].dimension
        self.labels_N: NDArray[np.int64] | None = None
        if all(part.has_labels for part in parts):
            labels = [part.labels() for part in parts]
            self.labels_N = labels[0] if len(labels) == 1 else np.concatenate(labels)

    def __len__(self) -> int:
        return sum(part.rows for part in self._parts)

    @property
    def paths(self) -> list[Path]:
        return [part.path for part in self._parts]

    def blocks(self, rows: int = BLOCK) -> Iterator[Block]:
        """All rows in order; every block but the last holds exactly `rows`, wherever one file ends and the next begins."""
        start = filled = 0
        pieces: list[tuple[Path, int, NDArray[Any]]] = []
        for part in self._parts:
            with part.reader() as read:
                done = 0
                while done < part.rows:
                    count = min(rows - filled, part.rows - done)
                    pieces.append((part.path, done, read(count)))
                    done += count
                    filled += count
                    if filled == rows:
                        yield Block(start, rows, pieces)
                        start, filled, pieces = start + rows, 0, []
        if filled:
            yield Block(start, filled, pieces)

    def chunks(self, rows: int = 65_536, reuse: bool = False) -> Iterator[Chunk]:
        """All rows in order as unit rows, `rows` at a time.

        With `reuse` the arrays are valid until the next chunk is asked for, which saves an allocation a chunk.
        Raises InputError for NaN, infinite and zero rows, naming file and row.
        """
        size = min(rows, len(self))
        buffer_BD = np.empty((size, self.dimension), np.float32)
        for block in self.blocks(size):
            embedding_BD = block.unit_rows(buffer_BD)
            label_B = None if self.labels_N is None else self.labels_N[block.start : block.start + block.rows]
            yield Chunk(block.start, embedding_BD, label_B)
            if not reuse:
                buffer_BD = np.empty_like(buffer_BD)

    def load(self) -> NDArray[np.float32]:
        """All rows at once, (N, d) float32 unit rows."""
        rows_ND = np.empty((len(self), self.dimension), np.float32)
        for block in self.blocks():
            block.unit_rows(rows_ND[block.start :])
        return rows_ND

    def fingerprint(self) -> str:
        """Hex SHA-256 of the rows as stored and of the labels: independent of the files' names, formats and number.

        Raises InputError for NaN, infinite and zero rows, naming file and row.
        """
        return self.sealed(in_order(Block.checked_digest, self.blocks()))

    def sealed(self, digests: Iterable[bytes]) -> str:
        """The fingerprint, from the digests of all blocks of `blocks()`."""
        digest = hashlib.sha256(b"".join(digests))
        if self.labels_N is not None:
            digest.update(self.labels_N.data)
        return digest.hexdigest()


def open_embeddings(paths: Sequence[str | os.PathLike[str]], dimension: int | None = None) -> EmbeddingSet:
    """Opens embedding files as one set; `dimension`, when given, must be theirs.

    Raises InputError for missing, empty, foreign and contradictory files.
    """
    if not paths:
        raise InputError("No embedding file was given.", FIX)
    parts = [open_part(Path(path)) for path in paths]
    expected = dimension if dimension is not None else parts[0].dimension
    for part in parts:
        if part.dimension != expected:
            whose = "the encoder's" if dimension is not None else f"{parts[0].path}'s"
            raise InputError(
                f"{part.path} holds embeddings of dimension {part.dimension}; {whose} is {expected}.",
                "Use embeddings that one encoder made.",
            )
    labelled = [part for part in parts if part.has_labels]
    if labelled and len(labelled) < len(parts):
        bare = next(part.path for part in parts if not part.has_labels)
        raise InputError(f"{labelled[0].path} has labels and {bare} has none.", "Give labels in every file or in none.")
    return EmbeddingSet(parts)


def _unit_rows(raw: NDArray[Any], target: NDArray[np.float32], path: Path, first: int) -> None:
    """Writes the normalised rows of `raw` into `target`; names the first faulty row of the file."""
    np.copyto(target, raw, casting="same_kind")
    square_B = np.einsum("bd,bd->b", target, target)
    if (np.isfinite(square_B) & (square_B > 1e-30)).all():
        target *= (1.0 / np.sqrt(square_B))[:, None]
        return
    for row, values in enumerate(np.asarray(raw, np.float64)):
        if not np.isfinite(values).all():
            raise InputError(f"{path}: row {first + row} holds NaN or infinity.", "Remove the row or make it again.")
        if not values.any():
            raise InputError(f"{path}: row {first + row} is all zeros.", "Remove the row: it has no direction.")
    target[:] = sphere.normalize(np.asarray(raw, np.float64))
