"""How well people can be told apart: genuine and impostor similarities, EER and d′."""

from __future__ import annotations

import bisect
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import seeds

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
Floats = NDArray[np.floating]


def equal_error_rate(genuine_G: Floats, impostor_I: Floats) -> float:
    """The rate at which as many genuine pairs are refused as impostor pairs are accepted, 0…1.

    Over all thresholds that lie between scores, linearly interpolated at the crossing (ISO/IEC 19795-1). The crossing is
    found by bisection: beside the two sorted arrays no memory is taken, whatever the number of scores.
    """
    genuine_G, impostor_I = np.sort(genuine_G), np.sort(impostor_I)

    def rates(threshold: float) -> tuple[float, float]:
        """Shares of genuine pairs refused and of impostor pairs accepted, when scores >= threshold are accepted."""
        refused = np.searchsorted(genuine_G, threshold, "left") / len(genuine_G)
        return float(refused), float(1 - np.searchsorted(impostor_I, threshold, "left") / len(impostor_I))

    def crossed(threshold: float) -> bool:
        refused, accepted = rates(threshold)
        return refused >= accepted

    # the lowest score at which the rates have crossed; beyond the largest score they have
    firsts = [
        score_S[place]
        for score_S in (genuine_G, impostor_I)
        if (place := bisect.bisect_left(score_S, True, key=crossed)) < len(score_S)
    ]
    after = min(firsts, default=np.inf)
    befores = [score_S[np.searchsorted(score_S, after, "left") - 1] for score_S in (genuine_G, impostor_I) if score_S[0] < after]  # fmt: skip
    refused, accepted = rates(after)
    if not befores or refused == accepted:
        return (refused + accepted) / 2
    refused_before, accepted_before = rates(max(befores))
    share = (accepted_before - refused_before) / (refused - accepted + accepted_before - refused_before)
    return refused_before + share * (refused - refused_before)


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
