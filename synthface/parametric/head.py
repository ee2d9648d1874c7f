"""The head patch of the atlas: where its vertices lie on the bare head, and their canonical coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric.anatomy import CENTER, MOUTH_Y, surface
from synthface.parametric.atlas import HEAD_COLUMNS, HEAD_ROWS
from synthface.parametric.fields import smoothstep

# Wanted distance between rows along the front midline (height in mm → mm), and how tightly they pack at the mouth.
_SPACING_Y = (-200.0, -135.0, -120.0, -112.0, 34.0, 52.0, 120.0)
_SPACING = (8.0, 6.0, 2.4, 1.9, 1.9, 3.4, 5.0)
_MOUTH_PACKING, _MOUTH_BAND = 3.0, 2.4
_LOWEST = np.radians(-71.0)


@dataclass(frozen=True)
class Canon:
    """Canonical coordinates of the bare head's vertices, each (rows, columns): features are modelled and painted here."""

    base: NDArray[Any]  # (R, C, 3), mm
    azimuth: NDArray[Any]  # 0 in front, ±π behind
    elevation: NDArray[Any]  # π/2 at the crown

    @property
    def x(self) -> NDArray[Any]:
        return self.base[..., 0]

    @property
    def y(self) -> NDArray[Any]:
        return self.base[..., 1]

    @property
    def z(self) -> NDArray[Any]:
        return self.base[..., 2]

    @property
    def front(self) -> NDArray[Any]:
        """1 on the face, 0 from the ears backwards."""
        return smoothstep(-0.05, 0.35, np.cos(self.azimuth))


def columns() -> NDArray[Any]:
    """Azimuth of the columns, dense in front; the first and the last are the same line behind."""
    t = np.linspace(-1, 1, HEAD_COLUMNS)
    return np.pi * (0.36 * t + 0.64 * t**3)


@lru_cache(maxsize=1)
def rows() -> NDArray[Any]:
    """Elevation of the rows from the crown to the neck."""
    fine = np.linspace(np.pi / 2 - 0.004, _LOWEST, 4000)
    profile = surface(np.stack([0 * fine, np.sin(fine), np.cos(fine)], -1))
    step = np.linalg.norm(np.diff(profile, axis=0), axis=1)
    height = (profile[1:, 1] + profile[:-1, 1]) / 2
    density = 1 / np.interp(height, _SPACING_Y, _SPACING)
    density *= 1 + _MOUTH_PACKING * np.exp(-0.5 * ((height - MOUTH_Y) / _MOUTH_BAND) ** 2)
    passed = np.concatenate([[0], np.cumsum(step * density)])
    return np.interp(np.linspace(0, passed[-1], HEAD_ROWS), passed, fine)


@lru_cache(maxsize=1)
def canon() -> Canon:
    azimuth, elevation = np.meshgrid(columns(), rows())
    level = np.cos(elevation)
    direction = np.stack([np.sin(azimuth) * level, np.sin(elevation), np.cos(azimuth) * level], -1)
    return Canon(surface(direction), azimuth, elevation)


def center_distance(position: NDArray[Any]) -> NDArray[Any]:
    """Distance from the head's center, mm."""
    return np.linalg.norm(position - CENTER, axis=-1)
