"""How well people can be told apart: genuine and impostor similarities, EER and d′."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import seeds

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
Floats = NDArray[np.floating]


def equal_error_rate(genuine_G: Floats, impostor_I: Floats) -> float:
    """The rate at which as many genuine pairs are refused as impostor pairs are accepted, 0…1.

    Over all thresholds that lie between scores, linearly interpolated at the crossing (ISO/IEC 19795-1).
    """
    score_S = np.unique(np.concatenate([genuine_G, impostor_I]))
    genuine_G, impostor_I = np.sort(genuine_G), np.sort(impostor_I)
    # accepting scores >= t, for t = each score and one beyond the largest
    refused_S = np.append(np.searchsorted(genuine_G, score_S, "left"), len(genuine_G)) / len(genuine_G)
    accepted_S = 1 - np.append(np.searchsorted(impostor_I, score_S, "left"), len(impostor_I)) / len(impostor_I)
    gap_S = refused_S - accepted_S
    after = int(np.argmax(gap_S >= 0))
    if after == 0 or gap_S[after] == 0:
        return float((refused_S[after] + accepted_S[after]) / 2)
    share = -gap_S[after - 1] / (gap_S[after] - gap_S[after - 1])
    return float(refused_S[after - 1] + share * (refused_S[after] - refused_S[after - 1]))


def d_prime(genuine_G: Floats, impostor_I: Floats) -> float:
    """Distance of the means in units of the pooled deviation: |μ_g − μ_i| / √((σ_g² + σ_i²) / 2)."""
    pooled = np.sqrt((np.var(genuine_G, dtype=np.float64) + np.var(impostor_I, dtype=np.float64)) / 2)
    return float(abs(np.mean(genuine_G, dtype=np.float64) - np.mean(impostor_I, dtype=np.float64)) / pooled)


def summary(score_S: Floats) -> dict[str, Any]:
    """Mean, standard deviation, number and quantiles of scores."""
    return {
        "mean": float(np.mean(score_S, dtype=np.float64)),
        "std": float(np.std(score_S, dtype=np.float64)),
        "count": int(score_S.size),
        "quantiles": {f"{q:g}": float(v) for q, v in zip(QUANTILES, np.quantile(score_S, QUANTILES), strict=True)},
    }


def pair_scores(
    embedding_MD: NDArray[np.float32], identity_M: NDArray[np.int64], seed: int, most_impostors: int = 2_000_000
) -> tuple[Floats, Floats]:
    """Similarities of all pairs of one identity, and of pairs of two (all of them, or a seeded draw of as many)."""
    order_M = np.argsort(identity_M, kind="stable")
    row_MD, owner_M = embedding_MD[order_M], identity_M[order_M]
    edges = [*np.flatnonzero(np.diff(owner_M, prepend=owner_M[0] - 1)).tolist(), len(owner_M)]
    genuine = [(row_MD[a:b] @ row_MD[a:b].T)[np.triu_indices(b - a, k=1)] for a, b in itertools.pairwise(edges)]
    count = len(owner_M)
    if count * (count - 1) // 2 <= most_impostors:
        first_P, second_P = np.triu_indices(count, k=1)
    else:
        rng = seeds.generator(seed, "impostor pairs")
        first_P, second_P = rng.integers(0, count, (2, most_impostors))
    other_P = owner_M[first_P] != owner_M[second_P]
    first_P, second_P = first_P[other_P], second_P[other_P]
    impostor_P = np.empty(len(first_P), np.float32)
    for start in range(0, len(first_P), 65_536):
        part = slice(start, start + 65_536)
        impostor_P[part] = np.einsum("pd,pd->p", row_MD[first_P[part]], row_MD[second_P[part]])
    return np.concatenate(genuine), impostor_P
