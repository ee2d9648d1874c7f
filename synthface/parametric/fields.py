"""Smooth scalar fields over the canonical face: the strokes with which features are modelled and painted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[Any]


def smoothstep(low: Any, high: Any, x: Any) -> Any:
    """0 at `low`, 1 at `high`, without a kink at either end; `low` may be the larger. Numbers or fields."""
    q = (x - low) / (high - low)
    if isinstance(q, float):
        t = min(max(float(q), 0.0), 1.0)  # a Python number, which leaves float32 fields what they are
        return t * t * (3 - 2 * t)
    if not isinstance(q, np.ndarray) or q.ndim == 0:
        q = np.asarray(q)
    q = np.minimum(np.maximum(q, 0), 1)
    square = q * q
    q *= -2
    q += 3
    q *= square
    return q


def bell(x: Field, center: Any, width: Any) -> Field:
    """A Gaussian of height 1."""
    q = np.square((x - center) / width)
    return np.exp(np.multiply(q, -0.5))


def bump(x: Field, y: Field, x0: Any, y0: Any, sx: Any, sy: Any) -> Field:
    """A Gaussian of height 1 on the plane."""
    p, q = (x - x0) / sx, (y - y0) / sy
    return np.exp(-0.5 * (p * p + q * q))


def distance_to_polyline(x: Field, y: Field, points: Sequence[tuple[float, float]]) -> Field:
    """Distance of (x, y) to a line through `points`."""
    best = np.full(np.shape(x), np.inf, np.result_type(x))
    for (ax, ay), (bx, by) in pairwise(points):
        dx, dy = bx - ax, by - ay
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        best = np.minimum(best, np.hypot(x - ax - t * dx, y - ay - t * dy))
    return best


def groove(x: Field, y: Field, points: Sequence[tuple[float, float]], width: float) -> Field:
    """1 on the line through `points`, falling off as a Gaussian of `width` beside it."""
    return bell(distance_to_polyline(x, y, points), 0, width)


def smooth_max(a: Field, b: Field, softness: float) -> Field:
    """The larger of two heights, blended where they meet within `softness`."""
    return b + softness * np.logaddexp(0, (a - b) / softness)


def ellipsoid(x: Field, y: Field, center: tuple[float, float, float], radii: tuple[float, float, float]) -> Field:
    """Height of the ellipsoid's front over (x, y); far below where it is not."""
    q = 1 - ((x - center[0]) / radii[0]) ** 2 - ((y - center[1]) / radii[1]) ** 2
    return np.where(q > 0, center[2] + radii[2] * np.sqrt(np.maximum(q, 0)), -60.0)
