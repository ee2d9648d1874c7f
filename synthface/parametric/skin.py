"""A person's paint: skin, lips, brows and beard, as two four-channel sheets over the head.

Colour is two pigments: an offset of melanin (the tone's axis) and of blood. It becomes light only at the pixel, so a
blush, an old age or a grown beard need no new sheet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import atlas
from synthface.parametric.anatomy import MOUTH_Y
from synthface.parametric.canvas import SHEET_COLUMNS, SHEET_ROWS, Canvas, Sheet, canvas
from synthface.parametric.features import mouth_line
from synthface.parametric.fields import bell, smoothstep
from synthface.parametric.noise import sample, strands
from synthface.parametric.traits import Traits

# sRGB of skin from the lightest tone to the darkest, and what blood takes from red, green and blue (log).
_TONES = np.array(
    [(236, 205, 188), (224, 186, 163), (206, 164, 137), (172, 127, 101), (124, 87, 68), (76, 53, 43)], float
)
BLOOD = np.array([-0.05, -0.50, -0.40], np.float32)
WARMTH = np.array([0.02, 0.0, -0.10], np.float32)

# Where a mole can be: canonical (X, Y), mm, radius, and its direction in the plane of the two mole dimensions.
_MOLES = (
    (24, -52, 0.9, 20),
    (-30, -40, 0.8, 75),
    (-17, -61, 0.9, 130),
    (40, -20, 0.8, 175),
    (12, -92, 0.9, 225),
    (-41, -62, 1.0, 285),
    (-20, 36, 0.9, 330),
    (33, -78, 0.8, 50),
    (-9, -34, 0.7, 250),
)


@dataclass(frozen=True)
class Paint:
    """(rows, columns, 4) float32 over the atlas: melanin, blood, gloss, brow; and lips, beard, wrinkles, bristles."""

    pigment: Sheet
    cover: Sheet


def linear(srgb: NDArray[Any]) -> NDArray[Any]:
    """sRGB 0…1 → linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


_LOG_TONES = np.log(linear(_TONES / 255))


@lru_cache(maxsize=8)
def tone_colour(tone: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Log of the linear albedo (3,) at a tone in 0…1, and its slope per unit of tone."""
    from scipy.interpolate import CubicSpline

    curve = CubicSpline(np.linspace(0, 1, len(_TONES)), _LOG_TONES, axis=0, bc_type="natural")
    return curve(tone).astype(np.float32), curve(tone, 1).astype(np.float32)


def exposure(t: Traits, brightness: float) -> np.float32:
    """What the camera multiplies the light with, for a face of this mean brightness: darker faces stay darker."""
    target = 0.31 * (0.27 + 0.73 * (1 - t.tone) ** 1.1)
    return np.float32((target / max(brightness, 1e-3)) ** 0.80)


def paint(t: Traits) -> Paint:
    """Everything about a person's skin that does not depend on the picture."""
    c = canvas()
    weights = np.array([1.0, t.texture[0], t.texture[1]], np.float32)
    weights /= np.linalg.norm(weights)
    mottle = weights[0] * c.mottle[0] + weights[1] * c.mottle[1] + weights[2] * c.mottle[2]
    melanin = 0.017 * mottle + 0.008 * c.pores + (0.045 + 0.02 * t.hood) * c.shade
    melanin += 0.05 * c.eye_bag * (0.5 + 0.5 * (t.texture[0] + 1))
    melanin += np.float32(0.22 * t.freckles) * c.freckles * c.freckle_zone
    blood = 0.14 * mottle + (0.10 + 0.45 * t.redness) * c.blush + 0.12 * c.eye_bag
    gloss = 0.9 + 0.25 * c.pores + 0.2 * c.front * bell(c.side, 0, 17)
    for x, y, radius, direction in _MOLES:
        strength = np.cos(np.radians(direction)) * t.moles[0] + np.sin(np.radians(direction)) * t.moles[1]
        _dot(melanin, c, x, y, radius, 0.45 * float(smoothstep(1.2, 2.0, strength)))
    pigment = np.zeros((SHEET_ROWS, SHEET_COLUMNS, 4), np.float32)
    cover = np.zeros_like(pigment)
    where = atlas.HEAD.texels
    for k, layer in enumerate((melanin, blood, gloss, _brows(t, c))):
        pigment[where][..., k] = layer
    lips = _lips(c)
    beard = c.beard * (t.beard_style + (1 - t.beard_style) * c.moustache) * (1 - lips)
    for k, layer in enumerate((lips, beard, c.wrinkles, c.bristles)):
        cover[where][..., k] = layer
    for ear in (atlas.LEFT_EAR, atlas.RIGHT_EAR):
        pigment[ear.texels][..., 1] = 0.18 + 0.25 * t.redness
        pigment[ear.texels][..., 2] = 0.7
    return Paint(pigment, cover)


def _dot(melanin: Sheet, c: Canvas, x: float, y: float, radius: float, strength: float) -> None:
    if strength <= 0:
        return
    row = np.abs(c.canon.y[:, c.canon.y.shape[1] // 2] - y).argmin()
    column = np.abs(c.canon.x[row] - x + 1e3 * (c.front[row] < 0.5)).argmin()
    window = (slice(max(row - 9, 0), row + 10), slice(max(column - 9, 0), column + 10))
    distance = np.hypot(c.canon.x[window] - x, c.canon.y[window] - y)
    melanin[window] += strength * smoothstep(radius + 0.6, radius - 0.5, distance)


def _window(c: Canvas, low: float, high: float) -> slice:
    """The rows whose height in front lies between `low` and `high`."""
    height = c.canon.y[:, c.canon.y.shape[1] // 2]
    kept = np.flatnonzero((height > low) & (height < high) & (c.canon.elevation[:, 0] > -1.0))
    return slice(int(kept[0]), int(kept[-1]) + 1)


def _lips(c: Canvas) -> Sheet:
    """How much a texel is lip, 0…1."""
    out = np.zeros_like(c.side)
    rows = _window(c, MOUTH_Y - 18, MOUTH_Y + 18)
    x, side = c.canon.x[rows], c.side[rows]
    above = c.canon.y[rows] - mouth_line(x)
    q = np.minimum(side / 25.8, 1)
    upper = 7.4 * (1 - q**1.4) * (1 - 0.24 * bell(side, 0, 2.8)) + 0.9 * bell(side, 5.5, 3)
    lower = 9.4 * (1 - q**2.0)
    lip = np.where(
        above >= 0, smoothstep(upper + 0.9, upper - 0.9, above), smoothstep(lower + 1.1, lower - 1.1, -above)
    )
    out[rows] = lip * smoothstep(26.5, 24.0, side) * c.front[rows]
    return out


def _brows(t: Traits, c: Canvas) -> Sheet:
    """How much a texel is brow hair, 0…1: strokes, upright near the nose and lying down outwards."""
    out = np.zeros_like(c.side)
    rows = _window(c, 4, 36)
    side, y = c.side[rows], c.canon.y[rows]
    q = np.clip((side - 10) / 41, -0.2, 1.3)
    middle = 17.0 + (3.0 + 4.5 * t.brow_arch) * np.sin(np.clip(q, 0, 1) ** 1.15 * 2.5) - 2.6 * q
    half = (1.2 + 1.9 * t.brow_thickness + 1.0 * t.male) * (1 - 0.62 * np.clip(q, 0, 1) ** 1.7) * 1.05
    lean = 0.2 + 1.3 * smoothstep(0, 0.4, q)
    stroke = sample(strands(), 4.2 * (side - lean * (y - middle)), 3.0 * y)
    across = np.abs(y - middle) / half
    body = smoothstep(1.6, 0.3, across + 0.20 * stroke)
    ends = smoothstep(-0.10, 0.15, q + 0.04 * stroke) * smoothstep(1.09, 0.78, q + 0.05 * stroke)
    density = 0.55 + 0.3 * t.brow_thickness + 0.12 * t.male
    out[rows] = np.clip(body * ends * density * (0.92 + 0.22 * stroke), 0, 1) * c.front[rows]
    return out
