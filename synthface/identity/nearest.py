"""Whose is a point? The question of conditions and of finished pictures, answered exactly over all centers.

And which of many rows is the nearest one: the question of leakage.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthface.identity import neighbours, sphere
from synthface.identity.int8 import Queries, Tile
from synthface.identity.threads import in_order

Floats = NDArray[np.float32]
_BLAS_FROM = 4  # faiss reads all centers once a query below this number of queries, and once for all from it on
_WORTH_SCREENING = 1_000  # centers; faiss looks at fewer in less time than the screen takes to be made
_TILE = 4_096  # rows of one tile of the screen
_TOGETHER = 512  # points that meet the screen at once: their products stay in the cache
_SCREENED_FROM = 0.1  # own similarity below which the screen would leave too many suspects to be of use
_FIRST = 1_024  # rows that are compared in float32 before the screen has a similarity to beat
_DENSE = 1 / 64  # when more pairs than this are suspect, a dense product is cheaper than looking at each
_SUM_IN_DOUBLE = 1e-12  # more than a float64 sum of some thousand products of unit rows can be off, in any order


class Centers:
    """All centers behind a faiss index. center_ND: (N, d) float32 unit rows."""

    def __init__(self, center_ND: Floats) -> None:
        import faiss

        self.center_ND = np.ascontiguousarray(center_ND)
        faiss.cvar.distance_compute_blas_threshold = _BLAS_FROM
        self._index = neighbours.flat_index(center_ND.shape[1])
        self._index.add(self.center_ND)
        self._screen: list[tuple[int, Tile]] = []

    def __len__(self) -> int:
        return len(self.center_ND)

    def own_similarity(self, point_MD: Floats, identity_M: NDArray[np.integer]) -> NDArray[np.float64]:
        """Cosine similarity of each unit row to the center of its identity."""
        own_M: NDArray[np.float64] = np.einsum("md,md->m", point_MD, self.center_ND[identity_M], dtype=np.float64)
        return own_M

    def below(
        self, point_MD: Floats, identity_M: NDArray[np.integer], own_M: NDArray[np.float64], least: float
    ) -> NDArray[np.bool_]:
        """Where the similarity to the own center is below `least`; within the rounding of its sum the exact value decides."""
        below_M: NDArray[np.bool_] = own_M < least
        for m in np.flatnonzero(np.abs(own_M - least) < _SUM_IN_DOUBLE):
            below_M[m] = sphere.exact_similarity(point_MD[m], self.center_ND[identity_M[m]]) < least
        return below_M

    def nearer_to_another(
        self, point_MD: Floats, identity_M: NDArray[np.integer], own_M: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Where another center is nearer (not: as near) than the own one. Near ties are decided by the exact values.

        Among many centers an 8-bit screen, a fifth to a ninth of the work, leaves to faiss what it cannot rule out.
        """
        stolen_M = np.zeros(len(point_MD), bool)
        asked_K = np.flatnonzero(self._may_be_another(point_MD, identity_M, own_M))
        if len(self) > 1 and len(asked_K):
            stolen_M[asked_K] = self._nearer_by_faiss(point_MD[asked_K], identity_M[asked_K], own_M[asked_K])
        return stolen_M

    def _may_be_another(
        self, point_MD: Floats, identity_M: NDArray[np.integer], own_M: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """False where an 8-bit screen proves that no other center is nearer than the own one (see int8.py)."""
        if len(self) < _WORTH_SCREENING:
            return np.ones(len(point_MD), bool)
        may_M: NDArray[np.bool_] = own_M < _SCREENED_FROM
        screened_K = np.flatnonzero(~may_M)
        for start in range(0, len(screened_K), _TOGETHER):
            asked_Q = screened_K[start : start + _TOGETHER]
            queries = Queries(point_MD[asked_Q])
            least_Q = own_M[asked_Q] - sphere.float32_bound(point_MD.shape[1])
            for first, tile in self._tiles():
                query_P, row_P = tile.suspects(queries, least_Q)
                other_P = row_P + first != identity_M[asked_Q[query_P]]
                may_M[asked_Q[query_P[other_P]]] = True
        return may_M

    def _tiles(self) -> list[tuple[int, Tile]]:
        """All centers in 8 bits, made when they are first wanted; by two threads at once, the same twice."""
        if not self._screen:
            self._screen = _tiled(self.center_ND)
        return self._screen

    def _nearer_by_faiss(
        self, point_MD: Floats, identity_M: NDArray[np.integer], own_M: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """The answer from the index over all centers, exact where float32 is not."""
        best_M2, nearest_M2 = self._index.search(np.ascontiguousarray(point_MD), 2)
        row_M, column_M = np.arange(len(point_MD)), (nearest_M2[:, 0] == identity_M).astype(np.intp)
        best_M = best_M2[row_M, column_M]
        bound = sphere.float32_bound(point_MD.shape[1])
        stolen_M: NDArray[np.bool_] = best_M > own_M + bound
        for m in np.flatnonzero(~stolen_M & (best_M >= own_M - bound)):
            stolen_M[m] = self._exactly_nearer(point_MD[m], int(identity_M[m]))
        return stolen_M

    def _exactly_nearer(self, point_D: Floats, identity: int) -> bool:
        """Is the exact similarity of any other center larger? All are looked at: rounding may hide the nearest one."""
        own = sphere.exact_similarity(point_D, self.center_ND[identity])
        similarity_N = self.center_ND @ point_D
        similarity_N[identity] = -np.inf
        for other in np.flatnonzero(similarity_N >= own - sphere.float32_bound(len(point_D))):
            if sphere.exact_similarity(point_D, self.center_ND[other]) > own:
                return True
        return False


class Crowd:
    """Rows of whom the nearest one is asked for, exhaustively. row_MD: (M, d) float32 unit rows, M at least 1.

    On a GPU by faiss. On a CPU an 8-bit screen (int8.py) rules out, with proof, what cannot be nearer than the nearest row
    found so far; the rest is compared in float32.
    """

    def __init__(self, row_MD: Floats) -> None:
        self.row_MD = np.ascontiguousarray(row_MD)
        self._index = neighbours.flat_index(row_MD.shape[1]) if neighbours.gpus() else None
        if self._index is not None:
            self._index.add(self.row_MD)
        self._tiles = [] if self._index is not None else _tiled(self.row_MD, _FIRST)

    def nearest(self, point_BD: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """Similarity (B,) of each unit row to its nearest row, by a float32 product, and that row's number (B,)."""
        if self._index is not None:
            best_B1, row_B1 = self._index.search(np.ascontiguousarray(point_BD), 1)
            return best_B1[:, 0], row_B1[:, 0]
        parts = [point_BD[start : start + _TOGETHER] for start in range(0, len(point_BD), _TOGETHER)]
        found = list(in_order(self._nearest, parts))
        best_B = np.concatenate([np.empty(0, np.float32), *(best for best, _ in found)])
        return best_B, np.concatenate([np.empty(0, np.int64), *(row for _, row in found)])

    def _nearest(self, point_QD: Floats) -> tuple[Floats, NDArray[np.int64]]:
        best_Q, row_Q = _best(point_QD, self.row_MD[:_FIRST])
        queries, bound = Queries(point_QD), sphere.float32_bound(point_QD.shape[1])
        for start, tile in self._tiles:
            part_MD = self.row_MD[start : start + tile.rows]
            query_P, row_P = tile.suspects(queries, best_Q.astype(np.float64) - bound)
            if len(query_P) > _DENSE * len(point_QD) * tile.rows:
                similarity_P, row_P = _best(point_QD, part_MD)
                query_P = np.arange(len(point_QD))
            else:
                similarity_P = np.einsum("pd,pd->p", point_QD[query_P], part_MD[row_P])
            nearer_P = np.flatnonzero(similarity_P > best_Q[query_P])
            rising_P = nearer_P[np.lexsort((-row_P[nearer_P], similarity_P[nearer_P]))]
            best_Q[query_P[rising_P]] = similarity_P[rising_P]  # the last one stays: the nearest, of equals the first
            row_Q[query_P[rising_P]] = row_P[rising_P] + start
        return best_Q, row_Q


def _tiled(row_MD: Floats, first: int = 0) -> list[tuple[int, Tile]]:
    """The rows from number `first` on in 8 bits, tile by tile, each with the number of its first row."""
    tiles = []
    for start in range(first, len(row_MD), _TILE):
        part_MD = row_MD[start : start + _TILE]
        tiles.append((start, Tile(part_MD.shape[1], len(part_MD))))
        tiles[-1][1].add(part_MD)
    return tiles


def _best(point_QD: Floats, row_MD: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Of each point the similarity to its nearest row and that row's number, by one dense float32 product."""
    similarity_QM = point_QD @ row_MD.T
    row_Q = similarity_QM.argmax(axis=1)
    return similarity_QM[np.arange(len(point_QD)), row_Q], row_Q
