"""Figures of an audit, as PNG, from the content of audit.json alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from synthface.identity.confirm import BINS
from synthface.identity.figures import BLUE, GREY, ORANGE, drawing
from synthface.report.tables import untold

_LOOKS = {"yaw": "yaw, degrees", "pitch": "pitch, degrees", "luminance": "mean luma", "sharpness": "variance of the Laplacian",
          "tone": "skin tone, ITA in degrees"}  # fmt: skip


def draw(content: dict[str, Any], folder: Path) -> list[str]:
    """Draws what the content has; gives the names of the files."""
    drawn = []
    if content["separability"]["roc"] is not None:
        _separability(content["separability"], folder / "separability.png")
        drawn.append("separability.png")
    centers = {"own center": (content["consistency"]["own_center"], BLUE)}
    if content["uniqueness"]["nearest_center"] is not None:
        centers["nearest other center, of centers"] = (content["uniqueness"]["nearest_center"], GREY)
    if content["leakage"] is not None:
        note = f"\n({told})" if (told := untold(content)) else ""
        centers[f"nearest reference{note}"] = (content["leakage"], ORANGE)
    _centers(centers, content["threshold"], folder / "centers.png")
    drawn.append("centers.png")
    likeness = {name: found for name, found in (content["input_output"] or {}).items() if found is not None}
    if likeness:
        _likeness(likeness, folder / "input_output.png")
        drawn.append("input_output.png")
    known = {name: content["looks"][name] for name in _LOOKS if content["looks"][name] is not None}
    if known:
        _looks(known, folder / "looks.png")
        drawn.append("looks.png")
    return drawn


def _separability(figures: dict[str, Any], path: Path) -> None:
    with drawing(path, panels=2) as (scores, curve):
        for name, color, label in (("impostor", GREY, "two people"), ("genuine", BLUE, "one person")):
            _steps(scores, figures[name]["histogram"], color, f"{label} ({figures[name]['count']:,} pairs)")
        scores.set(xlabel="cosine similarity of two pictures", ylabel="share of pairs", xlim=(-0.5, 1), ylim=(0, None))
        _legend(scores)
        curve.plot(figures["roc"]["fmr"], figures["roc"]["tmr"], color=BLUE)
        curve.set(xscale="log", xlabel="false match rate", ylabel="true match rate", ylim=(None, 1.005))


def _centers(parts: dict[str, tuple[dict[str, Any], str]], threshold: float, path: Path) -> None:
    with drawing(path) as (axis,):
        for label, (found, color) in parts.items():
            _steps(axis, found["histogram"], color, label)
        axis.axvline(threshold, color="black", linewidth=0.8, linestyle="--")
        axis.set(xlabel="cosine similarity", ylabel="share", xlim=(-0.2, 1), ylim=(0, None))
        _legend(axis)


def _likeness(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Similarity of every picture to its person's center, and to the mean of the person's first attempts."""
    names = {
        "center_similarity": ("to the person's center, by the conditioning encoder", BLUE),
        "reference_similarity": ("to the mean of the person's first attempts, by the verifier", ORANGE),
    }
    with drawing(path) as (axis,):
        for name, one in found.items():
            _steps(axis, one["histogram"], names[name][1], names[name][0])
        axis.set(xlabel="cosine similarity of a picture", ylabel="share", xlim=(-0.2, 1), ylim=(0, None))
        _legend(axis)


def _looks(known: dict[str, dict[str, Any]], path: Path) -> None:
    with drawing(path, panels=len(known)) as axes:
        for axis, (name, found) in zip(axes, known.items(), strict=True):
            edges = np.linspace(found["low"], found["high"], len(found["histogram"]) + 1)
            axis.stairs(np.array(found["histogram"]) / found["count"], edges, fill=True, color=BLUE, alpha=0.75)
            axis.set(xlabel=_LOOKS[name], ylabel="share of pictures")


def _legend(axis: Any) -> None:
    """Above the tallest bar."""
    axis.set_ylim(0, axis.get_ylim()[1] * (1.05 + 0.09 * len(axis.get_legend_handles_labels()[0])))
    axis.legend(edgecolor="none", framealpha=0.9, fontsize=8, loc="upper left")


def _steps(axis: Any, counts: list[int], color: str, label: str) -> None:
    share_B = np.array(counts) / max(sum(counts), 1)
    axis.stairs(share_B, BINS, fill=True, color=color, alpha=0.7, label=label)
