"""ROC curves and similarity histograms of verification sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_train import benchmarks
from fr_train.embed import EmbeddedSet
from synthface import files


def draw(embedded: Sequence[EmbeddedSet], folder: Path) -> list[Path]:
    """Writes `roc.png` with one curve a set, and `similarity_<set>.png` for each; gives their paths."""
    curves = {one.name: roc(one.dist_N, one.issame_N) for one in embedded if 0 < one.issame_N.sum() < len(one.issame_N)}
    written = []
    if curves:
        written.append(_save(_roc_figure(curves), folder / "roc.png"))
    for one in embedded:
        written.append(_save(_histogram_figure(one), folder / f"similarity_{one.name}.png"))
    return written


def roc(dist_N: NDArray[np.float64], issame_N: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False- and true-accept rates at every distance that occurs, ascending; equal distances are accepted together."""
    order_N = np.argsort(dist_N, kind="stable")
    last_N = np.append(np.diff(dist_N[order_N]) > 0, True)
    same_N, different_N = np.cumsum(issame_N[order_N])[last_N], np.cumsum(~issame_N[order_N])[last_N]
    return np.insert(different_N / different_N[-1], 0, 0.0), np.insert(same_N / same_N[-1], 0, 0.0)


def _roc_figure(curves: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Any:
    figure, axes = _figure()
    for name, (far, tar) in curves.items():
        axes.step(far, tar, where="post", label=benchmarks.title(name))
    smallest = min(far[far > 0].min() for far, _ in curves.values())
    axes.set(xscale="log", xlim=(smallest, 1), xlabel="false-accept rate", ylabel="true-accept rate", title="ROC")
    axes.legend(loc="lower right")
    return figure


def _histogram_figure(one: EmbeddedSet) -> Any:
    figure, axes = _figure()
    cosine_N = 1 - one.dist_N / 2
    edges = np.linspace(min(float(cosine_N.min()), 0.0), 1, 101)
    for label, chosen_N in (("different people", ~one.issame_N), ("same person", one.issame_N)):
        axes.hist(cosine_N[chosen_N], bins=edges, alpha=0.6, label=f"{label} ({int(chosen_N.sum()):,})")
    axes.set(xlabel="cosine similarity", ylabel="pairs", title=benchmarks.title(one.name))
    axes.legend()
    return figure


def _figure() -> tuple[Any, Any]:
    """A figure that belongs to no window system and no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, path: Path) -> Path:
    with files.atomic_writer(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return path
