"""An ear: a polar sheet from behind the auricle over its rim into the concha (ours)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from synthface.parametric.atlas import EAR_COLUMNS, EAR_ROWS
from synthface.parametric.fields import bell, smoothstep

# Outline around the concha: degrees from straight up, turning backwards → mm.
_OUTLINE_DEGREES = (0, 30, 60, 90, 120, 150, 180, 205, 235, 270, 310, 335, 360)
_OUTLINE = (31, 33.5, 31, 26, 23, 24, 29, 26, 16, 11.5, 15, 24, 31)
# From the attachment behind (0) over the rim (0.3) to the floor of the concha (1): share of the outline, height in mm.
_ALONG = (0, 0.12, 0.24, 0.3, 0.37, 0.46, 0.56, 0.68, 0.80, 1.0)
_SHARE = (0.5, 0.86, 0.99, 1.0, 0.95, 0.85, 0.76, 0.62, 0.45, 0.02)
_HEIGHT = (-9, -2, 3.4, 5.2, 5.2, 2.0, 2.2, 4.8, -0.8, -2.0)
_LOBE_HEIGHT = (-9, -3, 2.0, 3.2, 3.8, 4.2, 4.2, 3.6, -0.2, -2.0)
_FRONT_HEIGHT = (-9, -8, -6, -4.5, -3.0, -1.0, 2.0, 3.2, -0.2, -2.0)

SITE = np.array([74.0, -17.0, -93.0])  # of the concha, on the right of the picture
_TILT = np.radians(11.0)  # the ear's axis leans back
_FLARE = np.radians(15.0)


@dataclass(frozen=True)
class EarSheet:
    """The mean ear, relative to its site; (rows, columns)."""

    back: NDArray[Any]
    up: NDArray[Any]
    out: NDArray[Any]
    depth: NDArray[Any]  # 0 on the ridges … 1 in the concha: how little light gets there


@lru_cache(maxsize=1)
def sheet() -> EarSheet:
    angle = np.linspace(0, 2 * np.pi, EAR_COLUMNS)[None, :]
    along = np.linspace(0, 1, EAR_ROWS)[:, None]
    outline = CubicSpline(np.radians(_OUTLINE_DEGREES), _OUTLINE, bc_type="periodic")(angle)
    radius = PchipInterpolator(_ALONG, _SHARE)(along) * outline
    degrees = np.degrees(angle)
    lobe = bell(degrees, 183, 24)
    front = smoothstep(222, 246, degrees) * smoothstep(318, 296, degrees)
    height = PchipInterpolator(_ALONG, _HEIGHT)(along) * (1 - lobe) * (1 - front)
    height = height + PchipInterpolator(_ALONG, _LOBE_HEIGHT)(along) * lobe * (1 - front)
    height = height + PchipInterpolator(_ALONG, _FRONT_HEIGHT)(along) * front
    depth = np.clip(0.45 - height / 5.0, 0, 1) * smoothstep(0.25, 0.4, along)
    depth = np.maximum(depth, 0.75 * smoothstep(0.2, 0.0, along))
    return EarSheet(radius * np.sin(angle), radius * np.cos(angle), height, depth)


def build(side: int, site: NDArray[Any], size: float, flare: float) -> NDArray[Any]:
    """One ear, (rows, columns, 3) mm: `side` is +1 on the picture's right, `size` a factor, `flare` extra radians."""
    s = sheet()
    angle = _FLARE + flare
    back, out = s.back * np.cos(angle) - s.out * np.sin(angle), s.back * np.sin(angle) + s.out * np.cos(angle)
    up = s.up * np.cos(_TILT)
    back = back + s.up * np.sin(_TILT)
    position = np.stack([side * out, up, -back], -1) * size + site
    return (position if side > 0 else position[:, ::-1]).astype(np.float32)
