"""Who is too near to whom: the question of greedy sampling, answered exactly and in blocks.

Two rows are *too near* when their exact similarity (`sphere.exact_similarity`) is at or above the threshold. Engines
find the pairs that may be; what lies within the engine's error bound of the threshold is decided by the exact value.
All engines therefore give the same answer, bit for bit.

    Int8Engine    8-bit products on the CPU's integer units (onnxruntime), then float32, then exact
    FaissEngine   a faiss flat index in float32, on GPUs where faiss-gpu is installed, then exact
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from synthface.identity import sphere
from synthface.identity.int8 import Queries, Tile
from synthface.identity.threads import in_order

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Pairs = NDArray[np.intp]  # (P, 2): earlier and later candidate
TILE = 4_096  # rows of one index tile
_QUERIES = 512  # candidates that meet a tile together: their products stay in the cache
_DENSE = 1 / 64  # when more of the tile is suspect than this, a dense product is cheaper than looking at suspects
_WORTH_DROPPING = 7 / 8  # rejected candidates are dropped from the questions when no more than this share is left


class Engine(Protocol):
    """Rows that were kept, and the test of candidates against them and against each other."""

    rows: int

    def add(self, row_MD: Floats) -> None:
        """Adds unit rows to the index."""

    def near_any(self, candidate_BD: Floats) -> Bools:
        """For each candidate: is any row of the index too near?"""

    def near_pairs(self, candidate_BD: Floats) -> Pairs:
        """Pairs (earlier, later) of candidates that are too near each other, in the order of the later one."""


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
        best_B = similarity_BM.max(axis=1)
        near_B: Bools = best_B >= self.high
        for b in np.flatnonzero(~near_B & (best_B >= self.low)):
            near_B[b] = self.settle(candidate_BD[b], row_MD, similarity_BM[b]).any()
        return near_B

    def pairs(self, candidate_BD: Floats, start: int, first: int, row_MD: Floats) -> Pairs:
        """Near pairs of candidates `start` … with the rows, which are candidates `first` …; by a dense float32 product."""
        query_BD = candidate_BD[start : start + _QUERIES]
        similarity_BM = query_BD @ row_MD.T
        near_BM = similarity_BM >= self.low
        near_BM &= np.arange(first, first + len(row_MD)) < np.arange(start, start + len(query_BD))[:, None]
        later_P, earlier_P = np.nonzero(near_BM)
        similarity_P = similarity_BM[later_P, earlier_P]
        return self._confirmed(candidate_BD, earlier_P + first, later_P + start, similarity_P)

    def confirm(self, candidate_BD: Floats, earlier_P: NDArray[np.intp], later_P: NDArray[np.intp]) -> Pairs:
        """Which of a few suspected pairs of candidates are near."""
        similarity_P = np.einsum("pd,pd->p", candidate_BD[earlier_P], candidate_BD[later_P])
        return self._confirmed(candidate_BD, earlier_P, later_P, similarity_P)

    def _confirmed(
        self, candidate_BD: Floats, earlier_P: NDArray[np.intp], later_P: NDArray[np.intp], similarity_P: Floats
    ) -> Pairs:
        near_P = similarity_P >= self.high
        for p in np.flatnonzero(~near_P & (similarity_P >= self.low)):
            pair = candidate_BD[earlier_P[p]], candidate_BD[later_P[p]]
            near_P[p] = sphere.exact_similarity(*pair) >= self.threshold
        return np.stack([earlier_P[near_P], later_P[near_P]], axis=1)


def join(parts: Iterable[Pairs]) -> Pairs:
    """Pairs of several parts, in the order of the later candidate."""
    pair_P2 = np.concatenate([np.empty((0, 2), np.intp), *parts])
    return pair_P2[np.argsort(pair_P2[:, 1], kind="stable")]


class FaissEngine:
    """A faiss flat index searched in blocks; on all GPUs where faiss-gpu finds some."""

    def __init__(self, threshold: float, dimension: int) -> None:
        self.rows = 0
        self._band = Band(threshold, dimension)
        self._row_MD = np.empty((0, dimension), np.float32)
        self._index = flat_index(dimension)

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

    def near_pairs(self, candidate_BD: Floats) -> Pairs:
        starts = range(0, len(candidate_BD), _QUERIES)
        return join(in_order(lambda at: self._band.pairs(candidate_BD, at, 0, candidate_BD[: at + _QUERIES]), starts))


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
        parts = [candidate_BD[start : start + _QUERIES] for start in range(0, len(candidate_BD), _QUERIES)]
        return np.concatenate([np.empty(0, bool), *in_order(self._near_any, parts)])

    def _near_any(self, candidate_BD: Floats) -> Bools:
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
        if len(query_P) * tile.GROUP > _DENSE * len(near_B) * tile.rows:
            return self._band.any_near(queries.row_BD, tile.row_MD[: tile.rows])
        for b, group in zip(query_P, group_P, strict=True):
            if not near_B[b]:
                row_GD = tile.group(group)
                near_B[b] = self._band.settle(queries.row_BD[b], row_GD, row_GD @ queries.row_BD[b]).any()
        return near_B

    def near_pairs(self, candidate_BD: Floats) -> Pairs:
        found: list[Pairs] = []
        for first in range(0, len(candidate_BD), TILE):
            tile = Tile(self._dimension, TILE)
            tile.add(candidate_BD[first : first + TILE])
            starts = range(first, len(candidate_BD), _QUERIES)
            found += in_order(functools.partial(self._pairs_in_tile, candidate_BD, tile, first), starts)
        return join(found)

    def _pairs_in_tile(self, candidate_BD: Floats, tile: Tile, first: int, start: int) -> Pairs:
        """Near pairs of candidates `start` … with the earlier ones in `tile`, whose first row is candidate `first`."""
        queries = Queries(candidate_BD[start : start + _QUERIES])
        earlier = min(tile.rows, start + len(queries.row_BD) - first)
        query_P, group_P = tile.suspects(queries, self._band.low, earlier)
        if len(query_P) * tile.GROUP > _DENSE * len(queries.row_BD) * earlier:
            return self._band.pairs(candidate_BD, start, first, tile.row_MD[:earlier])
        earlier_P = (group_P[:, None] * tile.GROUP + np.arange(tile.GROUP)).ravel() + first
        later_P = np.repeat(query_P, tile.GROUP) + start
        valid_P = (earlier_P < later_P) & (earlier_P < first + tile.rows)
        return self._band.confirm(candidate_BD, earlier_P[valid_P], later_P[valid_P])


def gpus() -> int:
    """How many GPUs faiss can use."""
    import faiss

    return faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0


def flat_index(dimension: int) -> Any:
    """An exhaustive faiss index of inner products; on all GPUs where faiss-gpu finds some."""
    import faiss

    index = faiss.IndexFlatIP(dimension)
    return faiss.index_cpu_to_all_gpus(index) if gpus() else index


def engine(name: str, threshold: float, dimension: int) -> Engine:
    """`faiss`, `int8`, or `auto`: faiss where it has GPUs, else int8."""
    if name == "auto":
        name = "faiss" if gpus() else "int8"
    return FaissEngine(threshold, dimension) if name == "faiss" else Int8Engine(threshold, dimension)
