"""How well genuine and impostor similarities can be told apart: the figures that the field's papers give.

EER and d′ are in separability.py. Scores are cosine similarities; a pair is accepted when its score is at least the
threshold t. FMR(t) is the share of impostor pairs accepted, FNMR(t) the share of genuine pairs refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import seeds
from synthface.identity import separability
from synthface.identity.confirm import histogram

Floats = NDArray[np.floating]
_ROC_POINTS = 60
_BAND = 2_048


def fnmr_at_fmr(genuine_G: Floats, impostor_I: Floats, fmr: float) -> float:
    """FNMR100 for fmr = .01, FMR1000 for .001: the lowest FNMR(t) over all t with FMR(t) ≤ `fmr`. Scores ascend.

    IDiff-Face (ICCV 2023) and NegFaceDiff (ICCV Workshops 2025) give them as "FMR100" and "FMR1000", after FVC2004.
    """
    allowed = int(fmr * len(impostor_I) * (1 + 1e-12))  # impostor pairs that may be accepted
    if allowed >= len(impostor_I):
        return 0.0
    highest_refused = impostor_I[len(impostor_I) - 1 - allowed]
    return float(np.searchsorted(genuine_G, highest_refused, "right") / len(genuine_G))


def fisher_ratio(genuine_G: Floats, impostor_I: Floats) -> float:
    """FDR = (μ_g − μ_i)² / (σ_g² + σ_i²), Fisher's discriminant ratio (IDiff-Face, ICCV 2023; NegFaceDiff). d′² = 2 FDR."""
    apart = float(np.mean(genuine_G, dtype=np.float64) - np.mean(impostor_I, dtype=np.float64))
    return apart**2 / float(np.var(genuine_G, dtype=np.float64) + np.var(impostor_I, dtype=np.float64))


def roc(genuine_G: Floats, impostor_I: Floats) -> dict[str, list[float]]:
    """1 − FNMR at false match rates from one impostor pair to all, evenly on a logarithmic scale. Scores ascend."""
    fmr_P = np.geomspace(1 / len(impostor_I), 1, _ROC_POINTS)
    return {"fmr": fmr_P.tolist(), "tmr": [1 - fnmr_at_fmr(genuine_G, impostor_I, fmr) for fmr in fmr_P.tolist()]}


def separation(genuine_G: Floats, impostor_I: Floats) -> dict[str, Any]:
    """All figures of two sets of scores; sorts both in place. What is not defined for so few pairs is None."""
    genuine_G.sort()
    impostor_I.sort()
    both = len(genuine_G) > 0 and len(impostor_I) > 0
    spread = both and (genuine_G[0] < genuine_G[-1] or impostor_I[0] < impostor_I[-1])
    return {
        "eer": separability.equal_error_rate(genuine_G, impostor_I) if both else None,
        "fmr100": fnmr_at_fmr(genuine_G, impostor_I, 0.01) if both else None,
        "fmr1000": fnmr_at_fmr(genuine_G, impostor_I, 0.001) if both else None,
        "fdr": fisher_ratio(genuine_G, impostor_I) if spread else None,
        "d_prime": separability.d_prime(genuine_G, impostor_I) if spread else None,
        "genuine": described(genuine_G),
        "impostor": described(impostor_I),
        "roc": roc(genuine_G, impostor_I) if both else None,
    }


def described(score_S: Floats) -> dict[str, Any] | None:
    """Summary and histogram (200 bins from −1 to 1) of similarities; None for none."""
    if not len(score_S):
        return None
    return {**separability.summary(score_S), "histogram": histogram(np.asarray(score_S))}


def drawn_rows(count: int, most: int, seed: int, what: str) -> NDArray[np.int64]:
    """All numbers below `count`, or `most` of them drawn by seed; ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(seeds.generator(seed, what).choice(count, most, replace=False))


def impostor_scores(row_RD: NDArray[np.float32], class_R: NDArray[np.int64]) -> NDArray[np.float32]:
    """Similarities of all pairs of two people among these rows."""
    size_C = np.unique(class_R, return_counts=True)[1]
    total = len(class_R)
    score_I = np.empty(total * (total - 1) // 2 - int((size_C * (size_C - 1) // 2).sum()), np.float32)
    filled = 0
    for start in range(0, total, _BAND):
        band_BD = row_RD[start : start + _BAND]
        gram_BR = band_BD @ row_RD[: start + len(band_BD)].T
        wanted_BR = np.tri(len(gram_BR), gram_BR.shape[1], k=start - 1, dtype=bool)
        wanted_BR &= class_R[start : start + len(band_BD), None] != class_R[: start + len(band_BD)]
        found = gram_BR[wanted_BR]
        score_I[filled : filled + len(found)] = found
        filled += len(found)
    return score_I
