"""How much of the surroundings each vertex of the mean body sees: ambient occlusion, computed once in a process."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import body, ears, head
from synthface.parametric.atlas import COLUMNS, HEAD, LEFT_EAR, RIGHT_EAR, ROWS, TORSO
from synthface.parametric.fields import smoothstep
from synthface.parametric.raster import FAR, depth_map
from synthface.parametric.traits import traits

_DIRECTIONS = 64
_SIDE, _MM_PER_PIXEL = 192, 2.2
_AWAY = 3000.0
_BIAS = 3.0  # mm by which a surface may lie behind the nearest one and still see the light
_THROAT = 0.5  # light that the head keeps off the throat, beyond what the few directions tell
_LEAST = 0.22  # light that is scattered into the deepest fold


def sphere(count: int) -> NDArray[Any]:
    """Unit vectors spread evenly by the golden angle, (count, 3)."""
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
    level = np.sqrt(1 - height**2)
    return np.stack([level * np.cos(angle), level * np.sin(angle), height], -1)


def frame(direction: NDArray[Any]) -> NDArray[Any]:
    """(3, 3): two axes across `direction`, and `direction` itself."""
    helper = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(direction, right), direction]).astype(np.float32)


@lru_cache(maxsize=1)
def ambient() -> NDArray[Any]:
    """(ROWS, COLUMNS): the cosine-weighted share of open directions, 0…1."""
    someone = traits(np.zeros(64))
    model = body.neutral(someone)
    point = model.position.reshape(-1, 3) - np.array([0, -30, -80], np.float32)
    coarse = (np.arange(ROWS)[::2, None] * COLUMNS + np.arange(COLUMNS)[::2]).reshape(-1)
    normal = model.normal.reshape(-1, 3)
    seen, total = np.zeros(len(point), np.float32), np.full(len(point), 1e-6, np.float32)
    for direction in sphere(_DIRECTIONS):
        local = point @ frame(direction).T
        screen = local / (_MM_PER_PIXEL, _MM_PER_PIXEL, -1) + (_SIDE / 2, _SIDE / 2, _AWAY)
        screen = screen.astype(np.float32)
        depth = np.full((_SIDE, _SIDE), FAR, np.float32)
        depth_map(screen[coarse], body.triangles(), depth)
        x, y = (np.clip(screen[:, k].astype(int), 0, _SIDE - 1) for k in (0, 1))
        open_sky = np.clip(1 - (screen[:, 2] - depth[y, x] - _BIAS) / 4.0, 0, 1)
        weight = np.maximum(normal @ direction.astype(np.float32), 0)
        seen += weight * open_sky
        total += weight
    share = (_LEAST + (1 - _LEAST) * seen / total).reshape(ROWS, COLUMNS)
    for side, patch in ((-1, LEFT_EAR), (1, RIGHT_EAR)):
        depth = ears.sheet().depth
        share[patch.where] = 1 - 0.62 * (depth if side > 0 else depth[:, ::-1])
    share[HEAD.where] *= 1 - _THROAT * _below_jaw()
    share[TORSO.where] *= 1 - _THROAT * smoothstep(-260, -190, model.position[TORSO.where][..., 1])
    return share.astype(np.float32)


def _below_jaw() -> NDArray[Any]:
    """1 on the neck, 0 on the face: the border of the jaw runs from the chin up to behind the ear."""
    c = head.canon()
    border = np.interp(np.abs(c.azimuth), (0, 0.4, 0.65, 0.9, 1.29, 1.6, 2.2), (-117, -113, -105, -98, -87, -76, -70))
    return smoothstep(border + 2, border - 12, c.y)
