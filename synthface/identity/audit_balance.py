"""Is every group of people there? Shares and evenness, of categories and of measured values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# individual typology angle, degrees, from which on a skin tone has the name (Chardon et al., Int. J. Cosmet. Sci. 1991)
TONES = (
    ("very light", 55.0),
    ("light", 41.0),
    ("intermediate", 28.0),
    ("tan", 10.0),
    ("brown", -30.0),
    ("dark", -90.0),
)
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def balance(value_C: Sequence[str], images_C: NDArray[np.int64]) -> dict[str, Any]:
    """How people and pictures spread over groups. value_C: each person's group; images_C: each person's pictures.

    `evenness` is Shannon's: H / ln k = −Σ p ln p / ln k over the k groups that occur, 1 when all are as large (Merler et
    al., "Diversity in Faces", 2019, table 3). `smallest_to_largest`: share of the rarest group over the commonest one's.
    """
    names, group_C, people_K = np.unique(np.asarray(value_C, dtype=object).astype(str), return_inverse=True, return_counts=True)  # fmt: skip
    pictures_K = np.bincount(group_C, images_C, len(names)).astype(np.int64)
    groups = {
        str(name): {"people": int(people), "share": float(people / people_K.sum()), "images": int(pictures)}
        for name, people, pictures in zip(names, people_K, pictures_K, strict=True)
    }
    return {
        "groups": groups,
        "evenness": evenness(people_K),
        "smallest_to_largest": float(people_K.min() / people_K.max()),
    }


def evenness(count_K: NDArray[np.int64]) -> float | None:
    """Shannon's evenness of counts; None for a single group."""
    if len(count_K) < 2:
        return None
    share_K = count_K[count_K > 0] / count_K.sum()
    return float(-(share_K * np.log(share_K)).sum() / np.log(len(count_K)))


def tone(angle: float) -> str:
    """The name of a skin tone by its typology angle."""
    return next(name for name, least in TONES if angle > least or name == "dark")


def measured(
    value_M: NDArray[np.floating], class_M: NDArray[np.int64], low: float, high: float, bins: int = 60
) -> dict[str, Any] | None:
    """Spread of a measured value, NaN where unknown: mean, deviation, quantiles, histogram, and deviation within people.

    `within` is √(Σ (x − person's mean)² / Σ (n − 1)) over people with two known values or more; None where there are none.
    None for all when nothing is known. What lies outside `low` … `high` falls into the last bin.
    """
    known_M = ~np.isnan(value_M)
    value_K, class_K = value_M[known_M].astype(np.float64), class_M[known_M]
    if not len(value_K):
        return None
    _, place_K, count_P = np.unique(class_K, return_inverse=True, return_counts=True)
    mean_P = np.bincount(place_K, value_K) / count_P
    degrees = int((count_P - 1).sum())
    squares = float(((value_K - mean_P[place_K]) ** 2).sum())
    counts, _ = np.histogram(np.clip(value_K, low, high), bins=bins, range=(low, high))
    return {
        "count": len(value_K),
        "unknown": int((~known_M).sum()),
        "mean": float(value_K.mean()),
        "std": float(value_K.std()),
        "within": (squares / degrees) ** 0.5 if degrees else None,
        "quantiles": {f"{q:g}": float(v) for q, v in zip(_QUANTILES, np.quantile(value_K, _QUANTILES), strict=True)},
        "low": low,
        "high": high,
        "histogram": counts.tolist(),
    }
