"""Who is too near to whom: the question of greedy sampling, answered exactly and in blocks.

Two rows are *too near* when their exact similarity (`sphere.exact_similarity`) is at or above the threshold. Engines
find the pairs that may be; what lies within the engine's error bound of the threshold is decided by the exact value.
All engines therefore give the same answer, bit for bit.

    Int8Engine    8-bit products on the CPU's integer units (onnxruntime), then float32, then exact
    FaissEngine   a faiss flat index in float32, on GPUs where faiss-gpu is installed, then exact
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from synthface.identity import sphere
from synthface.identity.int8 import Queries, Tile

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
TILE = 4_096  # rows of one index tile
_WORTH_DROPPING = 7 / 8  # rejected candidates are dropped from the questions when no more than this share is left


class Engine(Protocol):
    """Rows that were kept, and the test of candidates against them and against each other."""

    rows: int

    def add(self, row_MD: Floats) -> None:
        """Adds unit rows to the index."""

    def near_any(self, candidate_BD: Floats) -> Bools:
        """For each candidate: is any row of the index too near?"""

    def near_pairs(self, candidate_BD: Floats) -> list[tuple[int, int]]:
        """Pairs (earlier, later) of candidates that are too near each other."""


class Band:
    """The threshold and the band around it in which a float32 similarity decides nothing."""

    def __init__(self, threshold: float, dimension: int) -> None:
        self.threshold = threshold
        self.low = threshold - sphere.float32_bound(dimension)
        self.high = threshold + sphere.float32_bound(dimension)

    def settle(self, candidate_D: Floats, row_MD: Floats, similarity_M: Floats) -> Bools:
        """Which of a few rows are too near to one candidate, given their float32 similarities."""
        near_M = similarity_M >= self.high
        for m in np.flatnonzero((similarity_M >= self.low) & ~near_M):
            near_M[m] = sphere.exact_similarity(candidate_D, row_MD[m]) >= self.threshold
        return near_M

    def any_near(self, candidate_BD: Floats, row_MD: Floats) -> Bools:
        """For each candidate: is any of `row_MD` too near? By one dense float32 product."""
        similarity_BM = candidate_BD @ row_MD.T
        near_B = similarity_BM.max(axis=1) >= self.high
        for b in np.flatnonzero(~near_B & (similarity_BM.max(axis=1) >= self.low)):
            near_B[b] = self.settle(candidate_BD[b], row_MD, similarity_BM[b]).any()
        return near_B

    def pairs(self, candidate_BD: Floats) -> list[tuple[int, int]]:
        """Pairs (earlier, later) that are too near, by one dense float32 product."""
        near_BB = candidate_BD @ candidate_BD.T >= self.low
        later_P, earlier_P = np.nonzero(near_BB & np.tri(len(near_BB), k=-1, dtype=bool))
        return self.confirm(candidate_BD, earlier_P, later_P)

    def confirm(
        self, candidate_BD: Floats, earlier_P: NDArray[np.intp], later_P: NDArray[np.intp]
    ) -> list[tuple[int, int]]:
        similarity_P = np.einsum("pd,pd->p", candidate_BD[earlier_P], candidate_BD[later_P])
        return [
            (int(i), int(j))
            for i, j, s in zip(earlier_P, later_P, similarity_P, strict=True)
            if s >= self.high
            or (s >= self.low and sphere.exact_similarity(candidate_BD[i], candidate_BD[j]) >= self.threshold)
        ]


class FaissEngine:
    """A faiss flat index searched in blocks; on all GPUs where faiss-gpu finds some."""

    def __init__(self, threshold: float, dimension: int) -> None:
        import faiss

        self.rows = 0
        self._band = Band(threshold, dimension)
        self._row_MD = np.empty((0, dimension), np.float32)
        self._index: Any = faiss.IndexFlatIP(dimension)
        if gpus() > 0:
            self._index = faiss.index_cpu_to_all_gpus(self._index)

    def add(self, row_MD: Floats) -> None:
        if self.rows + len(row_MD) > len(self._row_MD):
            grown = np.empty((max(2 * len(self._row_MD), self.rows + len(row_MD)), row_MD.shape[1]), np.float32)
            grown[: self.rows] = self._row_MD[: self.rows]
            self._row_MD = grown
        self._row_MD[self.rows : self.rows + len(row_MD)] = row_MD
        self.rows += len(row_MD)
        self._index.add(np.ascontiguousarray(row_MD))

    def near_any(self, candidate_BD: Floats) -> Bools:
        if not self.rows:
            return np.zeros(len(candidate_BD), bool)
        best_B = self._index.search(np.ascontiguousarray(candidate_BD), 1)[0][:, 0]
        near_B: Bools = best_B >= self._band.high
        for b in np.flatnonzero(~near_B & (best_B >= self._band.low)):
            near_B[b] = self._band.any_near(candidate_BD[b : b + 1], self._row_MD[: self.rows])[0]
        return near_B

    def near_pairs(self, candidate_BD: Floats) -> list[tuple[int, int]]:
        return self._band.pairs(candidate_BD)


class Int8Engine:
    """An 8-bit screen with a proven error bound; only what it cannot rule out is computed in float32.

    For a 512-d prior and a threshold of 0.3 the screen leaves some 10⁻⁶ of the pairs, at two to four times the speed of
    float32 products on a CPU with VNNI or AMX (docs/decisions/similarity-screen.md).
    """

    def __init__(self, threshold: float, dimension: int) -> None:
        self.rows = 0
        self._band = Band(threshold, dimension)
        self._tiles: list[Tile] = []
        self._dimension = dimension

    def add(self, row_MD: Floats) -> None:
        done = 0
        while done < len(row_MD):
            if not self._tiles or self._tiles[-1].full:
                self._tiles.append(Tile(self._dimension, TILE))
            done += self._tiles[-1].add(row_MD[done:])
        self.rows += len(row_MD)

    def near_any(self, candidate_BD: Floats) -> Bools:
        near_B = np.zeros(len(candidate_BD), bool)
        asked_B = np.arange(len(candidate_BD))  # the candidates that `queries` holds
        queries = Queries(candidate_BD)
        for tile in self._tiles:
            near_B[asked_B] |= self._near_tile(queries, tile)
            left_B = ~near_B[asked_B]
            if left_B.mean() < _WORTH_DROPPING:
                asked_B, queries = asked_B[left_B], queries.take(left_B)
            if not len(asked_B):
                break
        return near_B

    def _near_tile(self, queries: Queries, tile: Tile) -> Bools:
        near_B = np.zeros(len(queries.row_BD), bool)
        query_P, group_P = tile.suspects(queries, self._band.low)
        if (
            len(query_P) * tile.GROUP > 0.1 * len(near_B) * tile.rows
        ):  # so many suspects that a dense product is cheaper
            return self._band.any_near(queries.row_BD, tile.row_MD[: tile.rows])
        for b, group in zip(query_P, group_P, strict=True):
            if not near_B[b]:
                row_GD = tile.group(group)
                near_B[b] = self._band.settle(queries.row_BD[b], row_GD, row_GD @ queries.row_BD[b]).any()
        return near_B

    def near_pairs(self, candidate_BD: Floats) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for first in range(0, len(candidate_BD), TILE):
            row_MD = candidate_BD[first : first + TILE]
            tile = Tile(self._dimension, TILE)
            tile.add(row_MD)
            queries = Queries(candidate_BD[first:])
            query_P, group_P = tile.suspects(queries, self._band.low)
            if len(query_P) * tile.GROUP > 0.1 * len(queries.row_BD) * tile.rows:
                return self._band.pairs(candidate_BD)
            member_PG = group_P[:, None] * tile.GROUP + np.arange(tile.GROUP)
            later_PG = np.broadcast_to(query_P[:, None], member_PG.shape)
            valid_PG = (member_PG < later_PG) & (member_PG < tile.rows)
            found += self._band.confirm(candidate_BD, member_PG[valid_PG] + first, later_PG[valid_PG] + first)
        return found


def gpus() -> int:
    """How many GPUs faiss can use."""
    import faiss

    return faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0


def engine(name: str, threshold: float, dimension: int) -> Engine:
    """`faiss`, `int8`, or `auto`: faiss where it has GPUs, else int8."""
    if name == "auto":
        name = "faiss" if gpus() else "int8"
    return FaissEngine(threshold, dimension) if name == "faiss" else Int8Engine(threshold, dimension)
