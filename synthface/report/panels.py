"""The charts and tables of each section of the page, from gathered facts. What is not known gives nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from synthface.identity.confirm import BINS
from synthface.report.charts import Mark, Series, histogram, lines
from synthface.report.gather import Facts
from synthface.report.published import COLUMNS
from synthface.report.tables import LOOK_NAMES, judge, untold

_REASONS = {
    "no_face": "no face found",
    "detection_score": "face found with a low score",
    "yaw": "turned too far",
    "pitch": "tilted too far",
    "sharpness": "not sharp enough",
    "center_similarity": "too unlike its center",
    "nearest_center": "more like another center",
    "reference_similarity": "too unlike its reference",
    "duplicate": "nearly the same as another",
}
_FEW = 20_000  # values below which bins of similarity are joined: fewer would look like noise
_JOINED = (1, 2, 5)  # bins of .01, .02, .05: thresholds, which people give in twentieths, stay at an edge
_TITLES = {
    "center_similarity": "Likeness to the person's center, by the conditioning encoder",
    "reference_similarity": "Likeness to the mean of the person's first attempts, by the verifier",
    "detection_score": "Detection score",
    "sharpness": "Sharpness",
    "duplicate_similarity": "Likeness to the nearest other picture of the person",
}


def _similarities(*parts: tuple[str, list[int], str]) -> list[Series]:
    """Histograms over BINS as series of one chart; bins are joined alike in all of them where one has few values."""
    least = min(sum(counts) for _, counts, _ in parts)
    joined = _JOINED[(least < _FEW) + (least < _FEW // 10)]
    return [Series(label, BINS[::joined].tolist(), _joined(counts, joined), style) for label, counts, style in parts]


def _joined(counts: list[int], size: int) -> list[int]:
    found: list[int] = np.add.reduceat(counts, range(0, len(counts), size)).tolist()
    return found


class Verification(NamedTuple):
    """A table: columns, one row (cells as text), and notes. standard: whether the columns are the papers' sets."""

    columns: list[str]
    accuracies: list[str]
    intervals: list[str]
    mean: str
    tars: list[tuple[str, list[str]]]
    standard: bool


class Bar(NamedTuple):
    """A reason with its number of attempts, as a share of the largest."""

    label: str
    attempts: int
    share: float


def people(facts: Facts) -> list[str]:
    """Similarity of identities, and the acceptance of candidates, from the metadata of identities.safetensors.

    Nothing where others than these are in the pictures.
    """
    statistics = (facts.identities or {}).get("statistics")
    if not statistics or not facts.sampled:
        return []
    found = []
    threshold = (
        facts.identities["settings"]["threshold"] if facts.identities and "settings" in facts.identities else None
    )
    parts = [("nearest earlier person", statistics["nearest_histogram"], "c2")]
    if statistics["similarity"].get("histogram"):
        parts.insert(0, ("all pairs", statistics["similarity"]["histogram"], "c4"))
    marks = [Mark(f"threshold {threshold:g}", threshold)] if threshold is not None else []
    found.append(
        histogram(_similarities(*parts), "How alike two people are", "cosine similarity of two centers", marks)
    )
    seen, kept = np.array(statistics["acceptance_curve"], float).T.tolist()
    found.append(
        lines(
            [Series("kept", seen, kept)], "People found", "candidates looked at", "people kept", y_low=0, diagonal=True
        )
    )
    return [chart for chart in found if chart]


def rendering(facts: Facts) -> list[str]:
    """Distributions over kept and rejected pictures, from render.json."""
    distributions = (facts.render or {}).get("distributions", {})
    found = []
    for name, title in _TITLES.items():
        part = distributions.get(name)
        if part is not None:
            edges = np.linspace(part["low"], part["high"], part["bins"] + 1).tolist()
            series = [
                Series(f"{which} ({part[which]['count']:,})", edges, part[which]["histogram"], style)
                for which, style in (("rejected", "c2"), ("kept", "c1"))
                if part[which]["count"]
            ]
            found.append(histogram(series, title, "cosine similarity" if "similarity" in name else title.lower()))
    return [chart for chart in found if chart]


def reasons(counts: dict[str, int]) -> list[Bar]:
    """Attempts by the reason that spoke against them, most frequent first."""
    most = max(counts.values(), default=1)
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return [Bar(_REASONS.get(name, name.replace("_", " ")), count, count / most) for name, count in ordered]


def audit(facts: Facts) -> list[str]:
    """Separability, centers, leakage and looks, from audit.json."""
    content = facts.audit
    if content is None:
        return []
    found = []
    separability = content["separability"]
    if separability["roc"] is not None:
        scores = [
            ("two people", separability["impostor"]["histogram"], "c4"),
            ("one person", separability["genuine"]["histogram"], "c1"),
        ]
        found.append(histogram(_similarities(*scores), f"Two pictures, by {judge(content)}", "cosine similarity"))
        curve = Series("", separability["roc"]["fmr"], separability["roc"]["tmr"])
        found.append(
            lines([curve], "Telling people apart (ROC)", "false match rate", "true match rate", log_x=True, y_high=1)
        )
    centers = [("own center", content["consistency"]["own_center"]["histogram"], "c1")]
    if content["uniqueness"]["nearest_center"]:
        nearest = content["uniqueness"]["nearest_center"]["histogram"]
        centers.insert(0, ("nearest other center, of centers", nearest, "c4"))
    marks = [Mark(f"one person from {content['threshold']:g}", content["threshold"])]
    found.append(histogram(_similarities(*centers), "Pictures and centers", "cosine similarity", marks))
    if content["leakage"]:
        leak = content["leakage"]
        marks = [Mark(f"p99 allowed: {leak['gate']['max_p99']:g}", leak["gate"]["max_p99"])]
        series = _similarities(("", leak["histogram"], "c2"))
        title = "Nearest real person of every picture" + (f"; {told}" if (told := untold(content)) else "")
        found.append(histogram(series, title, "cosine similarity", marks))
    for name in ("yaw", "pitch", "luminance", "sharpness", "tone"):
        part = content["looks"][name]
        if part is not None:
            joined = 1 if part["count"] >= _FEW // 10 else 2
            edges = np.linspace(part["low"], part["high"], len(part["histogram"]) + 1)[::joined].tolist()
            found.append(histogram([Series("", edges, _joined(part["histogram"], joined), "c3")], *_look_titles(name)))
    return [chart for chart in found if chart]


def recognition(facts: Facts) -> list[str]:
    """ROC curves of the verification sets, from result.json."""
    evaluation = (facts.fr or {}).get("evaluation") or {"benchmarks": {}}
    curves = {name: one["roc"] for name, one in evaluation["benchmarks"].items() if one.get("roc", {}).get("far")}
    series = [
        Series(_column(name), curve["far"], curve["tar"], f"c{number % 5 + 1}")
        for number, (name, curve) in enumerate(curves.items())
    ]
    chart = lines(series, "Recogniser (ROC)", "false accept rate", "true accept rate", log_x=True, y_high=1)
    return [chart] if chart else []


def training(facts: Facts) -> list[str]:
    """Curves of the recogniser's training, and of the generator's where it was trained here."""
    found = [
        *_curves(facts.log, {"loss": "Loss of the recogniser", "mean_target_cosine": "Cosine to the own class"}),
        *_curves(facts.log, {"lr": "Learning rate"}),
    ]
    for stage, log in facts.generator_log.items():
        found += _curves(log, {"loss": f"Loss of the generator, {stage}"})
    return [chart for chart in found if chart]


def verification(facts: Facts) -> Verification | None:
    """The measured table, in percent; None when nothing was measured."""
    evaluation = (facts.fr or {}).get("evaluation")
    if not evaluation:
        return None
    sets: dict[str, Any] = evaluation["benchmarks"]
    rates = list(dict.fromkeys(rate for one in sets.values() for rate in one.get("tar", {})))
    return Verification(
        [_column(name) for name in sets],
        [f"{100 * one['accuracy']:.2f}" for one in sets.values()],
        ["" if one.get("ci95") is None else "{:.2f}–{:.2f}".format(*(100 * end for end in one["ci95"])) for one in sets.values()],
        f"{100 * evaluation['mean_accuracy']:.2f}",
        [(f"TAR at FAR {rate}", [_tar(one, rate) for one in sets.values()]) for rate in rates],
        set(sets) <= set(COLUMNS),
    )  # fmt: skip


def _column(name: str) -> str:
    return COLUMNS.get(name, name.replace("_", " "))


def _tar(one: dict[str, Any], rate: str) -> str:
    value = one.get("tar", {}).get(rate)
    return "–" if value is None else f"{100 * value:.2f}"


def _curves(log: list[dict[str, Any]], wanted: dict[str, str]) -> list[str]:
    found = []
    for name, title in wanted.items():
        points = [(line["step"], line[name]) for line in log if isinstance(line.get(name), int | float)]
        if len(points) > 1:
            steps, values = (list(column) for column in zip(*points, strict=True))
            found.append(
                lines([Series("", steps, values)], title, "step", {"lr": "rate"}.get(name, name.rpartition("_")[2]))
            )
    return found


def _look_titles(name: str) -> tuple[str, str]:
    title = LOOK_NAMES[name]
    return title[0].upper() + title[1:].partition(",")[0].partition(" (")[0], title
