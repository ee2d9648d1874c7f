"""What stands behind a person: windows into a few fixed patterns, coloured and out of focus."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthface.parametric.noise import SIDE, blotches, lookup, tile, wrap
from synthface.parametric.skin import linear
from synthface.seeds import generator

Array = NDArray[Any]


def colour(hue: float, saturation: float, lightness: float) -> Array:
    """Linear RGB (3,) of hue, saturation and lightness, all 0…1."""
    third = np.array([0.0, 1 / 3, 2 / 3])
    wheel = np.clip(np.abs(np.mod(hue - third, 1.0) * 6 - 3) - 1, 0, 1)
    wheel = wheel / wheel.mean() / 3
    srgb = lightness * (1 + saturation * (3 * wheel - 1) * 0.6)
    return linear(np.clip(srgb, 0, 1)).astype(np.float32)


@lru_cache(maxsize=1)
def _pattern() -> Array:
    """(SIDE, SIDE, 4): walls and furniture, lights out of focus, foliage, soft gradients; each about −1…1."""
    random = generator(0, "parametric background")
    walls = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(60):
        x, y = random.integers(0, SIDE, 2)
        w, h = random.integers(8, 70, 2)
        patch = np.zeros_like(walls)
        patch[:h, :w] = random.normal()
        walls = np.where(patch != 0, 0.3 * walls + patch, walls)
        walls = np.roll(walls, (int(y), int(x)), (0, 1))
    bokeh = np.zeros((SIDE, SIDE), np.float32)
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    for _ in range(70):
        x, y = random.uniform(0, SIDE, 2)
        radius = random.uniform(3, 11)
        dx = np.abs(np.mod(column - x + SIDE / 2, SIDE) - SIDE / 2)
        dy = np.abs(np.mod(row - y + SIDE / 2, SIDE) - SIDE / 2)
        bokeh += random.uniform(0.3, 1.5) * np.clip(radius - np.hypot(dx, dy), 0, 1)
    bokeh -= bokeh.mean()
    soft = tile("soft", ((2, 2, 1.0), (4, 4, 0.5)))
    layers = [walls, bokeh, blotches(), soft]
    return np.stack([(layer - layer.mean()) / (layer.std() + 1e-6) for layer in layers], -1).astype(np.float32)


@lru_cache(maxsize=1)
def _grid(side: int) -> tuple[Array, Array]:
    row, column = np.mgrid[0:side, 0:side].astype(np.float32)
    return row.reshape(-1), column.reshape(-1)


def build(side: int, x: float, y: float, scale: float, tone: Array, contrast: float, blur: float) -> Array:
    """(3, side, side) linear; `x`, `y` choose the place, and with it which of the patterns prevails."""
    step = 2.0**scale * SIDE / side * 0.55
    row, column = _grid(side)
    walls, bokeh, blots, soft = lookup(
        _pattern(),
        wrap(column * step + x * SIDE * 7),
        wrap(row * step + y * SIDE * 5),
        cv2.BORDER_WRAP,
    )
    weight = [max(math.cos(2 * math.pi * (x * 3 + y + k / 3)), 0.0) ** 2 for k in range(3)]
    structure = weight[0] * walls + weight[1] * bokeh + weight[2] * blots + 0.6 * soft
    warmth = np.exp((0.35 * soft + 0.2 * walls) * (0.5 * contrast))
    level = np.exp(np.clip(structure * (0.9 * contrast), -2.5, 1.6))
    planes = [tone[0] * level * warmth, tone[1] * level, tone[2] * level / warmth]
    picture = cv2.merge([plane.reshape(side, side) for plane in planes])
    if blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), blur * side / 112, borderType=cv2.BORDER_REFLECT)
    return np.stack(cv2.split(picture))
