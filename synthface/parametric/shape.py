"""How people differ in shape: one smooth displacement field of the head for each shape dimension (ours).

Every field is the displacement, in mm, of one standard deviation; a person is the mean plus a weighted sum.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import head
from synthface.parametric.anatomy import CENTER, MOUTH_Y, PUPIL_X
from synthface.parametric.features import mouth_line
from synthface.parametric.fields import Field, bell, bump, smoothstep
from synthface.parametric.head import Canon

Displacement = NDArray[Any]


def move(c: Canon, x: Field | float = 0, y: Field | float = 0, z: Field | float = 0, out: Field | float = 0) -> Field:
    """A displacement (R, C, 3): along the axes, and horizontally away from the head's axis."""
    flat = c.base - CENTER
    level = np.hypot(flat[..., 0], flat[..., 2]) + 20.0  # fades at the crown, where "away" has no direction
    parts = (x + out * flat[..., 0] / level, y + np.zeros_like(level), z + out * flat[..., 2] / level)
    return np.stack(np.broadcast_arrays(*parts), -1)


def _skull(c: Canon, side: Field, sign: Field) -> dict[str, Displacement]:
    x, y, z = c.x, c.y, c.z
    below = np.minimum(y + 42, 0)
    jaw = bell(y, -78, 22) * smoothstep(14, 44, side) * smoothstep(-125, -100, y)
    chin = smoothstep(-82, -106, y) * smoothstep(-55, -15, z)
    return {
        "head_width": move(c, x=0.036 * x),
        "face_length": move(c, y=0.055 * below * smoothstep(-150, -118, y)),
        "forehead_height": move(c, y=0.08 * np.maximum(y - 22, 0)),
        "forehead_slope": move(c, z=-4.5 * smoothstep(15, 85, y) * c.front),
        "temples": move(c, out=-2.4 * bump(side, y, 62, 26, 12, 20)),
        "cheekbones": move(
            c, x=2.6 * sign * bump(side, y, 60, -20, 16, 13), z=1.5 * bump(side, y, 45, -23, 12, 9) * c.front
        ),
        "cheek_fullness": move(c, out=3.4 * bump(side, y, 40, -50, 14, 17) * c.front),
        "cheek_hollow": move(c, out=-2.8 * bump(side, y, 47, -52, 9, 14)),
        "jaw_width": move(c, x=4.4 * sign * jaw),
        "jaw_angle": move(c, y=-4.5 * bump(side, y, 52, -82, 12, 16), x=1.2 * sign * bump(side, y, 54, -84, 9, 10)),
        "chin_width": move(c, x=4.0 * sign * smoothstep(2, 20, side) * bell(y, -104, 11) * smoothstep(-60, -20, z)),
        "chin_length": move(c, y=-4.2 * chin),
        "chin_projection": move(c, z=4.0 * bump(side, y, 0, -103, 18, 11) * smoothstep(-70, -30, z)),
        "weight": move(
            c,
            out=3.6 * bump(side, y, 52, -66, 20, 30) + 6.5 * bell(y, -121, 9) * smoothstep(-95, -20, z),
            y=-3.0 * bell(y, -119, 8) * smoothstep(-80, -25, z),
        ),
        "taper": move(c, x=0.030 * x * np.clip((y + 20) / 85, -1.2, 0.5)),
    }


def _eyes(c: Canon, side: Field, sign: Field) -> dict[str, Displacement]:
    y = c.y
    eye = bump(side, y, PUPIL_X, 0, 15, 10) * c.front
    orbit = bump(side, y, 30, 3, 18, 15) * c.front
    brow = bump(side, y, 28, 19, 20, 7) * c.front
    return {
        "eye_spacing": move(c, x=2.3 * sign * orbit),
        "eye_height": move(c, y=2.0 * orbit),
        "eye_depth": move(c, z=2.2 * bump(side, y, 30, 2, 15, 9) * c.front),
        "eye_size": move(c, x=0.09 * sign * (side - PUPIL_X) * eye, y=0.13 * y * eye),
        "eye_tilt": move(c, y=0.10 * (side - PUPIL_X) * eye),
        "brow_ridge": move(c, z=2.3 * bump(side, y, 24, 17, 18, 6.5) * c.front),
        "brow_height": move(c, y=2.6 * brow),
        "brow_tilt": move(c, y=0.11 * (side - 28) * brow),
    }


def _nose(c: Canon, side: Field, sign: Field) -> dict[str, Displacement]:
    y = c.y
    near = bell(side, 0, 14) * c.front
    return {
        "nose_length": move(c, y=-3.2 * near * bell(y, -44, 12)),
        "nose_width": move(c, x=2.5 * sign * smoothstep(1, 12, side) * bell(side, 12, 7) * bell(y, -42, 8) * c.front),
        "bridge_height": move(c, z=2.3 * bump(side, y, 0, -5, 7.5, 12) * c.front),
        "bridge_width": move(c, x=1.1 * sign * smoothstep(0, 8, side) * bump(side, y, 9, -14, 7, 14) * c.front),
        "tip_projection": move(c, z=2.8 * bump(side, y, 0, -39, 9, 9) * c.front),
        "tip_rotation": move(c, y=2.8 * bump(side, y, 0, -41, 8, 6.5) * c.front),
        "nose_hump": move(c, z=1.8 * bump(side, y, 0, -15, 5.5, 7) * c.front),
        "nose_bulb": move(
            c, z=1.4 * bump(side, y, 6, -39, 4, 5) * c.front, x=1.0 * sign * bump(side, y, 7, -38, 4, 6) * c.front
        ),
    }


def _mouth(c: Canon, side: Field, sign: Field) -> dict[str, Displacement]:
    y = c.y
    above = y - mouth_line(c.x)
    reach = smoothstep(31, 15, side) * bell(above, 0, 8) * c.front
    return {
        "mouth_width": move(c, x=0.105 * c.x * bell(side, 22, 13) * bell(y, MOUTH_Y, 11) * c.front),
        "mouth_height": move(c, y=2.0 * bump(side, y, 0, MOUTH_Y, 28, 11) * c.front),
        "upper_lip": move(
            c, y=0.26 * np.maximum(above, 0) * reach, z=0.9 * bump(side, y, 0, MOUTH_Y + 4, 15, 3) * c.front
        ),
        "lower_lip": move(
            c, y=0.24 * np.minimum(above, 0) * reach, z=1.0 * bump(side, y, 0, MOUTH_Y - 6, 14, 3.5) * c.front
        ),
        "lip_projection": move(c, z=2.3 * bump(side, y, 0, MOUTH_Y, 20, 11) * c.front),
    }


def _asymmetry(c: Canon, side: Field, sign: Field) -> dict[str, Displacement]:
    y = c.y
    return {
        "asymmetry_upper": move(
            c,
            x=0.9 * bell(side, 0, 14) * bell(y, -34, 15) * c.front,
            y=0.7 * sign * bump(side, y, 31, 8, 18, 14) * c.front,
        ),
        "asymmetry_lower": move(
            c,
            x=1.4 * smoothstep(-60, -108, y) * smoothstep(-80, -10, c.z),
            y=0.7 * np.clip(c.x / 26, -1, 1) * bump(side, y, 0, MOUTH_Y, 30, 10) * c.front,
        ),
    }


def fields(c: Canon) -> dict[str, Displacement]:
    """Name of the dimension → displacement (R, C, 3) of one standard deviation."""
    side, sign = np.abs(c.x), np.tanh(c.x / 3.0)
    groups: tuple[Callable[[Canon, Field, Field], dict[str, Displacement]], ...] = (
        _skull,
        _eyes,
        _nose,
        _mouth,
        _asymmetry,
    )
    return {name: field for group in groups for name, field in group(c, side, sign).items()}


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    return tuple(fields(head.canon()))


@lru_cache(maxsize=1)
def basis() -> NDArray[Any]:
    """(K, R·C·3) float32, rows in the order of `names()`."""
    return np.stack([field.reshape(-1) for field in fields(head.canon()).values()]).astype(np.float32)


@lru_cache(maxsize=1)
def sex() -> NDArray[Any]:
    """(R·C·3,) float32: half of what tells a man's head from a woman's and has no dimension of its own."""
    c = head.canon()
    side, sign, y = np.abs(c.x), np.tanh(c.x / 3.0), c.y
    neck = smoothstep(-84, -122, y)
    nape = smoothstep(-60, -110, y) * smoothstep(-70, -110, c.z)
    throat = bump(side, y, 0, -146, 9, 11) * smoothstep(-90, -40, c.z)
    field = move(
        c,
        x=0.018 * c.x + 0.075 * c.x * neck + 0.8 * sign * bump(side, y, 54, -80, 12, 16),
        z=3.0 * throat + 0.9 * bump(side, y, 22, 17, 18, 6) * c.front,
        y=-1.4 * smoothstep(-80, -104, y) * smoothstep(-60, -20, c.z),
        out=-2.0 * nape,
    )
    return field.reshape(-1).astype(np.float32)
