"""First and second moments of a stream of embeddings, of all rows and of class centers, in one pass.

float32 products over blocks of a fixed size, float64 sums over the blocks: the rounding of one block (10⁻⁷) averages
out over millions of rows, and because blocks are cut by row number alone the result does not depend, in any bit, on
how the rows lie in files or chunks.
"""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.identity.embeddings import EmbeddingSet
from synthface.progress import Progress

BLOCK = 8_192  # rows of one float32 product
_CENTERS_IN_MEMORY = 256 << 20  # bytes; more classes than fit here are summed in a mapped scratch file


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter about the mean of a set of rows.

    mean_D: (d,) float64; scatter_DD: Σ (x − mean)(x − mean)ᵀ, (d, d) float64; `count` rows.
    """

    count: int
    mean_D: NDArray[np.float64]
    scatter_DD: NDArray[np.float64]


@dataclass(frozen=True)
class Within:
    """Pooled scatter of the rows about their class means, with Σ (n_c − 1) degrees of freedom."""

    scatter_DD: NDArray[np.float64]
    degrees: int


class SecondMoment:
    """Σ x and Σ x xᵀ of rows that arrive in blocks."""

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.sum_D = np.zeros(dimension)
        self.product_DD = np.zeros((dimension, dimension))

    def add(self, x_BD: NDArray[np.float32]) -> None:
        """Adds at most BLOCK rows. `x.T @ x` runs as a symmetric product: half the multiplications of a general one."""
        self.count += len(x_BD)
        self.sum_D += x_BD.sum(axis=0, dtype=np.float64)
        self.product_DD += x_BD.T @ x_BD

    def moments(self) -> Moments:
        mean_D = self.sum_D / self.count
        return Moments(self.count, mean_D, self.product_DD - self.count * np.outer(mean_D, mean_D))


class ClassSums:
    """Σ x and counts of each class, for labels in any order and any values.

    Few classes are summed in memory. Many (2 million people) are summed in a scratch file whose pages are given back
    after every block, so that the resident memory does not grow with the number of people either.
    """

    def __init__(self, label_N: NDArray[np.int64], dimension: int, scratch: Path | None = None) -> None:
        self.classes, inverse_N, self.count_C = np.unique(label_N, return_inverse=True, return_counts=True)
        self._class_N = inverse_N.astype(np.int32)
        shape = (len(self.classes), dimension)
        self._mapped: mmap.mmap | None = None
        if shape[0] * shape[1] * 4 <= _CENTERS_IN_MEMORY:
            self.sum_CD = np.zeros(shape, np.float32)
        else:
            self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - lives as long as the sums
            self._file.truncate(shape[0] * shape[1] * 4)
            self._mapped = mmap.mmap(self._file.fileno(), 0)
            self.sum_CD = np.frombuffer(self._mapped, np.float32).reshape(shape)

    def add(self, start: int, x_BD: NDArray[np.float32]) -> None:
        """Adds rows `start` … of the stream: sorted by class, so that each class is one contiguous sum."""
        class_B = self._class_N[start : start + len(x_BD)]
        if (np.diff(class_B) < 0).any():
            order_B = np.argsort(class_B, kind="stable")
            class_B, x_BD = class_B[order_B], x_BD[order_B]
        first_K = np.flatnonzero(np.diff(class_B, prepend=-1))
        self.sum_CD[class_B[first_K]] += np.add.reduceat(x_BD, first_K, axis=0)
        self.release()

    def release(self) -> None:
        """Lets the kernel take the scratch file's pages back; their content stays."""
        if self._mapped is not None and hasattr(self._mapped, "madvise"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def means(self, start: int, stop: int) -> NDArray[np.float32]:
        """Mean rows, not normalised, of classes `start` … `stop` − 1."""
        means_BD = self.sum_CD[start:stop] / self.count_C[start:stop, None].astype(np.float32)
        self.release()
        return np.asarray(means_BD, np.float32)

    def within(self, total: SecondMoment) -> Within:
        """Σ_i (x − μ_c)(x − μ_c)ᵀ = Σ x xᵀ − Σ_c n_c μ_c μ_cᵀ."""
        between_DD = np.zeros_like(total.product_DD)
        root_C = np.sqrt(self.count_C).astype(np.float32)
        for start in range(0, len(self.classes), BLOCK):
            stop = start + BLOCK
            scaled_BD = self.means(start, stop) * root_C[start:stop, None]
            between_DD += scaled_BD.T @ scaled_BD
        return Within(total.product_DD - between_DD, int((self.count_C - 1).sum()))


@dataclass(frozen=True)
class Scan:
    """What one pass over an embedding set gives.

    `kept_KD` are the rows that were asked for, float32; `fingerprint` identifies the input.
    """

    total: SecondMoment
    classes: ClassSums | None
    kept_KD: NDArray[np.float32]
    fingerprint: str


def scan(embeddings: EmbeddingSet, keep_K: NDArray[np.int64] | None = None, scratch: Path | None = None) -> Scan:
    """One pass over all rows: second moment, class sums where there are labels, and rows `keep_K` (sorted) themselves.

    Memory: a block of BLOCK × d, the labels, the kept rows and at most 256 MiB of class sums, however many rows.
    """
    total = SecondMoment(embeddings.dimension)
    labels_N = embeddings.labels_N
    classes = None if labels_N is None else ClassSums(labels_N, embeddings.dimension, scratch)
    keep_K = np.empty(0, np.int64) if keep_K is None else keep_K
    kept_KD = np.empty((len(keep_K), embeddings.dimension), np.float32)
    digest = hashlib.sha256()
    with Progress(len(embeddings), "embeddings", "reading") as progress:
        for chunk in embeddings.chunks(BLOCK, reuse=True, digest=digest):
            rows = len(chunk.embedding_BD)
            total.add(chunk.embedding_BD)
            if classes is not None:
                classes.add(chunk.start, chunk.embedding_BD)
            first, last = np.searchsorted(keep_K, (chunk.start, chunk.start + rows))
            kept_KD[first:last] = chunk.embedding_BD[keep_K[first:last] - chunk.start]
            progress.update(rows)
    return Scan(total, classes, kept_KD, embeddings.sealed(digest))
