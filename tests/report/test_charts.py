"""SVG charts: ticks, and lines that lie where their values are."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthface.report import charts
from synthface.report.charts import Mark, Series


def points(svg: str, kind: str) -> list[list[tuple[float, float]]]:
    """The points of every path of a class."""
    paths = re.findall(rf'<path class="{kind}[^"]*" d="([^"]*)"', svg)
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)] for path in paths]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_between_the_ends(low: float, width: float) -> None:
    found = charts.ticks(low, low + width)
    assert 2 <= len(found) <= 11
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found)
    steps = {round((b - a) / width, 6) for a, b in itertools.pairwise(found)}
    assert len(steps) == 1


def test_a_line_ends_at_the_corners_of_its_frame() -> None:
    svg = charts.lines([Series("", [0, 10], [0, 5])], "A", "x", "y")
    ((first, last),) = points(svg, "line")
    assert first == (charts._LEFT, charts.HEIGHT - charts._BOTTOM)
    assert last == (charts.WIDTH - charts._RIGHT, charts._TOP)


def test_decades_are_equally_far_apart() -> None:
    svg = charts.lines([Series("", [0.001, 0.01, 0.1, 1], [0, 0, 0, 1])], "A", "x", "y", log_x=True)
    (line,) = points(svg, "line")
    gaps = {round(b[0] - a[0]) for a, b in itertools.pairwise(line)}
    assert len(gaps) == 1


def test_histograms_are_shares_and_keep_empty_ends_out() -> None:
    svg = charts.histogram([Series("a", [0, 1, 2, 3, 4], [0, 3, 1, 0])], "H", "x", [Mark("here", 2.5)])
    (area,) = points(svg, "area")
    assert min(x for x, _ in area) == charts._LEFT
    heights = sorted({charts.HEIGHT - charts._BOTTOM - y for _, y in area})
    assert heights[-1] == pytest.approx(3 * heights[1], abs=0.5)
    assert ">here<" in svg


def test_a_perfect_curve_lies_at_the_top_of_rates_and_not_below_impossible_ones() -> None:
    svg = charts.lines([Series("", [0.001, 1], [1, 1])], "ROC", "far", "tar", log_x=True, y_high=1)
    assert {y for line in points(svg, "line") for _, y in line} == {charts._TOP}
    assert ">2.0<" not in svg


def test_numbers_at_the_ends_of_an_axis_stay_inside_the_picture() -> None:
    svg = charts.histogram([Series("", [0, 1_500, 3_000], [1, 1])], "H", "x")
    (right,) = re.findall(r'<text x="([\d.]+)"[^>]*>3000<', svg)
    assert float(right) + 4 * 3 < charts.WIDTH


def test_a_chart_of_nothing_is_nothing() -> None:
    assert charts.histogram([Series("a", [0, 1, 2], [0, 0])], "H", "x") == ""
    assert charts.lines([Series("a", [], [])], "L", "x", "y") == ""


def test_charts_are_well_formed_whatever_they_are_called() -> None:
    name = '<&">'
    svg = charts.lines([Series(name, [1, 2], [1, 1]), Series("b", [1, 2], [2, 1])], name, name, name, diagonal=True)
    ET.fromstring(svg)
    ET.fromstring(charts.histogram([Series(name, [0, 1], [2])], name, name, [Mark(name, 0.5)]))
