"""First and second moments of a stream of embeddings, of all rows and of class centers, in one pass.

Blocks of rows are multiplied on all cores and summed in float64 in the order of the rows. Because blocks are cut by row
number alone and each is multiplied on one thread, no bit of the result depends on how the rows lie in files, or on the
number of cores.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.identity import sphere
from synthface.identity.embeddings import BLOCK, Block, EmbeddingSet
from synthface.identity.threads import in_order
from synthface.progress import Progress

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
# The first rows are multiplied in float64, at twice the cost. The rounding of a float32 product is 10⁻⁷ of the largest
# eigenvalue; over this many rows its mean falls below 10⁻⁵ of one that is 3,000 times smaller than the average.
_EXACT_ROWS = 1 << 17
_CENTERS_IN_MEMORY = 256 << 20  # bytes; more classes than fit here are summed in a mapped scratch file
_LABELS = 1 << 20  # labels looked at together


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


class Product(NamedTuple):
    """Σ x and Σ x xᵀ of one block of `rows` rows."""

    rows: int
    sum_D: NDArray[np.float64]
    product_DD: NDArray[np.floating]


def product(x_BD: Floats, start: int) -> Product:
    """The moments of the block that begins at row `start`; `x.T @ x` runs as a symmetric product, at half the cost."""
    factor_BD = x_BD.astype(np.float64) if start < _EXACT_ROWS else x_BD
    return Product(len(x_BD), x_BD.sum(axis=0, dtype=np.float64), factor_BD.T @ factor_BD)


class SecondMoment:
    """Σ x and Σ x xᵀ of rows that arrive in blocks."""

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.sum_D = np.zeros(dimension)
        self.product_DD = np.zeros((dimension, dimension))

    def add(self, part: Product) -> None:
        self.count += part.rows
        self.sum_D += part.sum_D
        self.product_DD += part.product_DD

    def moments(self) -> Moments:
        mean_D = self.sum_D / self.count
        return Moments(self.count, mean_D, self.product_DD - self.count * np.outer(mean_D, mean_D))


class ClassPart(NamedTuple):
    """Of one block: classes that occur, how many rows each has, and Σ x of each."""

    class_K: NDArray[np.intp]
    count_K: NDArray[np.intp]
    sum_KD: Floats


class ClassSums:
    """Σ x and counts of each class, for labels in any order and any values.

    Few classes are summed in memory. Many (2 million people) are summed in a scratch file whose pages are given back
    after every block, so that the resident memory does not grow with the number of people either.
    """

    def __init__(self, label_N: Ints, dimension: int, scratch: Path | None = None) -> None:
        self.label_C = np.empty(0, np.int64)
        for start in range(0, len(label_N), _LABELS):
            self.label_C = np.union1d(self.label_C, label_N[start : start + _LABELS])
        self.count_C = np.zeros(len(self.label_C), np.int64)
        shape = (len(self.label_C), dimension)
        self._mapped: mmap.mmap | None = None
        if shape[0] * shape[1] * 4 <= _CENTERS_IN_MEMORY:
            self.sum_CD = np.zeros(shape, np.float32)
        else:
            with files.writing(scratch or tempfile.gettempdir()):
                self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - lives as long as the sums
                # reserved now: a disk that fills later would end the process without a word
                os.posix_fallocate(self._file.fileno(), 0, shape[0] * shape[1] * 4)
            self._mapped = mmap.mmap(self._file.fileno(), 0)
            self.sum_CD = np.frombuffer(self._mapped, np.float32).reshape(shape)

    def part(self, label_B: Ints, x_BD: Floats) -> ClassPart:
        """The sums of one block: sorted by class, so that each class is one contiguous sum."""
        class_B = np.searchsorted(self.label_C, label_B)
        if (np.diff(class_B) < 0).any():
            order_B = np.argsort(class_B, kind="stable")
            class_B, x_BD = class_B[order_B], x_BD[order_B]
        first_K = np.flatnonzero(np.diff(class_B, prepend=-1))
        count_K = np.diff(first_K, append=len(class_B))
        return ClassPart(class_B[first_K], count_K, np.add.reduceat(x_BD, first_K, axis=0))

    def add(self, part: ClassPart) -> None:
        self.count_C[part.class_K] += part.count_K
        self.sum_CD[part.class_K] += part.sum_KD
        self.release()

    def release(self) -> None:
        """Lets the kernel take the scratch file's pages back; their content stays."""
        if self._mapped is not None and hasattr(self._mapped, "madvise"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def means(self, start: int) -> Floats:
        """Mean rows, not normalised, of BLOCK classes from number `start`."""
        stop = start + BLOCK
        means_BD = self.sum_CD[start:stop] / self.count_C[start:stop, None].astype(np.float32)
        self.release()
        return np.asarray(means_BD, np.float32)

    def _starts(self) -> Iterable[int]:
        return range(0, len(self.label_C), BLOCK)

    def centers(self) -> Moments:
        """Moments of the class centers: the mean row of each class, scaled to unit length."""
        moment = SecondMoment(self.sum_CD.shape[1])
        for part in in_order(lambda start: product(sphere.normalize(self.means(start)), start), self._starts()):
            moment.add(part)
        return moment.moments()

    def within(self, total: SecondMoment) -> Within:
        """Σ_i (x − μ_c)(x − μ_c)ᵀ = Σ x xᵀ − Σ_c n_c μ_c μ_cᵀ."""
        root_C = np.sqrt(self.count_C).astype(np.float32)
        between = SecondMoment(self.sum_CD.shape[1])
        for part in in_order(
            lambda start: product(self.means(start) * root_C[start : start + BLOCK, None], start), self._starts()
        ):
            between.add(part)
        return Within(total.product_DD - between.product_DD, int((self.count_C - 1).sum()))


@dataclass(frozen=True)
class Scan:
    """What one pass over an embedding set gives.

    `kept_KD` are the rows that were asked for, float32; `fingerprint` identifies the input.
    """

    total: SecondMoment
    classes: ClassSums | None
    kept_KD: Floats
    fingerprint: str


class _Read(NamedTuple):
    """What is learned from one block."""

    digest: bytes
    product: Product
    classes: ClassPart | None
    kept: slice
    kept_KD: Floats


def scan(embeddings: EmbeddingSet, keep_K: Ints | None = None, scratch: Path | None = None) -> Scan:
    """One pass over all rows: second moment, class sums where there are labels, and rows `keep_K` (sorted) themselves.

    Memory: a few blocks a core, the labels (8 bytes a row), the kept rows and at most 256 MiB of class sums.
    """
    labels_N = embeddings.labels_N
    classes = None if labels_N is None else ClassSums(labels_N, embeddings.dimension, scratch)
    keep_K = np.empty(0, np.int64) if keep_K is None else keep_K
    buffers = threading.local()

    def read(block: Block) -> _Read:
        if not hasattr(buffers, "x_BD"):
            buffers.x_BD = np.empty((BLOCK, embeddings.dimension), np.float32)
        x_BD = block.unit_rows(buffers.x_BD)
        part = None
        if classes is not None and labels_N is not None:
            part = classes.part(labels_N[block.start : block.start + block.rows], x_BD)
        first, last = np.searchsorted(keep_K, (block.start, block.start + block.rows))
        kept_KD = x_BD[keep_K[first:last] - block.start]
        return _Read(block.digest(), product(x_BD, block.start), part, slice(first, last), kept_KD)

    total = SecondMoment(embeddings.dimension)
    kept_KD = np.empty((len(keep_K), embeddings.dimension), np.float32)
    digests = []
    with Progress(len(embeddings), "embeddings", "reading") as progress:
        for part in in_order(read, embeddings.blocks(BLOCK)):
            digests.append(part.digest)
            total.add(part.product)
            if classes is not None and part.classes is not None:
                classes.add(part.classes)
            kept_KD[part.kept] = part.kept_KD
            progress.update(part.product.rows)
    return Scan(total, classes, kept_KD, embeddings.sealed(digests))
