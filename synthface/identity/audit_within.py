"""What is measured within one person at a time: center, consistency, diversity, genuine similarities.

All pairs of a person are compared and none but the drawn ones kept: one person with many pictures takes time that grows with
their square, and memory that grows with the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface import seeds
from synthface.identity import sphere
from synthface.identity.audit_classes import People, Run, runs
from synthface.identity.embeddings import EmbeddingSet
from synthface.identity.threads import in_order
from synthface.progress import Progress

Floats = NDArray[np.float32]
Draw = Callable[[Floats], Floats]  # similarities of pairs, each pair once → those that are kept
_GRAM = 1_024  # rows of one Gram matrix; a person with more pictures is compared in tiles of so many rows
_TOGETHER = 1 << 22  # similarities in one stack of Gram matrices, and in one tile
_ROWS = 8_192  # rows that are compared with their centers at once
_COLUMNS = 64  # columns that are added up at once


@dataclass(frozen=True)
class Within:
    """center_CD: (C, d) unit rows; own_N: each row's similarity to its own center; genuine_G: similarities of pairs.

    diverse_N: whether a row is farther than the threshold from all earlier rows of its person; pairs: all genuine pairs
    there are, of which genuine_G holds all or a seeded draw.
    """

    center_CD: Floats
    own_N: NDArray[np.float64]
    diverse_N: NDArray[np.bool_]
    genuine_G: Floats
    pairs: int


class _Part(NamedTuple):
    center_KD: Floats
    own_B: NDArray[np.float64]
    diverse_B: NDArray[np.bool_]
    genuine_G: Floats


def within(
    rows: EmbeddingSet, people: People, threshold: float, most_pairs: int, seed: int, scratch: Path | None = None
) -> Within:
    """One pass over all people. threshold: similarity from which on two pictures are too alike to count as diverse."""
    pairs = int((people.count_C * (people.count_C - 1) // 2).sum())
    share = min(1.0, most_pairs / max(pairs, 1))

    def measure(run: Run) -> tuple[Run, _Part]:
        return run, _measured(run, threshold, share, seed)

    center_CD = np.empty((len(people), rows.dimension), np.float32)
    own_N, diverse_N = np.empty(len(rows)), np.empty(len(rows), bool)
    genuine: list[Floats] = []
    with Progress(len(rows), "embeddings", "within people") as progress:
        for run, part in in_order(measure, runs(rows, people, scratch)):
            center_CD[run.first_class : run.first_class + len(part.center_KD)] = part.center_KD
            own_N[run.number_B], diverse_N[run.number_B] = part.own_B, part.diverse_B
            genuine.append(part.genuine_G)
            progress.update(len(run.row_BD))
    return Within(center_CD, own_N, diverse_N, np.concatenate(genuine), pairs)


def _measured(run: Run, threshold: float, share: float, seed: int) -> _Part:
    size_K = np.diff(run.edge_K)
    center_KD = sphere.normalize(_sums(run.row_BD, run.edge_K[:-1]) / size_K[:, None])
    own_B = _own(run.row_BD, center_KD, np.repeat(np.arange(len(size_K)), size_K))
    diverse_B = np.ones(len(run.row_BD), bool)
    draw = _drawing(share, seed, run.first_class)
    genuine = []
    for size in np.unique(size_K).tolist():
        start_K = run.edge_K[:-1][size_K == size]
        if size > _GRAM:
            for start in start_K.tolist():
                rows = slice(start, start + size)
                genuine += _one_person(run.row_BD[rows], threshold, diverse_B[rows], draw)
        elif size > 1:
            genuine += _alike_sized(run.row_BD, start_K, size, threshold, diverse_B, draw)
    return _Part(center_KD, own_B, diverse_B, np.concatenate([np.empty(0, np.float32), *genuine]))


def _sums(row_BD: Floats, start_K: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums (K, d) of each person's rows; a few columns at a time, for NumPy copies what it adds up in float64."""
    sum_KD = np.empty((len(start_K), row_BD.shape[1]))
    for first in range(0, row_BD.shape[1], _COLUMNS):
        part = slice(first, first + _COLUMNS)
        sum_KD[:, part] = np.add.reduceat(row_BD[:, part], start_K, axis=0, dtype=np.float64)
    return sum_KD


def _own(row_BD: Floats, center_KD: Floats, person_B: NDArray[np.int64]) -> NDArray[np.float64]:
    """Similarity of each row to the center of its person."""
    own_B = np.empty(len(row_BD))
    for start in range(0, len(row_BD), _ROWS):
        part = slice(start, start + _ROWS)
        own_B[part] = np.einsum("bd,bd->b", row_BD[part], center_KD[person_B[part]], dtype=np.float64)
    return own_B


def _drawing(share: float, seed: int, first_class: int) -> Draw:
    """Keeps each pair with probability `share`: by seed and by the pairs' order alone, however they are cut into calls."""
    rng = seeds.generator(seed, "genuine pairs", first_class)

    def draw(pair_P: Floats) -> Floats:
        return pair_P if share == 1 else pair_P[rng.random(len(pair_P), np.float32) < share]

    return draw


def _alike_sized(
    row_BD: Floats, start_K: NDArray[np.int64], size: int, threshold: float, diverse_B: NDArray[np.bool_], draw: Draw
) -> list[Floats]:
    """People with `size` pictures each: their Gram matrices as one stack. Writes into diverse_B; gives similarities."""
    second_P, first_P = np.tril_indices(size, k=-1)
    group = max(1, _TOGETHER // size**2)
    found = []
    for begin in range(0, len(start_K), group):
        row_KS = start_K[begin : begin + group, None] + np.arange(size)
        row_KSD = row_BD[row_KS]
        pair_KP = np.matmul(row_KSD, row_KSD.transpose(0, 2, 1))[:, second_P, first_P]
        near_KP = pair_KP >= threshold
        # tril_indices lists row 1, rows 2 2, rows 3 3 3 …: earlier rows of each row lie together
        near_KS = np.maximum.reduceat(near_KP, np.flatnonzero(np.diff(second_P, prepend=0)), axis=1)
        diverse_B[row_KS[:, 1:].ravel()] = ~near_KS.ravel()
        found.append(draw(pair_KP.ravel()))
    return found


def _one_person(row_SD: Floats, threshold: float, diverse_S: NDArray[np.bool_], draw: Draw) -> list[Floats]:
    """One person with many pictures, in tiles: a band of rows against a stretch of the rows before its end."""
    found = []
    wide = max(1, _TOGETHER // _GRAM)
    for start in range(0, len(row_SD), _GRAM):
        band_BD = row_SD[start : start + _GRAM]
        end = start + len(band_BD)
        for first in range(0, end, wide):
            gram_BT = band_BD @ row_SD[first : min(first + wide, end)].T
            earlier_BT = np.tri(len(gram_BT), gram_BT.shape[1], k=start - first - 1, dtype=bool)
            diverse_S[start:end] &= ~((gram_BT >= threshold) & earlier_BT).any(axis=1)
            found.append(draw(gram_BT[earlier_BT]))
    return found
