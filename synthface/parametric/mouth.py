"""The seam between the lips, and behind it teeth, tongue and dark, painted per pixel in canonical coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric.anatomy import MOUTH_Y
from synthface.parametric.expression import LIP_SEAM
from synthface.parametric.features import mouth_line
from synthface.parametric.fields import bell, smoothstep

Array = NDArray[Any]

_TOOTH = np.array([0.70, 0.64, 0.53], np.float32)
_CAVITY = np.array([0.075, 0.018, 0.015], np.float32)
_TONGUE = np.array([0.30, 0.095, 0.085], np.float32)


def near(x_P: Array, y_P: Array, front_P: NDArray[Any]) -> NDArray[Any]:
    """The pixels at which `paint` has something to do."""
    return np.flatnonzero((np.abs(x_P) < 30) & (np.abs(y_P - MOUTH_Y) < 5) & front_P)


def paint(
    x: Array, y: Array, albedo: Array, jaw_open: float, parted: float, smile: float, white: float
) -> tuple[Array, Array]:
    """New albedo (3, n) of points near the mouth, and how much of each is the inside (n,); `white` scales the teeth."""
    side = np.abs(x)
    above = y - mouth_line(x)
    arch = np.sqrt(np.clip(1 - (side / 25.3) ** 2, 0, 1))
    gap = (17.0 * jaw_open + 6.0 * parted) * arch  # mm between the lips here
    seam = 0.66 * bell(above, 0, 0.75) * smoothstep(28, 22, side)
    dark = 1 - seam * np.array([[0.62], [0.82], [0.82]], np.float32)
    q = smoothstep(-LIP_SEAM, LIP_SEAM, above)
    rim = np.clip(0.35 / np.maximum(gap, 0.1), 0.02, 0.4)
    inside = smoothstep(0, rim, q) * smoothstep(1, 1 - rim, q) * smoothstep(0.9, 2.2, gap)
    from_top, from_bottom = (1 - q) * gap, q * gap
    upper_length = 2.0 + 3.2 * smile + 2.4 * parted + 1.0 * jaw_open
    lower_length = -0.6 + 0.8 * parted + 2.4 * jaw_open
    upper = smoothstep(upper_length + 0.7, upper_length - 0.7, from_top + 0.02 * side**1.5 * 0.5)
    lower = 0.75 * smoothstep(lower_length + 0.5, lower_length - 0.5, from_bottom)
    tooth = np.maximum(upper, lower * (1 - upper)) * smoothstep(23, 17, side)
    between = np.abs((side + 0.1) / 7.4 - np.round((side + 0.1) / 7.4))
    tooth_colour = _TOOTH[:, None] * np.float32(white) * (1 - 0.25 * smoothstep(0.1, 0.0, between) - 0.020 * side)
    tongue = smoothstep(0.55, 0.25, q) * smoothstep(16, 9, side) * min(1.0, 1.6 * jaw_open)
    deep = _CAVITY[:, None] + (_TONGUE - _CAVITY)[:, None] * (0.8 * tongue)
    inner = deep + (tooth_colour - deep) * tooth
    inner = inner * (0.55 + 0.45 * smoothstep(0, 3, from_top) * (1 - upper) + 0.35 * upper)
    mixed = albedo * dark
    return mixed + (inner - mixed) * inside, inside
