"""The verification protocol of insightface, exact, and the figures around it. Arrays in, numbers out.

Pairs are cut into unshuffled folds. The squared distance of the L2-normalised embeddings is compared with thresholds
0, .01, …, 3.99 (`dist < t` means "same"); the threshold with the best accuracy on the other folds is applied to each
fold, the lowest one where several are best. TAR at a FAR uses thresholds in steps of .001 and interpolates linearly
between the last one whose FAR on the other folds does not exceed the target and its successor.

Only how many distances lie below each threshold matters, so every pair is put into its threshold's bin once, and
everything else is sums of histograms: exact, ties included, and cheap enough to run a thousand times for a bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface import seeds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ACCURACY_THRESHOLDS: Floats = np.arange(0, 4, 0.01)
TAR_THRESHOLDS: Floats = np.arange(0, 4, 0.001)


@dataclass(frozen=True)
class Accuracy:
    """Accuracy over K folds at T thresholds; shares in 0…1, `std` over the folds (population)."""

    mean: float
    std: float
    fold_K: Floats
    threshold_K: Floats
    tpr_T: Floats  # mean over the folds, at ACCURACY_THRESHOLDS
    fpr_T: Floats

    @property
    def threshold(self) -> float:
        """Mean over the folds of the squared distance below which a pair counts as the same person."""
        return float(self.threshold_K.mean())


@dataclass(frozen=True)
class TarAtFar:
    """True-accept rate at a false-accept rate, over K folds."""

    tar: float
    std: float
    far: float  # the rate reached on the test folds
    tar_K: Floats
    far_K: Floats
    threshold_K: Floats


def squared_distances(embedding1_ND: NDArray[np.floating], embedding2_ND: NDArray[np.floating]) -> Floats:
    """Squared L2 distance of the normalised rows, float64; a zero row stays zero, as sklearn's normalize has it."""
    difference_ND = _unit(embedding1_ND) - _unit(embedding2_ND)
    return np.sum(np.square(difference_ND), axis=1)


def accuracy(dist_N: Floats, issame_N: NDArray[np.bool_], folds: int = 10) -> Accuracy:
    """K-fold accuracy of insightface's `calculate_roc`."""
    histogram = _histogram(dist_N, issame_N, folds, ACCURACY_THRESHOLDS)
    accuracy_K, best_K, below_KCT = _accuracy_of(histogram)
    same_K1, different_K1 = histogram.sum(-1)[:, 1, None], histogram.sum(-1)[:, 0, None]
    return Accuracy(
        float(accuracy_K.mean()),
        float(accuracy_K.std()),
        accuracy_K,
        ACCURACY_THRESHOLDS[best_K],
        np.mean(_share(below_KCT[:, 1], same_K1), axis=0),
        np.mean(_share(below_KCT[:, 0], different_K1), axis=0),
    )


def tar_at_far(dist_N: Floats, issame_N: NDArray[np.bool_], far: float = 1e-3, folds: int = 10) -> TarAtFar | None:
    """K-fold TAR at `far`, insightface's `calculate_val`; None where a fold lacks pairs of one kind."""
    histogram = _histogram(dist_N, issame_N, folds, TAR_THRESHOLDS)
    number_KC = histogram.sum(-1)
    if (number_KC == 0).any():
        return None
    below_CT = np.cumsum(histogram, axis=-1)[..., :-1]
    train_far_KT = (below_CT[:, 0].sum(0) - below_CT[:, 0]) / (number_KC[:, 0].sum() - number_KC[:, 0])[:, None]
    threshold_K = np.array([_threshold_at(train_far_T, far) for train_far_T in train_far_KT])
    fold_N = _folds(len(dist_N), folds)
    accepted_N = dist_N < threshold_K[fold_N]
    tar_K = np.bincount(fold_N, accepted_N & issame_N, folds) / number_KC[:, 1]
    far_K = np.bincount(fold_N, accepted_N & ~issame_N, folds) / number_KC[:, 0]
    return TarAtFar(float(tar_K.mean()), float(tar_K.std()), float(far_K.mean()), tar_K, far_K, threshold_K)


def smallest_far(issame_N: NDArray[np.bool_], folds: int = 10) -> float:
    """The smallest false-accept rate that these pairs can tell from none: one over the different pairs trained on."""
    different_K = np.bincount(_folds(len(issame_N), folds), ~issame_N, folds)
    return float(1 / max(different_K.sum() - different_K.max(), 1))


def folds_of_both_kinds(issame_N: NDArray[np.bool_], folds: int = 10) -> int | None:
    """The largest number of folds, at most `folds`, each of which holds pairs of both kinds; None where there is none.

    Benchmarks list their pairs in blocks of one kind. In a part of one the blocks may coincide with the folds, and a
    fold without a pair of the same person has no TAR.
    """
    return next((number for number in range(folds, 1, -1) if _both_kinds(issame_N, number)), None)


def _both_kinds(issame_N: NDArray[np.bool_], folds: int) -> bool:
    return bool(np.bincount(_folds(len(issame_N), folds) * 2 + issame_N, minlength=2 * folds).all())


def bootstrap_accuracy(
    dist_N: Floats, issame_N: NDArray[np.bool_], folds: int = 10, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the accuracy: percentiles over resamples of the pairs (ours).

    Pairs are drawn with replacement within their fold and kind, so that every resample has the benchmark's own make-up,
    and the whole protocol is run on each, the choice of thresholds included.
    """
    rng = seeds.generator(seed, "bootstrap")
    bins = len(ACCURACY_THRESHOLDS) + 1
    bin_N = np.searchsorted(ACCURACY_THRESHOLDS, dist_N, side="right")
    group_N = _folds(len(dist_N), folds) * 2 + issame_N
    order_N = np.argsort(group_N, kind="stable")
    size_G = np.bincount(group_N, minlength=2 * folds)
    start_N, size_N = np.repeat(np.cumsum(size_G) - size_G, size_G), np.repeat(size_G, size_G)
    bin_N, slot_N = bin_N[order_N], group_N[order_N] * bins
    accuracies = np.empty(resamples)
    for resample in range(resamples):
        drawn_N = start_N + (rng.random(len(bin_N)) * size_N).astype(np.int64)
        histogram = np.bincount(slot_N + bin_N[drawn_N], minlength=2 * folds * bins).reshape(folds, 2, bins)
        accuracies[resample] = _accuracy_of(histogram)[0].mean()
    low, high = np.percentile(accuracies, [2.5, 97.5])
    return float(low), float(high)


def separation(dist_N: Floats, issame_N: NDArray[np.bool_]) -> float:
    """d′: distance of the two kinds' mean cosine similarities in units of their common standard deviation; 0 without both."""
    if issame_N.all() or not issame_N.any():
        return 0.0
    cosine_N = 1 - dist_N / 2
    same, different = cosine_N[issame_N], cosine_N[~issame_N]
    spread = np.sqrt((same.var() + different.var()) / 2)
    return float((same.mean() - different.mean()) / spread) if spread > 0 else 0.0


def _unit(embedding_ND: NDArray[np.floating]) -> Floats:
    embedding_ND = np.asarray(embedding_ND, dtype=np.float64)
    norm_N1 = np.sqrt(np.einsum("nd,nd->n", embedding_ND, embedding_ND))[:, None]
    return np.divide(embedding_ND, np.where(norm_N1 == 0, 1.0, norm_N1))


def _folds(number: int, folds: int) -> Ints:
    """The fold of each pair: consecutive blocks, the first `number % folds` one longer."""
    size_K = np.full(folds, number // folds)
    size_K[: number % folds] += 1
    return np.repeat(np.arange(folds), size_K)


def _histogram(dist_N: Floats, issame_N: NDArray[np.bool_], folds: int, threshold_T: Floats) -> Ints:
    """(K, 2, T + 1): pairs of each fold and kind (different, same) by the number of thresholds ≤ their distance."""
    bins = len(threshold_T) + 1
    bin_N = np.searchsorted(threshold_T, dist_N, side="right")
    flat_N = (_folds(len(dist_N), folds) * 2 + issame_N) * bins + bin_N
    return np.bincount(flat_N, minlength=folds * 2 * bins).reshape(folds, 2, bins)


def _accuracy_of(histogram: Ints) -> tuple[Floats, Ints, Ints]:
    """Accuracy of each fold, index of its threshold, and pairs below each threshold (K, 2, T)."""
    below_KCT = np.cumsum(histogram, axis=-1)[..., :-1]
    number_KC = histogram.sum(-1)
    right_KT = below_KCT[:, 1] + number_KC[:, :1] - below_KCT[:, 0]
    best_K = np.argmax(right_KT.sum(0) - right_KT, axis=1)
    right_K = np.take_along_axis(right_KT, best_K[:, None], axis=1)[:, 0]
    return right_K / number_KC.sum(1), best_K, below_KCT


def _share(part: Ints, whole: Ints) -> Floats:
    """part / whole, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)


def _threshold_at(far_T: Floats, target: float) -> float:
    """The distance at which the nondecreasing `far_T` crosses `target`; 0 where it never comes so high."""
    if far_T[-1] < target:
        return 0.0
    last = int(np.searchsorted(far_T, target, side="right")) - 1
    if last < 0:
        return float(TAR_THRESHOLDS[0])
    if last + 1 == len(far_T):
        return float(TAR_THRESHOLDS[-1])
    slope = (TAR_THRESHOLDS[last + 1] - TAR_THRESHOLDS[last]) / (far_T[last + 1] - far_T[last])
    return float(slope * (target - far_T[last]) + TAR_THRESHOLDS[last])
