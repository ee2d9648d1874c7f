"""Figures of the prior and of the identities, as PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.identity.confirm import BINS
from synthface.identity.identities import Identities
from synthface.identity.prior import EXPLAINED_AT, Prior

BLUE, ORANGE, GREY = "#3b6ea5", "#c8553d", "#8a8f98"


@contextmanager
def drawing(path: Path, panels: int = 1) -> Iterator[list[Any]]:
    """Axes of a row of panels; the finished figure is written atomically."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * panels, 3.4), dpi=150, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    yield list(axes)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    files.write_bytes(path, content.getvalue())


def explained_variance(prior: Prior, path: Path) -> None:
    """Explained variance over the number of components: the paper's Fig. 8c for this prior."""
    with drawing(path) as (axis,):
        share_K = np.cumsum(prior.eigenvalue_K, dtype=np.float64) / prior.total_variance
        axis.plot(np.arange(1, len(share_K) + 1), share_K, color=BLUE)
        for k in EXPLAINED_AT:
            if k <= len(share_K):
                axis.plot(k, share_K[k - 1], "o", color=BLUE, markersize=4)
                axis.annotate(
                    f"{share_K[k - 1]:.1%}", (k, share_K[k - 1]), (4, -12), textcoords="offset points", fontsize=8
                )
        axis.set(xlabel="principal components", ylabel="explained variance", ylim=(0, 1.03), xlim=(0, None))


def identities(
    made: Identities, threshold: float, genuine_G: NDArray[np.floating], impostor_I: NDArray[np.floating], path: Path
) -> None:
    """Similarity of the conditions within and between identities, of the centers, and the acceptance curve."""
    with drawing(path, panels=3) as (conditions, centers, curve):
        for score_S, color, label in ((impostor_I, GREY, "two identities"), (genuine_G, BLUE, "one identity")):
            conditions.hist(score_S, bins=BINS[80:], density=True, color=color, alpha=0.75, label=label)
        conditions.set(xlabel="cosine similarity of two conditions", ylabel="density")
        conditions.legend(frameon=False, fontsize=8, loc="upper right")  # "best" tries them all, slowly
        statistics = made.facts["statistics"]
        middle_B = (BINS[1:] + BINS[:-1]) / 2
        for counts, color, label in (
            (statistics["similarity"].get("histogram", [0] * 200), GREY, "all pairs"),
            (statistics["nearest_histogram"], ORANGE, "nearest"),
        ):
            share_B = np.array(counts) / max(sum(counts), 1)
            centers.fill_between(middle_B, share_B, step="mid", color=color, alpha=0.75, label=label)
        centers.axvline(threshold, color="black", linewidth=0.8, linestyle="--")
        centers.set(xlabel="cosine similarity of two identities", ylabel="share", xlim=(-0.5, 1))
        centers.legend(frameon=False, fontsize=8, loc="upper right")
        seen_P, kept_P = np.array(statistics["acceptance_curve"]).T
        curve.plot(seen_P, kept_P, color=BLUE)
        curve.plot(seen_P, seen_P, color=GREY, linewidth=0.8, linestyle=":")
        curve.set(xlabel="candidates", ylabel="identities kept")
