"""Fixed patterns: tileable noise that is the same in every process, sampled at smooth coordinates.

The patterns belong to the model as a brush belongs to a painter; what varies between people and pictures is where and
how strongly they are applied, and that stands in the vectors.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthface.seeds import generator

SIDE = 256  # of every tile; a power of two


@lru_cache(maxsize=32)
def tile(name: str, octaves: tuple[tuple[int, int, float], ...]) -> NDArray[Any]:
    """(SIDE, SIDE) tileable value noise of mean 0 and deviation 1; octaves are (cells down, cells across, weight)."""
    random = generator(0, "parametric noise", name)
    total = np.zeros((SIDE, SIDE), np.float32)
    for down, across, weight in octaves:
        cells = random.standard_normal((down, across)).astype(np.float32)
        wrapped = np.pad(cells, ((2, 2), (2, 2)), mode="wrap")
        row = (np.arange(SIDE, dtype=np.float32) + 0.5) * down / SIDE + 1.5
        column = (np.arange(SIDE, dtype=np.float32) + 0.5) * across / SIDE + 1.5
        x, y = np.meshgrid(column, row)
        total += np.float32(weight) * cv2.remap(wrapped, x, y, cv2.INTER_CUBIC)
    return (total - total.mean()) / total.std()


def blotches() -> NDArray[Any]:
    """Soft, isotropic, several sizes: mottled skin."""
    return tile("blotches", ((4, 4, 0.6), (8, 8, 1.0), (16, 16, 0.8), (32, 32, 0.5), (64, 64, 0.35)))


def grains() -> NDArray[Any]:
    """Fine and isotropic: pores, stubble, freckles."""
    return tile("grains", ((64, 64, 0.7), (128, 128, 1.0)))


def strands() -> NDArray[Any]:
    """Long down the tile, fine across it: hair seen from near."""
    return tile("strands", ((2, 32, 0.6), (3, 64, 0.9), (4, 128, 1.0), (16, 128, 0.35)))


def locks() -> NDArray[Any]:
    """As strands, but broad: locks of hair."""
    return tile("locks", ((2, 12, 1.0), (3, 24, 0.8), (8, 24, 0.4)))


def curls() -> NDArray[Any]:
    """Isotropic bumps of one size: curled hair."""
    return tile("curls", ((24, 24, 0.7), (40, 40, 1.0), (72, 72, 0.7)))


def sample(pattern: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """The tile at (x, y) in texels, repeated without end; bilinear; `x` and `y` broadcast, any number of dimensions."""
    x, y = np.broadcast_arrays(x, y)
    shape = x.shape
    flat_x, flat_y = wrap(np.asarray(x, np.float32).reshape(-1)), wrap(np.asarray(y, np.float32).reshape(-1))
    return lookup(pattern, flat_x, flat_y, cv2.BORDER_WRAP).reshape(shape)


def wrap(place: NDArray[Any]) -> NDArray[Any]:
    """Places on a tile brought into 0…SIDE."""
    turns = place * np.float32(1 / SIDE)
    turns -= np.floor(turns)
    turns *= SIDE
    return turns


_ROW = 1024  # OpenCV's maps may not be longer than 32,767 in one direction


def lookup(
    sheet: NDArray[Any],
    column_P: NDArray[Any],
    row_P: NDArray[Any],
    border: int = cv2.BORDER_REPLICATE,
) -> NDArray[Any]:
    """Bilinear samples of a sheet (H, W) or (H, W, C≤4) at P points → (P,) or, a plane a channel, (C, P)."""
    count = len(column_P)
    rows = -(-max(count, 1) // _ROW)
    x = np.zeros((rows, _ROW), np.float32)
    y = np.zeros((rows, _ROW), np.float32)
    x.reshape(-1)[:count] = column_P
    y.reshape(-1)[:count] = row_P
    taken = cv2.remap(sheet, x, y, cv2.INTER_LINEAR, borderMode=border)
    if sheet.ndim == 2:
        return taken.reshape(-1)[:count]
    return cv2.transpose(taken.reshape(rows * _ROW, -1))[:, :count]
