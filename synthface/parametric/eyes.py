"""Eyes, painted per pixel in canonical millimetres around each pupil: lids, lashes, sclera, iris, pupil, reflections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric.anatomy import PUPIL_X
from synthface.parametric.fields import bell, smoothstep
from synthface.parametric.noise import sample, strands
from synthface.parametric.traits import Traits

Array = NDArray[Any]

REACH_X, REACH_Y = 21.0, 14.0  # half of the window around a pupil, mm
_HALF_LENGTH = 15.2
_BALL = 12.2
_IRIS = 5.95
# Linear albedo of irises from dark brown over hazel, green and grey to blue.
_IRISES = np.array(
    [
        (0.020, 0.010, 0.006),
        (0.045, 0.021, 0.010),
        (0.095, 0.048, 0.020),
        (0.120, 0.085, 0.035),
        (0.105, 0.115, 0.060),
        (0.120, 0.150, 0.150),
        (0.110, 0.165, 0.230),
    ],
    np.float32,
)


@dataclass(frozen=True)
class Gaze:
    """The state of a pair of eyes in one picture."""

    blink: float
    squint: float  # 0…1, lids pushed together by a smile or a frown
    right: float  # degrees
    up: float
    pupil: float  # radius, mm
    makeup: float
    age: float  # 0 young … 1 old


@dataclass
class EyePixels:
    """What the eyes change at the pixels `index` (into the head's pixels), n of them."""

    index: NDArray[Any]
    albedo: Array  # (3, n) linear
    cover: Array  # (n,) 1 where the eyeball shows
    dark: Array  # (3, n) factor for lids, creases and lashes
    normal: Array  # (3, n) of the ball, in head coordinates
    reflection: Array  # (2, n) place on the cornea, mm right and up, for highlights
    wet: Array  # (n,)


def lids(s: Array, x: Array, t: Traits, g: Gaze) -> tuple[Array, Array]:
    """Heights (mm) of the upper and lower lid margins at s, −1 at the inner and 1 at the outer canthus."""
    line = 0.75 * s - 0.5
    upper_shape = np.maximum(1 - np.abs(s + 0.10 * (1 - s * s)) ** 2.25, 0)
    lower_shape = np.maximum(1 - np.abs(s - 0.13 * (1 - s * s)) ** 2.1, 0)
    open_height = (5.6 - 0.4 * t.hood - 0.25 * t.male - 0.9 * (1 - t.crease)) * (1 - 0.14 * g.squint - 0.10 * g.age)
    upper = line + open_height * upper_shape
    upper = upper - upper_shape * (
        1.7 * t.hood * smoothstep(-0.2, 1.0, s) + 1.3 * (1 - t.crease) * smoothstep(-0.3, -0.9, s)
    )
    lower = line - (4.95 - 1.0 * g.squint) * lower_shape
    closed = lower + 0.25 + 0.8 * g.blink * lower_shape
    return upper + (closed - upper) * g.blink, lower + 0.8 * g.blink * lower_shape


def paint(x_P: Array, y_P: Array, front_P: NDArray[Any], t: Traits, g: Gaze) -> EyePixels:
    """The eyes at pixels with canonical coordinates `x_P`, `y_P`; `front_P` leaves out what lies behind the ears."""
    index = np.flatnonzero(
        (np.abs(np.abs(x_P) - PUPIL_X) < REACH_X) & (np.abs(y_P - 1) < REACH_Y) & front_P,
    )
    x, y = x_P[index], y_P[index]
    side = np.sign(x)
    out = side * x - PUPIL_X  # mm from the pupil's resting place, outwards
    s = (out + 0.3) / _HALF_LENGTH
    upper, lower = lids(s, out, t, g)
    within = smoothstep(1.02, 0.96, np.abs(s))
    cover = smoothstep(-0.3, 0.35, upper - y) * smoothstep(-0.3, 0.35, y - lower) * within
    albedo, wet = _ball(out, y, side, s, upper, lower, t, g)
    dark = _lid_skin(s, y, upper, lower, t, g)
    normal = np.stack([side * out / _BALL, y / _BALL, np.full_like(out, 0.9)])
    normal /= np.linalg.norm(normal, axis=0)
    reflection = np.stack([x - side * PUPIL_X, y])
    return EyePixels(
        index,
        albedo.astype(np.float32),
        cover.astype(np.float32),
        dark.astype(np.float32),
        normal.astype(np.float32),
        reflection.astype(np.float32),
        wet.astype(np.float32),
    )


def _ball(
    out: Array, y: Array, side: Array, s: Array, upper: Array, lower: Array, t: Traits, g: Gaze
) -> tuple[Array, Array]:
    """Linear albedo of sclera, iris and pupil, in the shadow of the upper lid; and how wet the surface is."""
    shaded = 0.42 + 0.58 * smoothstep(0.2, 3.4, upper - y)
    edge = 0.75 + 0.25 * smoothstep(0.0, 1.2, y - lower)
    white = (0.50 - 0.14 * s * s) * (1 - 0.10 * g.age) * (1 - 0.58 * t.tone)
    pink = smoothstep(-0.72, -0.97, s) + 0.35 * smoothstep(0.75, 1.0, s)
    ball = np.stack([white + 0.02 * pink, white * (0.93 - 0.35 * pink), white * (0.90 - 0.38 * pink)])
    shift_x, shift_y = (_BALL * math.sin(math.radians(angle)) for angle in (g.right, g.up))
    across, up = side * out - shift_x, y - shift_y - 0.2
    radius = np.hypot(across, up)
    iris = smoothstep(_IRIS + 0.45, _IRIS - 0.45, radius)
    fibres = 1 + 0.16 * sample(strands(), 40 * np.arctan2(up, across), 2 * radius)
    limbus = 1 - 0.68 * smoothstep(_IRIS - 2.2, _IRIS, radius)
    caught = 0.75 + 0.4 * smoothstep(2.5, -4.5, up)  # light through the cornea falls on the lower half
    at = t.iris * (len(_IRISES) - 1)
    low = min(int(at), len(_IRISES) - 2)
    colour = _IRISES[low] * (1 - at + low) + _IRISES[low + 1] * (at - low)
    pupil = smoothstep(g.pupil + 0.4, g.pupil - 0.4, radius)
    coloured = colour[:, None] * (fibres * limbus * caught * (1 - pupil) * (0.95 - 0.4 * t.tone)) + 0.004
    albedo = ball + (coloured - ball) * iris
    return albedo * (shaded * edge), 0.5 + 0.5 * iris


def _lid_skin(s: Array, y: Array, upper: Array, lower: Array, t: Traits, g: Gaze) -> Array:
    """Factors on red, green and blue of the skin around: crease, hood, lashes, margins and make-up."""
    span = np.maximum(1 - np.abs(s * 0.88) ** 2.6, 0)
    platform = (0.9 + 3.3 * t.crease) * (1 - 0.45 * t.hood) * (1 + 0.6 * g.blink) * span
    crease_y = upper + platform * (0.85 + 0.25 * s) + 0.35
    ends = smoothstep(1.18, 0.85, s) * smoothstep(-1.08, -0.7, s)
    crease = (0.10 + 0.62 * t.crease + 0.15 * g.age) * bell(y, crease_y, 0.85) * ends * (1 - 0.6 * g.blink)
    hood = (
        0.36 * t.hood * smoothstep(crease_y + 3.2, crease_y, y) * smoothstep(crease_y - 0.6, crease_y + 0.6, y) * ends
    )
    epicanthus = 0.4 * (1 - t.crease) * bell(s, -0.98, 0.09) * bell(y, -0.6, 1.8)
    thick = (0.62 + 0.30 * (1 - t.male) + 0.40 * g.makeup) * (0.75 + 0.45 * smoothstep(-0.9, 0.9, s))
    wing = smoothstep(1.15 + 0.08 * (1 - t.male), 0.98, s) * smoothstep(-1.12, -0.85, s)
    lash = (0.80 + 0.15 * (1 - t.male)) * bell(y, upper + 0.30, thick) * wing
    lower_lash = (
        (0.24 + 0.25 * g.makeup) * bell(y, lower - 0.3, 0.55) * smoothstep(-0.9, 0.1, s) * smoothstep(1.1, 0.9, s)
    )
    waterline = 0.0 if g.blink > 0.8 else 0.10 * bell(y, lower + 0.35, 0.4)
    shadow = (
        0.5 * g.makeup * (1 - t.male) * smoothstep(crease_y + 1.5, crease_y - 1, y) * smoothstep(upper - 0.5, upper, y)
    )
    shadow = shadow * ends
    fold = crease + hood + epicanthus
    hair = np.maximum(lash, lower_lash)
    factor = np.stack(
        [
            (1 - 0.75 * fold) * (1 - 0.35 * shadow),
            (1 - 0.9 * fold) * (1 - 0.6 * shadow),
            (1 - 0.9 * fold) * (1 - 0.5 * shadow),
        ]
    )
    return np.clip(factor * (1 - np.clip(hair, 0, 0.97)) + waterline, 0, 1.2)
