"""Charts as inline SVG: no script, no font, no file beside the page; colours come from the page's style sheet.

A series is named by a CSS class, `c1` … `c5`, so that light and dark pages colour the same chart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 24, 38
_TICKS = 5


class Series(NamedTuple):
    """A named line or histogram. style: the CSS class of its colour."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "c1"


class Mark(NamedTuple):
    """A vertical line at x."""

    label: str
    x: float


def histogram(
    series: Sequence[Series], title: str, x_label: str, marks: Sequence[Mark] = (), low: float | None = None, high: float | None = None
) -> str:  # fmt: skip
    """Filled steps. x: the edges of the bins (one more than y); y: counts, drawn as shares of their sum.

    low, high: what part of the axis is shown; by default all that is not empty.
    """
    shares = [[count / max(sum(one.y), 1) for count in one.y] for one in series]
    filled = [x for one in series for k, count in enumerate(one.y) if count for x in one.x[k : k + 2]]
    filled += [mark.x for mark in marks]
    if not filled:
        return ""
    low, high = min(filled) if low is None else low, max(filled) if high is None else high
    top = max((max(share) for share in shares), default=0.0)
    axes = _Axes(low, high, 0.0, top * 1.06 or 1.0)
    body = [axes.grid(_percent)]
    for one, share in zip(series, shares, strict=True):
        points = []
        for k, value in enumerate(share):
            a, b = max(one.x[k], low), min(one.x[k + 1], high)
            if a < b:
                points += [(a, value), (b, value)]
        if points:
            outline = [(points[0][0], 0.0), *points, (points[-1][0], 0.0)]
            body.append(
                f'<path class="area {one.style}" d="{axes.path(outline)}Z"><title>{escape(one.label)}</title></path>'
            )
    body += [axes.mark(mark) for mark in marks]
    return _figure(title, x_label, "share", series, "".join(body))


def lines(
    series: Sequence[Series],
    title: str,
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    y_low: float | None = None,
    y_high: float | None = None,
    diagonal: bool = False,
) -> str:
    """Lines through points. log_x: decades; diagonal: the line y = x, where everything would be kept."""
    points = [(x, y) for one in series for x, y in zip(one.x, one.y, strict=True) if not log_x or x > 0]
    if not points:
        return ""
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    bottom = min(y for _, y in points) if y_low is None else y_low
    top = max(y for _, y in points) if y_high is None else y_high
    if top <= bottom:  # a flat line: below what cannot be exceeded, else above itself
        bottom, top = (top - 1, top) if y_high is not None else (bottom, bottom + 1)
    axes = _Axes(low, high, bottom, top, log_x)
    body = [axes.grid(_number)]
    if diagonal:
        end = min(high, top)
        body.append(f'<path class="guide" d="{axes.path([(low, low), (end, end)])}"/>')
    for one in series:
        kept = [(x, y) for x, y in zip(one.x, one.y, strict=True) if not log_x or x > 0]
        if kept:
            body.append(
                f'<path class="line {one.style}" d="{axes.path(kept)}"><title>{escape(one.label)}</title></path>'
            )
    return _figure(title, x_label, y_label, series, "".join(body))


class _Axes:
    """Values to pixels."""

    def __init__(self, low: float, high: float, bottom: float, top: float, log_x: bool = False) -> None:
        self.log_x = log_x
        self.low, self.high = (math.log10(low), math.log10(high)) if log_x else (low, high)
        if self.high <= self.low:
            self.low, self.high = self.low - 0.5, self.low + 0.5
        self.bottom, self.top = bottom, top

    def x(self, value: float) -> float:
        value = math.log10(value) if self.log_x else value
        share = (value - self.low) / (self.high - self.low)
        return _LEFT + min(max(share, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.bottom) / (self.top - self.bottom)
        return HEIGHT - _BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - _BOTTOM - _TOP)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)

    def mark(self, mark: Mark) -> str:
        x = self.x(mark.x)
        anchor, shift = ("end", -4) if x > WIDTH * 0.7 else ("start", 4)
        return (
            f'<path class="mark" d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>'
            f'<text class="note" x="{x + shift:.1f}" y="{_TOP + 9}" text-anchor="{anchor}">{escape(mark.label)}</text>'
        )

    def grid(self, show: Callable[[float, float], str]) -> str:
        parts = []
        rows = ticks(self.bottom, self.top)
        for value in rows:
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{show(value, _step(rows))}</text>')
        columns = _decades(self.low, self.high) if self.log_x else ticks(self.low, self.high)
        for value in columns:
            x = self.x(10**value if self.log_x else value)
            text = _decade(value) if self.log_x else _number(value, _step(columns))
            half = 4 * (4 if "<" in text else len(text))  # of its width; no number leaves the picture
            x = min(max(x, half), WIDTH - half)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{text}</text>')
        parts.append(f'<path class="axis" d="M{_LEFT} {HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}"/>')
        return "".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Round values between low and high, about five of them: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    every = max(1, math.ceil((high - low) / 6))
    return [float(k) for k in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1) if k % every == 0]


def _decade(exponent: float) -> str:
    power = int(exponent)
    if -2 <= power <= 3:
        return f"{10.0**power:g}"
    return f'10<tspan dy="-4" font-size="8">{str(power).replace("-", "−")}</tspan>'


def _step(values: Sequence[float]) -> float:
    return values[1] - values[0] if len(values) > 1 else abs(values[0]) if values else 1.0


def _number(value: float, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 0
    if abs(value) >= 1_000_000:
        return f"{value / 1e6:g} M"
    if abs(value) >= 10_000:
        return f"{value / 1e3:g} k"
    return f"{value if value else 0:.{digits}f}".replace("-", "−")


def _percent(value: float, step: float) -> str:
    return f"{_number(100 * value, 100 * step)} %"


def _figure(title: str, x_label: str, y_label: str, series: Sequence[Series], body: str) -> str:
    keys = "".join(f'<span class="key {one.style}">{escape(one.label)}</span>' for one in series if one.label)
    legend = f'<span class="keys">{keys}</span>' if len(series) > 1 else ""
    return (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b>{legend}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{body}'
        f'<text class="label" x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 5}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text class="label" x="2" y="11">{escape(y_label)}</text></svg></figure>'
    )
