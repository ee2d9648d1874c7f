"""insightface's verification protocol on 6,000 pairs: from histograms, and by the loop as it is written there.

The peer is the structure of insightface's `recognition/arcface_torch/eval/verification.py`: for each of ten folds, 400
thresholds for the accuracy and 4,000 for TAR at FAR 1e-3, each a NumPy pass over the pairs. Its interpolation by
`scipy.interpolate.interp1d` refuses repeated values since SciPy 1.10 and is `np.interp` here. Both sides begin with the raw
embeddings; their figures are compared to 1e-9.

    python benchmarks/fr_verification.py --keep
"""

from __future__ import annotations

from typing import Any

import measure
import numpy as np
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize

from fr_train import verification

PAIRS, DIMENSION, FOLDS, FAR = 6_000, 512, 10, 1e-3


def embeddings() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two rows of raw float32 vectors, and who is the same: half and half in every fold, about 1 % wrong."""
    rng = np.random.default_rng(0)
    issame_N = np.tile(np.repeat([True, False], PAIRS // (2 * FOLDS)), FOLDS)
    one_ND = rng.standard_normal((PAIRS, DIMENSION))
    other_ND = np.where(issame_N[:, None], one_ND, 0.0) + rng.standard_normal((PAIRS, DIMENSION)) * rng.uniform(
        0.5, 6, (PAIRS, 1)
    )
    return one_ND.astype(np.float32), other_ND.astype(np.float32), issame_N


def by_histograms(one_ND: np.ndarray, other_ND: np.ndarray, issame_N: np.ndarray) -> dict[str, float]:
    dist_N = verification.squared_distances(one_ND, other_ND)
    found = verification.accuracy(dist_N, issame_N, FOLDS)
    tar = verification.tar_at_far(dist_N, issame_N, FAR, FOLDS)
    assert tar is not None
    return {"accuracy": found.mean, "std": found.std, "tar": tar.tar, "far": tar.far}


def _rates(threshold: float, dist_N: np.ndarray, issame_N: np.ndarray) -> tuple[float, float, float]:
    """True- and false-positive rate and accuracy at one threshold: `calculate_accuracy`."""
    predicted = np.less(dist_N, threshold)
    tp = np.sum(np.logical_and(predicted, issame_N))
    fp = np.sum(np.logical_and(predicted, np.logical_not(issame_N)))
    tn = np.sum(np.logical_and(np.logical_not(predicted), np.logical_not(issame_N)))
    fn = np.sum(np.logical_and(np.logical_not(predicted), issame_N))
    tpr = 0 if (tp + fn == 0) else float(tp) / float(tp + fn)
    fpr = 0 if (fp + tn == 0) else float(fp) / float(fp + tn)
    return tpr, fpr, float(tp + tn) / dist_N.size


def _val_far(threshold: float, dist_N: np.ndarray, issame_N: np.ndarray) -> tuple[float, float]:
    """True- and false-accept rate at one threshold: `calculate_val_far`."""
    predicted = np.less(dist_N, threshold)
    accepted = np.sum(np.logical_and(predicted, issame_N))
    wrongly = np.sum(np.logical_and(predicted, np.logical_not(issame_N)))
    return float(accepted) / float(np.sum(issame_N)), float(wrongly) / float(np.sum(np.logical_not(issame_N)))


def by_the_loop(one_ND: np.ndarray, other_ND: np.ndarray, issame_N: np.ndarray) -> dict[str, float]:
    one_ND, other_ND = normalize(one_ND.astype(np.float64)), normalize(other_ND.astype(np.float64))
    thresholds = np.arange(0, 4, 0.01)
    tprs, fprs, accuracies = np.zeros((FOLDS, 400)), np.zeros((FOLDS, 400)), np.zeros(FOLDS)
    dist_N = np.sum(np.square(np.subtract(one_ND, other_ND)), 1)
    for fold, (train, test) in enumerate(KFold(FOLDS, shuffle=False).split(np.arange(PAIRS))):
        share = np.zeros(400)
        for index, threshold in enumerate(thresholds):
            _, _, share[index] = _rates(threshold, dist_N[train], issame_N[train])
        best = np.argmax(share)
        for index, threshold in enumerate(thresholds):
            tprs[fold, index], fprs[fold, index], _ = _rates(threshold, dist_N[test], issame_N[test])
        _, _, accuracies[fold] = _rates(thresholds[best], dist_N[test], issame_N[test])

    thresholds = np.arange(0, 4, 0.001)
    tars, fars = np.zeros(FOLDS), np.zeros(FOLDS)
    dist_N = np.sum(np.square(np.subtract(one_ND, other_ND)), 1)
    for fold, (train, test) in enumerate(KFold(FOLDS, shuffle=False).split(np.arange(PAIRS))):
        far_train = np.zeros(len(thresholds))
        for index, threshold in enumerate(thresholds):
            _, far_train[index] = _val_far(threshold, dist_N[train], issame_N[train])
        at = _crossing(far_train, thresholds) if np.max(far_train) >= FAR else 0.0
        tars[fold], fars[fold] = _val_far(at, dist_N[test], issame_N[test])
    return {
        "accuracy": float(np.mean(accuracies)),
        "std": float(np.std(accuracies)),
        "tar": float(np.mean(tars)),
        "far": float(np.mean(fars)),
    }


def _crossing(far_T: np.ndarray, threshold_T: np.ndarray) -> float:
    last = int(np.flatnonzero(far_T <= FAR)[-1])
    return float(np.interp(FAR, far_T[last : last + 2], threshold_T[last : last + 2]))


def main() -> None:
    chosen = measure.arguments(__doc__ or "").parse_args()
    given = embeddings()
    mine, theirs = by_histograms(*given), by_the_loop(*given)
    difference = max(abs(mine[name] - theirs[name]) for name in mine)
    assert difference < 1e-9, (mine, theirs)
    dist_N = verification.squared_distances(*given[:2])
    ours = measure.seconds(lambda: by_histograms(*given), repeat=15)
    loop = measure.seconds(lambda: by_the_loop(*given), repeat=3, warm_up=0)
    protocol = measure.seconds(
        lambda: (
            verification.accuracy(dist_N, given[2], FOLDS),
            verification.tar_at_far(dist_N, given[2], FAR, FOLDS),
        ),
        repeat=15,
    )
    bootstrap = measure.seconds(lambda: verification.bootstrap_accuracy(dist_N, given[2], FOLDS), repeat=3)
    result: dict[str, Any] = {
        "pairs": PAIRS,
        "dimension": DIMENSION,
        "figures": {name: round(value, 6) for name, value in mine.items()},
        "largest_difference": difference,
        "milliseconds": round(1e3 * ours, 2),
        "milliseconds_without_distances": round(1e3 * protocol, 2),
        "loop_milliseconds": round(1e3 * loop, 1),
        "ratio": round(loop / ours, 1),
        "milliseconds_of_1000_resamples": round(1e3 * bootstrap, 1),
    }
    measure.report("fr_verification", result, chosen.keep)


if __name__ == "__main__":
    main()
