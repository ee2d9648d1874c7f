"""What is measured within one person at a time: center, consistency, diversity, genuine similarities."""

from __future__ import annotations

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
_GRAM = 1_024  # rows of one Gram matrix; a person with more pictures is compared in bands of so many
_TOGETHER = 1 << 22  # similarities in one stack of Gram matrices


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
    sum_KD = np.add.reduceat(run.row_BD, run.edge_K[:-1], axis=0, dtype=np.float64)
    center_KD = sphere.normalize(sum_KD / size_K[:, None])
    own_B = np.einsum("bd,bd->b", run.row_BD, np.repeat(center_KD, size_K, axis=0), dtype=np.float64)
    diverse_B = np.ones(len(run.row_BD), bool)
    genuine = []
    for size in np.unique(size_K).tolist():
        start_K = run.edge_K[:-1][size_K == size]
        if size > _GRAM:
            for start in start_K.tolist():
                genuine += _one_person(run.row_BD[start : start + size], threshold, diverse_B[start : start + size])
        elif size > 1:
            genuine += _alike_sized(run.row_BD, start_K, size, threshold, diverse_B)
    genuine_G = np.concatenate([np.empty(0, np.float32), *genuine])
    if share < 1:
        drawn = seeds.generator(seed, "genuine pairs", run.first_class).random(len(genuine_G), np.float32)
        genuine_G = genuine_G[drawn < share]
    return _Part(center_KD, own_B, diverse_B, genuine_G)


def _alike_sized(
    row_BD: Floats, start_K: NDArray[np.int64], size: int, threshold: float, diverse_B: NDArray[np.bool_]
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
        found.append(pair_KP.ravel())
    return found


def _one_person(row_SD: Floats, threshold: float, diverse_S: NDArray[np.bool_]) -> list[Floats]:
    """One person with many pictures, in bands of rows."""
    found = []
    for start in range(0, len(row_SD), _GRAM):
        band_BD = row_SD[start : start + _GRAM]
        gram_BS = band_BD @ row_SD[: start + len(band_BD)].T
        earlier_BS = np.tri(len(gram_BS), gram_BS.shape[1], k=start - 1, dtype=bool)
        diverse_S[start : start + len(band_BD)] = ~((gram_BS >= threshold) & earlier_BS).any(axis=1)
        found.append(gram_BS[earlier_BS])
    return found
