"""Where hair grows and which way it is combed: fields over the scalp (ours)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from synthface.parametric import head
from synthface.parametric.atlas import HEAD
from synthface.parametric.fields import bell, smoothstep
from synthface.parametric.head import Canon
from synthface.parametric.traits import Traits

Field = NDArray[Any]

# |Azimuth| → height of the hairline (mm): forehead, recess, temple, sideburn, over the ear, behind it, nape.
_AZIMUTH = (0.0, 0.28, 0.52, 0.70, 0.84, 0.98, 1.12, 1.24, 1.36, 1.52, 1.72, 1.9, 2.15, 2.6, np.pi)
_HEIGHT = (66.0, 65.5, 63, 56, 45, 30, 12, -8, -4, 18, 14, -18, -58, -80, -86)
# What makes it squarer in men.
_SQUARE = (0.0, 1.0, 4.5, 7.0, 6.0, 3.0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
_RECESSION = (0.55, 0.9, 1.5, 1.7, 1.25, 0.5, 0.1, 0, 0, 0, 0, 0, 0, 0, 0)  # how far age lifts it, relative

# The scalp is unrolled around the crown: mm from it, forwards and to the picture's right.
_CHART_RADIUS = 92.0
_WHORL = np.array([0.0, -22.0])
_PART_FRONT = 78.0


@dataclass(frozen=True)
class Scalp:
    """Fields at the vertices of the cap, (rows, columns)."""

    canon: Canon
    chart: Field  # (R, C, 2): to the right and forwards of the crown, mm
    rows: slice
    columns: slice


@lru_cache(maxsize=1)
def scalp() -> Scalp:
    """Every second vertex of the head above the nape."""
    c = head.canon()
    c = Canon(*(np.asarray(field, np.float32) for field in (c.base, c.azimuth, c.elevation)))
    last = int(np.flatnonzero(c.y[:, 0] > -100)[-1]) + 2
    rows, columns = slice(0, last, 2), slice(0, HEAD.columns, 2)
    part = Canon(c.base[rows, columns], c.azimuth[rows, columns], c.elevation[rows, columns])
    radius = _CHART_RADIUS * (np.pi / 2 - part.elevation)
    chart = np.stack([radius * np.sin(part.azimuth), radius * np.cos(part.azimuth)], -1)
    return Scalp(part, chart, rows, columns)


@lru_cache(maxsize=1)
def _spread() -> Field:
    """(knots, columns of the cap): what each knot of the hairline gives to the columns, a smoothed linear interpolation."""
    around = np.abs(scalp().canon.azimuth[0])
    fine = np.linspace(-0.5, np.pi + 0.5, 800)
    rows = []
    for knot in np.eye(len(_AZIMUTH)):
        line = np.interp(np.abs(fine), _AZIMUTH, knot)
        rows.append(np.interp(around, fine, gaussian_filter1d(line, 0.06 / (fine[1] - fine[0]), mode="nearest")))
    return np.stack(rows).astype(np.float32)


def height(t: Traits, recession: float) -> Field:
    """Height (mm) of the hairline at the columns of the cap, (C,); `recession` in mm at the temples."""
    knots = np.array(_HEIGHT) + t.male * np.array(_SQUARE) + recession * np.array(_RECESSION)
    knots += t.hairline * (np.array(_AZIMUTH) < 0.9)
    knots += np.interp(_AZIMUTH, (1.0, 1.24, 1.45), (0, -8.0 * t.male + 8.0, 0))
    peak = 2.0 * t.texture[0] * bell(np.abs(scalp().canon.azimuth[0]), 0, 0.12)
    return np.einsum("k,kc->c", knots.astype(np.float32), _spread()) + peak


def inside(t: Traits, recession: float) -> Field:
    """Distance (mm) into the hair at the vertices of the cap, negative on bare skin."""
    c = scalp().canon
    line = height(t, recession)
    slope = np.gradient(line) / (np.gradient(c.azimuth[0]) * 82.0)
    return (c.y - line) / np.sqrt(1 + np.minimum(slope, 6.0) ** 2)


def recession_mm(t: Traits, years: float) -> float:
    """How far the temples have receded: a man's affair, and a matter of years and disposition."""
    disposition = 0.35 + 0.65 * smoothstep(-1.2, 1.6, t.ageing - 0.12 * t.hairline)
    return float(t.male * 34.0 * disposition * smoothstep(22, 72, years))


@lru_cache(maxsize=4)
def flow(part: float) -> tuple[Field, Field, Field]:
    """Across and along the combed hair (mm), and the distance from the parting, for a parting at `part` (−1…1).

    Hair runs away from a line that goes from the whorl to the hairline; around the line's ends it fans out.
    """
    s = scalp()
    whorl = _WHORL + np.array([8.0 * part, 0])
    front = np.array([38.0 * part, _PART_FRONT])
    along_part = front - whorl
    length = np.linalg.norm(along_part)
    unit = along_part / length
    relative = s.chart - whorl
    t = np.clip(relative @ unit, 0, length)
    offset = relative - t[..., None] * unit
    distance = np.linalg.norm(offset, axis=-1)
    beyond = relative @ unit - t  # before the front end or behind the whorl
    fan = np.arctan2(beyond, np.maximum(distance, 1e-3) * 0 + np.sqrt(np.maximum(distance**2 - beyond**2, 1e-6)))
    across = t + 55.0 * fan
    parting = np.where(t < length, distance, 1e3)
    return across.astype(np.float32), distance.astype(np.float32), parting.astype(np.float32)
