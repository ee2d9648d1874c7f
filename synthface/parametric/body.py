"""A person's vertices in one picture: head with expression, ears and shoulders on one sheet; and where the landmarks are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import atlas, ears, expression, features, head, shape
from synthface.parametric.anatomy import MOUTH_Y, PUPIL_X
from synthface.parametric.atlas import COLUMNS, HEAD, LEFT_EAR, RIGHT_EAR, ROWS, TORSO
from synthface.parametric.traits import Traits

Array = NDArray[Any]

# The torso's rings: half breadth, half depth, height (mm).
_RINGS = (
    (44, 40, -104),
    (47, 45, -128),
    (51, 50, -150),
    (58, 57, -172),
    (72, 63, -184),
    (100, 72, -196),
    (138, 82, -208),
    (176, 92, -228),
    (196, 98, -268),
    (204, 104, -330),
    (206, 106, -430),
)
_TORSO_CENTER = (0.0, -98.0)  # x, z
LANDMARK_NAMES = ("left pupil", "right pupil", "tip of the nose", "left corner", "right corner")
_LANDMARK_XY = ((-PUPIL_X, 0.0), (PUPIL_X, 0.0), (0.0, -38.0), (-26.0, MOUTH_Y + 0.5), (26.0, MOUTH_Y + 0.5))


@lru_cache(maxsize=1)
def mean_head() -> Array:
    """The mean face without expression, (HEAD.rows · HEAD.columns · 3,) mm."""
    c = head.canon()
    position = c.base.copy()
    position[..., 2] += features.relief(c)
    return position.reshape(-1).astype(np.float32)


@lru_cache(maxsize=1)
def _torso() -> tuple[Array, Array]:
    """Position and normals of the shoulders, the same for everybody."""
    azimuth = np.linspace(-np.pi, np.pi, TORSO.columns)[None, :]
    rings = np.array(_RINGS, float)
    at = np.linspace(0, len(rings) - 1, TORSO.rows)
    half_x, half_z, height = (np.interp(at, np.arange(len(rings)), ring)[:, None] for ring in rings.T)
    slope = 26.0 * np.cos(azimuth) * np.clip((half_x - 58) / 80, 0, 1)  # the back of a collar is higher than the front
    sheet = [
        _TORSO_CENTER[0] + half_x * np.sin(azimuth),
        height - slope,
        _TORSO_CENTER[1] + half_z * np.cos(azimuth),
    ]
    position = np.stack(np.broadcast_arrays(*sheet), -1).astype(np.float32)
    return position, atlas.normals(position, closed=True)


@dataclass(frozen=True)
class Body:
    """Vertices (ROWS, COLUMNS, 3) of the atlas in head coordinates, mm, with unit normals; and the five landmarks."""

    position: Array
    normal: Array
    landmarks: Array  # (5, 3)


def neutral(t: Traits) -> Body:
    """A person without expression."""
    head_sheet = (
        mean_head()
        + np.einsum("k,kn->n", t.shape[: len(shape.names())], shape.basis())
        + np.float32(2 * t.male - 1) * shape.sex()
    )
    shaped = head_sheet.reshape(HEAD.rows, HEAD.columns, 3)
    position = np.zeros((ROWS, COLUMNS, 3), np.float32)
    normal = np.zeros_like(position)
    position[HEAD.where] = shaped
    size, flare = 1 + 0.06 * float(t.shape[-2]), 0.11 * float(t.shape[-1])
    for side, patch, grid in ((-1, LEFT_EAR, _ear_grid(-1)), (1, RIGHT_EAR, _ear_grid(1))):
        moved = _bilinear(shaped, grid) - _bilinear(mean_head().reshape(shaped.shape), grid)
        site = ears.SITE * (side, 1, 1) + moved
        position[patch.where] = ears.build(side, site, size, flare)
        normal[patch.where] = atlas.normals(position[patch.where], closed=True)
    position[TORSO.where], normal[TORSO.where] = _torso()
    return expressed(Body(position, normal, np.zeros((5, 3), np.float32)), np.zeros(len(expression.FIELDS), np.float32))


def expressed(person: Body, weights: Array) -> Body:
    """The same person with an expression; `weights` are those of `expression.FIELDS`."""
    position, normal = person.position.copy(), person.normal.copy()
    shaped = position[HEAD.where]
    for weight, field in zip(weights, expression.basis(), strict=True):
        if weight:  # most are at rest
            shaped += weight * field.reshape(shaped.shape)
    normal[HEAD.where] = atlas.normals(shaped, closed=True)
    landmarks = np.stack([_bilinear(shaped, place) for place in _landmark_grid()])
    return Body(position, normal, landmarks)


def _bilinear(sheet: Array, place: tuple[int, int, float, float]) -> Array:
    row, column, down, across = place
    upper = sheet[row, column] * (1 - across) + sheet[row, column + 1] * across
    lower = sheet[row + 1, column] * (1 - across) + sheet[row + 1, column + 1] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


@lru_cache(maxsize=1)
def _landmark_grid() -> tuple[tuple[int, int, float, float], ...]:
    return tuple(_locate(x, y, True) for x, y in _LANDMARK_XY)


@lru_cache(maxsize=2)
def _ear_grid(side: int) -> tuple[int, int, float, float]:
    return _locate(side * 71.0, -14.0, False)


def _locate(x: float, y: float, in_front: bool) -> tuple[int, int, float, float]:
    """The cell of the head's sheet that holds canonical (x, y), and the place inside it."""
    c = head.canon()
    allowed = (np.cos(c.azimuth) > 0.25) if in_front else (np.abs(np.cos(c.azimuth)) < 0.25)
    nearest = np.where(allowed, np.hypot(c.x - x, c.y - y), np.inf)
    row, column = divmod(int(nearest.argmin()), nearest.shape[1])
    row -= int(c.y[row, column] < y)
    column -= int(c.x[row, column] > x)
    down = (y - c.y[row, column]) / (c.y[row + 1, column] - c.y[row, column])
    across = (x - c.x[row, column]) / (c.x[row, column + 1] - c.x[row, column])
    return row, column, float(np.clip(down, 0, 1)), float(np.clip(across, 0, 1))


@lru_cache(maxsize=1)
def triangles() -> NDArray[Any]:
    """All triangles of the coarse atlas, (T, 3)."""
    return np.concatenate([patch.triangles() for patch in (HEAD, LEFT_EAR, RIGHT_EAR, TORSO)])


@lru_cache(maxsize=1)
def shadow_mesh() -> tuple[NDArray[Any], NDArray[Any]]:
    """Which vertices of the coarse atlas are enough for shadows, and the triangles between them."""
    coarse = np.concatenate([patch.triangles(2) for patch in (HEAD, LEFT_EAR, RIGHT_EAR, TORSO)])
    vertices, triangle = np.unique(coarse, return_inverse=True)
    return vertices, triangle.reshape(-1, 3).astype(np.int32)


@lru_cache(maxsize=1)
def coordinates() -> Array:
    """(ROWS, COLUMNS, 4): canonical X and Y, azimuth, and how much light from all around arrives (0…1)."""
    from synthface.parametric.occlusion import ambient

    c = head.canon()
    sheet = np.zeros((ROWS, COLUMNS, 4), np.float32)
    sheet[..., 0], sheet[..., 1], sheet[..., 2] = 0.0, -300.0, 1.65
    sheet[HEAD.where] = np.stack([c.x, c.y, c.azimuth, 0 * c.x], -1)
    sheet[..., 3] = ambient()
    return sheet
