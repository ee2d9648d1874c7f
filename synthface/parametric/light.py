"""Light in the room: a key lamp with a soft-edged shadow, a rim lamp, and light from all around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthface.parametric.noise import lookup
from synthface.parametric.occlusion import frame
from synthface.parametric.raster import FAR, depth_map

Array = NDArray[Any]

_SIDE, _MM_PER_PIXEL = 112, 3.4
_AWAY = 3000.0
_BACKDROP = 260.0  # mm behind the middle at which a shadow map is empty


@dataclass(frozen=True)
class Lamps:
    """Directions towards the lamps (unit, room coordinates) and their colours, linear."""

    key: Array
    key_colour: Array
    rim: Array
    rim_colour: Array
    sky: Array  # colour of light from above
    ground: Array
    front: float  # share of the surroundings' light that comes from the camera's side
    hardness: float


def _direction(azimuth: float, elevation: float) -> Array:
    a, e = np.radians([azimuth, elevation])
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], np.float32)


def lamps(azimuth: float, elevation: float, hardness: float, fill: float, warmth: float, rim: float) -> Lamps:
    """The lamps of one picture; the meaning of the numbers stands in `dimensions`."""
    warm = np.array([1 + 0.20 * warmth, 1.0, 1 - 0.28 * warmth], np.float32)
    around = np.array([1 - 0.05 * warmth, 1.0, 1 + 0.06 * warmth], np.float32)
    return Lamps(
        key=_direction(azimuth, elevation),
        key_colour=warm * np.float32(2.1 * (1 - fill)),
        rim=_direction(180 + azimuth * 0.6 + (60 if azimuth >= 0 else -60), 18),
        rim_colour=around * np.float32(0.8 * rim),
        sky=around * np.float32(1.15 * fill),
        ground=np.array([1.06, 0.98, 0.90], np.float32) * np.float32(0.62 * fill),
        front=0.35,
        hardness=hardness,
    )


class ShadowMap:
    """Distance to the key lamp, blurred as moments (variance shadow maps, Donnelly & Lauritzen 2006)."""

    def __init__(self, lights: Lamps, room_V3: Array, triangle_T3: NDArray[Any]) -> None:
        self.axes = frame(lights.key.astype(np.float64))
        self.middle = np.array([0, 20, -10], np.float32)
        depth = np.full((_SIDE, _SIDE), FAR, np.float32)
        screen = self._locate(room_V3)
        screen[:, 2] += _AWAY
        depth_map(screen, triangle_T3, depth)
        behind = np.minimum(depth - _AWAY, _BACKDROP)
        moments = np.stack([behind, behind * behind], -1)
        spread = 0.75 + 3.2 * (1 - lights.hardness)
        self.moments = cv2.GaussianBlur(moments, (0, 0), spread, borderType=cv2.BORDER_REPLICATE)
        self.least_variance = np.float32(14.0 + 60.0 * (1 - lights.hardness))

    def _locate(self, room_V3: Array) -> Array:
        local = (room_V3 - self.middle) @ self.axes.T
        scale = np.array([1 / _MM_PER_PIXEL, 1 / _MM_PER_PIXEL, -1], np.float32)
        return local * scale + np.array([_SIDE / 2, _SIDE / 2, 0], np.float32)

    def visible(self, room_3P: Array, bias: float = 3.0) -> Array:
        """How much of the lamp each point sees, 0…1."""
        right, up, towards = (_along(room_3P, axis) - np.float32(axis @ self.middle) for axis in self.axes)
        half, scale = np.float32(_SIDE / 2 - 0.5), np.float32(1 / _MM_PER_PIXEL)
        mean, square = lookup(self.moments, right * scale + half, up * scale + half)
        variance = np.maximum(square - mean * mean, self.least_variance)
        behind = np.maximum(-towards - mean - np.float32(bias), 0)
        chance = variance / (variance + behind * behind)
        return np.clip((chance - np.float32(0.18)) / np.float32(0.82), 0, 1)


def _along(vector_3P: Array, axis: Array) -> Array:
    return axis[0] * vector_3P[0] + axis[1] * vector_3P[1] + axis[2] * vector_3P[2]
