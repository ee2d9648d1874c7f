"""The result of an evaluation as Markdown, for people and papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fr_train import benchmarks


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """Accuracies in percent with their 95 % intervals, a row a model, and TAR at FAR below; mean ± std over models."""
    blocks = [_accuracy_table(results), _not_in_mean(results), _tar_table(results)]
    blocks += [_overlap_table(result["overlap"]) for result in results if "overlap" in result]
    return "\n\n".join(block for block in blocks if block)


def _accuracy_table(results: Sequence[dict[str, Any]]) -> str:
    names = _names(results)
    rows = []
    for result in results:
        cells = [_accuracy(result["benchmarks"].get(name)) for name in names]
        rows.append([result["model"], *cells, _percent(result["mean_accuracy"])])
    if len(results) > 1:
        from fr_train.evaluate import over_seeds

        spread = over_seeds(results)
        cells = [_mean_and_std(spread["benchmarks"].get(name)) for name in names]
        rows.append([f"mean of {len(results)}", *cells, _mean_and_std(spread["mean_accuracy"])])
    return _table(["Accuracy, %", *map(benchmarks.title, names), "Mean"], rows)


def _not_in_mean(results: Sequence[dict[str, Any]]) -> str:
    beside = list(dict.fromkeys(name for result in results for name in result.get("beside", ())))
    return f"Not in the mean: {', '.join(map(benchmarks.title, beside))}." if beside else ""


def _tar_table(results: Sequence[dict[str, Any]]) -> str:
    rates = list(
        dict.fromkeys(rate for result in results for one in result["benchmarks"].values() for rate in one["tar"])
    )
    names = _names(results)
    rows = []
    for result in results:
        for rate in rates:
            tars = [result["benchmarks"].get(name, {}).get("tar", {}).get(rate) for name in names]
            rows.append([f"{result['model']} at FAR {rate}", *("–" if tar is None else _percent(tar) for tar in tars)])
    return _table(["TAR, %", *map(benchmarks.title, names)], rows) if rows else ""


def _overlap_table(overlap: dict[str, Any]) -> str:
    rows = []
    for name, one in overlap["benchmarks"].items():
        figures = [one["mean"], one["p99"], one["max"], one["expected_maximum"], one["same_person_p50"]]
        shown = ["–" if figure is None else f"{figure:.3f}" for figure in figures]
        suspects = "–" if one["suspects"] is None else _percent(one["suspects"])
        rows.append([benchmarks.title(name), *shown, suspects])
    header = ["Nearest training face", "mean", "p99", "max", "expected", "same person", "suspects, %"]
    return f"{_table(header, rows)}\n\nOverlap with {overlap['training_images']:,} training images, cosine similarity."


def _names(results: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for result in results for name in result["benchmarks"]))


def _accuracy(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return "–"
    if figures["ci95"] is None:
        return _percent(figures["accuracy"])
    low, high = figures["ci95"]
    return f"{_percent(figures['accuracy'])} [{_percent(low)}, {_percent(high)}]"


def _mean_and_std(spread: dict[str, float] | None) -> str:
    return "–" if spread is None else f"{_percent(spread['mean'])} ± {_percent(spread['std'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cells[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
        ]
        return f"| {' | '.join(aligned)} |"

    rule = f"| {'-' * widths[0]} | {' | '.join('-' * (width - 1) + ':' for width in widths[1:])} |"
    return "\n".join([line(header), rule, *map(line, rows)])
