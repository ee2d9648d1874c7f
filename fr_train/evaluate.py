"""How good a recogniser is: verification sets through a network and insightface's protocol, into one result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fr_train import benchmarks, bins, color_check, verification
from fr_train.embed import EmbeddedSet, embed
from fr_train.models import Embedder
from synthface.errors import InputError
from synthface.progress import say
from synthface.recipe.recognition import EvaluateRecipe

if TYPE_CHECKING:
    from fr_train.overlap import TrainingImages


def evaluate(
    model: Embedder,
    places: Sequence[str | Path],
    settings: EvaluateRecipe | None = None,
    *,
    seed: int = 0,
    plots: Path | None = None,
    training: TrainingImages | None = None,
    only_named: bool = False,
) -> dict[str, Any]:
    """The figures of `model` on the `.bin` files and folders in `places`, shares in 0…1:

    {"model", "color", "benchmarks": {name: {"accuracy", "std", "ci95", "pairs", "threshold", "tar": {"1e-3": …}, …}},
    "mean_accuracy", "beside": [name, …], "absent": {name: where to get it}, "warnings": […]}, and "overlap" where
    `training` images are given. Of a folder the sets of the recipe's names come first; others that lie beside them are
    measured, too (`only_named`: are not), and listed as "beside", for the mean is that of the named ones.

    Sets that are absent and warnings are also said on stderr. `plots` is a folder for ROC curves and similarity
    histograms. Raises InputError for sets that do not exist, are damaged or have fewer pairs than folds.
    """
    settings = settings or EvaluateRecipe()
    found = benchmarks.find(places, settings.names, only_named=only_named)
    for name, where in found.absent.items():
        say(f"{benchmarks.title(name)} is absent: {where}.")
    if found.beside:
        say(f"Not among evaluate.names, so not in the mean: {', '.join(map(benchmarks.title, found.beside))}.")
    embedded: list[EmbeddedSet] = []
    warnings: list[str] = []
    order: color_check.Verdict | None = None
    for path in found.sets.values():
        benchmark = bins.read(path)
        _check_size(benchmark, settings.folds)
        embedded.append(embed(model, benchmark, flip=settings.flip, batch_size=settings.batch_size))
        warned = [_folds_warning(embedded[-1], settings.folds)]
        if order is None:  # the sets before could not tell
            order = color_check.judge(model, benchmark, settings.color_check_pairs, settings.batch_size)
            warned.append(None if order is None else order.warning)
        warnings += [sentence for sentence in warned if sentence]
    for sentence in warnings:
        say(f"Warning: {sentence}")
    results = {one.name: measure(one.dist_N, one.issame_N, settings, seed) for one in embedded}
    counted = [figures["accuracy"] for name, figures in results.items() if name not in found.beside]
    result: dict[str, Any] = {
        "model": model.name,
        "color": model.color,
        "benchmarks": results,
        "mean_accuracy": float(np.mean(counted)),
        "beside": found.beside,
        "absent": found.absent,
        "warnings": warnings,
    }
    if training is not None:
        from fr_train import overlap

        result["overlap"] = overlap.audit(model, training, embedded)
    if plots is not None:
        from fr_train import plots as drawing

        drawing.draw(embedded, plots)
    return result


def measure(
    dist_N: NDArray[np.float64], issame_N: NDArray[np.bool_], settings: EvaluateRecipe, seed: int = 0
) -> dict[str, Any]:
    """The figures of one set of pairs; `threshold` is a squared distance, `cosine_threshold` the same as a cosine.

    TAR needs folds of both kinds: where the recipe's lack one, it is of the most that do not (`tar_folds`).
    """
    folds, tar_folds = settings.folds, verification.folds_of_both_kinds(issame_N, settings.folds)
    result = verification.accuracy(dist_N, issame_N, folds)
    told = {} if tar_folds is None else _tar(dist_N, issame_N, settings.far, tar_folds)
    interval = None
    if settings.bootstrap:
        interval = list(verification.bootstrap_accuracy(dist_N, issame_N, folds, settings.bootstrap, seed))
    return {
        "accuracy": result.mean,
        "std": result.std,
        "ci95": interval,
        "pairs": len(issame_N),
        "folds": folds,
        "threshold": result.threshold,
        "cosine_threshold": 1 - result.threshold / 2,
        "tar": {rate: one.tar for rate, one in told.items()},
        "tar_std": {rate: one.std for rate, one in told.items()},
        "tar_folds": tar_folds,
        "separation": verification.separation(dist_N, issame_N),
        "roc": roc_points(result),
    }


def _tar(
    dist_N: NDArray[np.float64], issame_N: NDArray[np.bool_], rates: Sequence[float], folds: int
) -> dict[str, verification.TarAtFar]:
    """TAR at those of the false-accept rates that the pairs can tell from none."""
    smallest = verification.smallest_far(issame_N, folds)
    found = {far_name(far): verification.tar_at_far(dist_N, issame_N, far, folds) for far in rates if far >= smallest}
    return {rate: one for rate, one in found.items() if one is not None}


def roc_points(result: verification.Accuracy, points: int = 40) -> dict[str, list[float]]:
    """The ROC curve (mean over the folds) at up to `points` false-accept rates, evenly on a logarithmic scale up to 1."""
    above_T = result.fpr_T[result.fpr_T > 0]
    if not len(above_T):
        return {"far": [], "tar": []}
    wanted_P = np.geomspace(above_T[0], 1, points) * (1 + 1e-9)
    place_P = np.unique(np.searchsorted(result.fpr_T, wanted_P, "right") - 1)
    return {"far": result.fpr_T[place_P].tolist(), "tar": result.tpr_T[place_P].tolist()}


def over_seeds(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sample standard deviation over several trainings of one recipe, of each set that all of them have."""
    shared = [name for name in results[0]["benchmarks"] if all(name in result["benchmarks"] for result in results[1:])]
    accuracies = {name: [result["benchmarks"][name]["accuracy"] for result in results] for name in shared}
    return {
        "models": [result["model"] for result in results],
        "benchmarks": {name: _spread(values) for name, values in accuracies.items()},
        "mean_accuracy": _spread([result["mean_accuracy"] for result in results]),
    }


def far_name(far: float) -> str:
    """`1e-3` for .001, `1.4e-2` for .014: as few digits as tell it from every other number."""
    names = (f"{far:.{digits}e}" for digits in range(17))
    return next(name for name in names if float(name) == far).replace("e-0", "e-")


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}


def _check_size(benchmark: bins.VerificationSet, folds: int) -> None:
    if len(benchmark) < folds:
        raise InputError(
            f"The verification set '{benchmark.name}' has {len(benchmark)} pairs, fewer than the {folds} folds.",
            f"Use a larger set, or --set evaluate.folds={max(len(benchmark), 2)}.",
        )


def _folds_warning(one: EmbeddedSet, folds: int) -> str | None:
    able = verification.folds_of_both_kinds(one.issame_N, folds)
    if able == folds or one.issame_N.all() or not one.issame_N.any():
        return None
    tar = "TAR is not told" if able is None else f"TAR is that of {able} folds, which hold both"
    return (
        f"Some of the {folds} folds of {one.name} hold pairs of one kind only, as in a part of a benchmark that lists its "
        f"pairs in blocks: their shares right are of misses or of false alarms alone, and {tar}."
    )
