"""The painted sheets' canonical coordinates, two texels to a vertex, and what is painted there for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import atlas, head, noise
from synthface.parametric.expression import beard_region
from synthface.parametric.fields import bell, bump, groove, smoothstep
from synthface.parametric.head import Canon

Sheet = NDArray[Any]
SHEET_ROWS = (atlas.ROWS - 1) * atlas.TEXELS_PER_VERTEX + 1
SHEET_COLUMNS = (atlas.COLUMNS - 1) * atlas.TEXELS_PER_VERTEX + 1


def refine(values_RC: NDArray[Any]) -> NDArray[Any]:
    """Values at the head's vertices → at its texels."""
    rows, columns = values_RC.shape
    fine_row = np.linspace(0, rows - 1, (rows - 1) * atlas.TEXELS_PER_VERTEX + 1)
    fine_column = np.linspace(0, columns - 1, (columns - 1) * atlas.TEXELS_PER_VERTEX + 1)
    across = np.stack([np.interp(fine_column, np.arange(columns), row) for row in values_RC])
    return np.stack([np.interp(fine_row, np.arange(rows), column) for column in across.T], 1)


@dataclass(frozen=True)
class Canvas:
    """Coordinates of the head's texels and the layers that do not depend on the person, all (H, W) float32."""

    canon: Canon
    side: Sheet  # |x|
    sign: Sheet
    front: Sheet
    mottle: tuple[Sheet, Sheet, Sheet]  # unit variance
    pores: Sheet
    blush: Sheet
    shade: Sheet  # darker zones: lids, below the eyes, around the nose
    eye_bag: Sheet
    freckles: Sheet  # 0…1
    freckle_zone: Sheet
    beard: Sheet  # 0…1 where hair grows on the face
    moustache: Sheet  # the part of it that a small beard keeps
    wrinkles: Sheet  # 0…1, how dark a fold is in old age
    bristles: Sheet  # unit variance, stubble and beard hair


@lru_cache(maxsize=1)
def canvas() -> Canvas:
    vertex = head.canon()
    base = np.stack([refine(vertex.base[..., k]) for k in range(3)], -1)
    c = Canon(base, refine(vertex.azimuth), refine(vertex.elevation))
    side, front = np.abs(c.x), c.front
    s, y = 88.0 * c.azimuth, c.y  # nearly millimetres of skin in every direction
    mottle = tuple(noise.sample(noise.blotches(), s * 1.15 + 90 * k, y * 1.15 + 40 * k) for k in range(3))
    grain = noise.sample(noise.grains(), s * 1.9, y * 1.9)
    layers = {
        "pores": noise.sample(noise.grains(), s * 2.6 + 31, y * 2.6),
        "blush": front
        * (
            bump(side, y, 37, -34, 13, 12)
            + 0.9 * bump(side, y, 0, -40, 11, 8)
            + 0.35 * bump(side, y, 0, -101, 13, 9)
            + 0.3 * bump(side, y, 31, 3, 15, 9)
            + 0.25 * bump(side, y, 0, 22, 25, 12)
        ),
        "shade": front
        * (
            1.0 * bump(side, y, 31, 8, 14, 5)
            + 0.9 * bump(side, y, 18.5, 1, 4, 7)
            + 0.5 * bump(side, y, 18, -38, 4, 6)
            + 0.5 * bump(side, y, 8, -54, 12, 5)
            + 0.6 * bump(side, y, 0, -86, 13, 3.5)
            + 1.3 * groove(side, y, [(15.0, -35.0), (18.2, -40), (17.6, -47)], 1.9)
            + 0.9 * bump(side, y, 8, -50.5, 10, 2.2)
        ),
        "eye_bag": front * groove(side, y, [(19, -8), (27, -13), (37, -12)], 3.4),
        "freckles": smoothstep(0.9, 1.7, grain),
        "freckle_zone": front * (bump(side, y, 24, -24, 20, 15) + 0.4 * bump(side, y, 0, 40, 35, 16)),
        "beard": beard_region(c),
        "moustache": front
        * np.clip(
            smoothstep(-47, -53, y) * smoothstep(-68, -61, y) * smoothstep(34, 23, side)
            + 0.7 * bump(side, y, 29, -74, 4.5, 11)
            + 1.3 * bump(side, y, 0, -100, 14, 11)
            + 0.5 * bump(side, y, 0, -82, 5, 5),
            0,
            1,
        ),
        "wrinkles": _wrinkles(c, side),
        "bristles": 0.55
        * noise.sample(noise.strands(), s * 1.3 + np.sign(c.x) * (y + 60) * 0.5, y * 3.0 + np.abs(s) * 1.2)
        + 0.8 * noise.sample(noise.grains(), s * 1.2, y * 0.9 + 50),
    }
    sheets = {name: np.asarray(layer, np.float32) for name, layer in layers.items()}
    return Canvas(
        canon=c,
        side=side.astype(np.float32),
        sign=np.tanh(c.x / 3).astype(np.float32),
        front=front.astype(np.float32),
        mottle=mottle,  # type: ignore[arg-type]
        **sheets,
    )


def _wrinkles(c: Canon, side: NDArray[Any]) -> NDArray[Any]:
    """Fold lines, wandering and broken as skin does, never a regular wave."""
    wander = noise.sample(noise.blotches(), c.x * 0.9 + 11, c.y * 0.9 + 70)
    x, y = side, c.y + 1.1 * wander
    broken = smoothstep(-1.1, 0.4, noise.sample(noise.blotches(), c.x * 1.6, c.y * 3.2 + 20))
    forehead = sum(
        0.6 * bell(y - 0.0035 * (x - 18) ** 2, height, 0.9) * smoothstep(44, 26, x) for height in (33.0, 41.5, 51.0)
    )
    lines = forehead * broken
    for end in (9.0, 3.0, -4.0, -10.0):
        lines = np.maximum(lines, 0.6 * groove(x, y, [(48.5, end * 0.35), (60, end * 1.25)], 0.8) * broken)
    lines = np.maximum(lines, 0.65 * groove(x, c.y, [(4.3, 12), (3.6, 26)], 0.9))
    lines = np.maximum(lines, 0.8 * groove(x, y, [(20, -42), (26.5, -54), (31.5, -68)], 1.3))
    lines = np.maximum(lines, 0.5 * groove(x, y, [(28, -75), (30.5, -91)], 1.2))
    lines = np.maximum(lines, 0.5 * groove(x, y, [(19, -9), (28, -14.5), (40, -14)], 1.0))
    lines = np.maximum(lines, 0.35 * groove(x, y, [(22, -6), (31, -9.5), (42, -7)], 0.8))
    vertical = smoothstep(0.6, 1.6, noise.sample(noise.strands(), c.x * 3.0, c.y * 0.8))
    lines = np.maximum(lines, 0.3 * vertical * bell(c.y, -60, 5) * smoothstep(28, 20, x))
    return lines * c.front
