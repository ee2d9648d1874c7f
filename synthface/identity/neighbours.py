"""Who is too near to whom: the question of greedy sampling, answered exactly and in blocks.

Two rows are *too near* when their exact similarity (`sphere.exact_similarity`) is at or above the threshold. Engines
find the pairs that may be; what lies within the engine's error bound of the threshold is decided by the exact value.
All engines therefore give the same answer, bit for bit.

    Int8Engine    8-bit products on the CPU's integer units (onnxruntime), then float32, then exact
    FaissEngine   a faiss flat index in float32, on GPUs where faiss-gpu is installed, then exact
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from synthface.identity import sphere
from synthface.identity.int8 import Queries, Tile
from synthface.identity.threads import in_order

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Pairs = NDArray[np.intp]  # (P, 2): earlier and later candidate
TILE = 2_048  # rows of one index tile
_QUERIES = 512  # candidates that meet a tile together: their products stay in the cache
_WORTH_PACKING = 2_048  # candidates that meet a tile; fewer take less time than packing it does
_DENSE = 1 / 256  # when more pairs than this are suspect, a dense product is cheaper than looking at each
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

    def keep(self, kept_K: NDArray[np.intp]) -> None:
        """Adds those of the candidates that `near_pairs` was asked about last; their numbers ascend."""


class Band:
    """The threshold and the band around it in which a float32 similarity decides nothing."""

    def __init__(self, threshold: float, dimension: int) -> None:
        self.threshold = threshold
        self.low = threshold - sphere.float32_bound(dimension)
        self.high = threshold + sphere.float32_bound(dimension)

    def near(self, a_PD: Floats, b_PD: Floats) -> Bools:
        """Which of the pairs of rows are too near."""
        return self._decided(np.einsum("pd,pd->p", a_PD, b_PD), lambda p: (a_PD[p], b_PD[p]))

    def any_near(self, query_BD: Floats, row_MD: Floats) -> Bools:
        """For each query: is any of the rows too near? By one dense float32 product."""
        similarity_BM = query_BD @ row_MD.T
        best_B = similarity_BM.max(axis=1)
        near_B: Bools = best_B >= self.high
        for b in np.flatnonzero(~near_B & (best_B >= self.low)):
            near_M = self._decided(similarity_BM[b], lambda m, b=b: (query_BD[b], row_MD[m]))  # type: ignore[misc]
            near_B[b] = near_M.any()
        return near_B

    def pairs(self, query_BD: Floats, first_query: int, row_MD: Floats, first_row: int) -> Pairs:
        """Pairs of a row and a later query that are too near, by one dense float32 product.

        The queries are candidates `first_query` …, the rows are candidates `first_row` ….
        """
        similarity_BM = query_BD @ row_MD.T
        suspect_BM = similarity_BM >= self.low
        suspect_BM &= np.arange(first_row, first_row + len(row_MD)) < (first_query + np.arange(len(query_BD)))[:, None]
        query_P, row_P = np.divmod(np.flatnonzero(suspect_BM), max(len(row_MD), 1))
        near_P = self._decided(similarity_BM[query_P, row_P], lambda p: (query_BD[query_P[p]], row_MD[row_P[p]]))
        return np.stack([row_P[near_P] + first_row, query_P[near_P] + first_query], axis=1)

    def _decided(self, similarity_P: Floats, pair: Callable[[int], tuple[Floats, Floats]]) -> Bools:
        """Which float32 similarities mean too near; within their rounding of the threshold the exact value decides."""
        near_P = similarity_P >= self.high
        for p in np.flatnonzero((similarity_P >= self.low) & ~near_P):
            near_P[p] = sphere.exact_similarity(*pair(int(p))) >= self.threshold
        return near_P


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
        self._asked_BD = self._row_MD

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

    def keep(self, kept_K: NDArray[np.intp]) -> None:
        self.add(self._asked_BD[kept_K])

    def near_pairs(self, candidate_BD: Floats) -> Pairs:
        self._asked_BD = candidate_BD
        starts = range(0, len(candidate_BD), _QUERIES)
        parts = in_order(
            lambda at: self._band.pairs(candidate_BD[at : at + _QUERIES], at, candidate_BD[: at + _QUERIES], 0), starts
        )
        return join(parts)


class _Part(NamedTuple):
    """Rows of the index: in 8 bits, the same in float32 (or more, of which the tile holds the first), and which count."""

    tile: Tile
    row_MD: Floats
    kept_M: Bools | None = None


class Int8Engine:
    """An 8-bit screen with a proven error bound; only what it cannot rule out is computed in float32.

    For a 512-d prior and a threshold of 0.3 the screen leaves fewer than one pair in 10,000
    (docs/decisions/similarity-screen.md).
    """

    def __init__(self, threshold: float, dimension: int) -> None:
        self.rows = 0
        self._band = Band(threshold, dimension)
        self._parts: list[_Part] = []
        self._asked: list[_Part] = []  # the candidates that met each other last
        self._dimension = dimension

    def add(self, row_MD: Floats) -> None:
        done = 0
        while done < len(row_MD):
            if not self._parts or self._parts[-1].tile.rows == self._parts[-1].tile.capacity:
                self._parts.append(_Part(Tile(self._dimension, TILE), np.empty((TILE, self._dimension), np.float32)))
            tile, kept_MD, _ = self._parts[-1]
            part_MD = row_MD[done : done + tile.capacity - tile.rows]
            kept_MD[tile.rows : tile.rows + len(part_MD)] = part_MD
            tile.add(part_MD)
            done += len(part_MD)
            self.rows += len(part_MD)

    def keep(self, kept_K: NDArray[np.intp]) -> None:
        first = 0
        for tile, row_MD, _ in self._asked:
            kept_M = np.zeros(tile.rows, bool)
            kept_M[kept_K[(kept_K >= first) & (kept_K < first + tile.rows)] - first] = True
            if tile.rows == tile.capacity and kept_M.mean() >= _WORTH_DROPPING:
                self._parts.append(_Part(tile, row_MD, kept_M))  # as it is: the few others are passed over
                self.rows += int(kept_M.sum())
            else:
                self.add(row_MD[kept_M])
            first += tile.rows
        self._asked = []

    def near_any(self, candidate_BD: Floats) -> Bools:
        if not self._parts:
            return np.zeros(len(candidate_BD), bool)
        if len(candidate_BD) >= _WORTH_PACKING:
            for part in self._parts:
                part.tile.pack()
        parts = [candidate_BD[start : start + _QUERIES] for start in range(0, len(candidate_BD), _QUERIES)]
        return np.concatenate([np.empty(0, bool), *in_order(self._near_any, parts)])

    def _near_any(self, candidate_BD: Floats) -> Bools:
        near_B = np.zeros(len(candidate_BD), bool)
        asked_B = np.arange(len(candidate_BD))  # the candidates that `query_BD` and `queries` hold
        query_BD, queries = candidate_BD, Queries(candidate_BD)
        for part in self._parts:
            near_B[asked_B] |= self._near_part(query_BD, queries, part)
            left_B = ~near_B[asked_B]
            if left_B.mean() < _WORTH_DROPPING:
                asked_B, query_BD, queries = asked_B[left_B], query_BD[left_B], queries.take(left_B)
            if not len(asked_B):
                break
        return near_B

    def _near_part(self, query_BD: Floats, queries: Queries, part: _Part) -> Bools:
        query_P, row_P = part.tile.suspects(queries, self._band.low)
        row_MD = part.row_MD[: part.tile.rows]
        if len(query_P) > _DENSE * len(query_BD) * len(row_MD):
            return self._band.any_near(query_BD, row_MD if part.kept_M is None else row_MD[part.kept_M])
        if part.kept_M is not None:
            query_P, row_P = query_P[part.kept_M[row_P]], row_P[part.kept_M[row_P]]
        near_B = np.zeros(len(query_BD), bool)
        near_B[query_P[self._band.near(query_BD[query_P], row_MD[row_P])]] = True
        return near_B

    def near_pairs(self, candidate_BD: Floats) -> Pairs:
        packed = len(candidate_BD) >= _WORTH_PACKING
        rows = [candidate_BD[first : first + TILE] for first in range(0, len(candidate_BD), TILE)]
        self._asked = list(in_order(lambda row_MD: _Part(self._tile(row_MD, packed), row_MD), rows))
        starts = range(0, len(candidate_BD), _QUERIES)
        return join(in_order(functools.partial(self._pairs_of, candidate_BD), starts))

    def _tile(self, row_MD: Floats, packed: bool) -> Tile:
        tile = Tile(self._dimension, TILE)
        tile.add(row_MD)
        if packed:
            tile.pack()
        return tile

    def _pairs_of(self, candidate_BD: Floats, start: int) -> Pairs:
        """Near pairs of candidates `start` … with all earlier ones."""
        query_BD = candidate_BD[start : start + _QUERIES]
        queries, first, found = Queries(query_BD), 0, []
        for tile, row_MD, _ in self._asked:
            if first < start + len(query_BD):
                query_P, row_P = tile.suspects(queries, self._band.low, start - first)
                if len(query_P) > _DENSE * len(query_BD) * len(row_MD):
                    found.append(self._band.pairs(query_BD, start, row_MD, first))
                else:
                    near_P = self._band.near(query_BD[query_P], row_MD[row_P])
                    found.append(np.stack([row_P[near_P] + first, query_P[near_P] + start], axis=1))
            first += tile.rows
        return np.concatenate(found)


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
