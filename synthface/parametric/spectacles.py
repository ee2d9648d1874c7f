"""Glasses as geometry: two rims, a bridge and two temples as tubes, and two panes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric.atlas import quads
from synthface.parametric.ears import SITE

Array = NDArray[Any]

_AROUND = 6
_RIM_POINTS = 36
_THINNEST = 2.0  # mm


@dataclass(frozen=True)
class Frame:
    """What a pair of glasses looks like."""

    width: float  # of one rim, mm
    height: float
    roundness: float  # 0 rectangular, 1 round
    thickness: float
    shade: float  # 0 black, 1 light metal
    tint: float  # of the panes, 0 clear, 1 dark


@dataclass(frozen=True)
class Mesh:
    position: Array  # (V, 3) mm
    normal: Array
    triangles: NDArray[Any]


def _tube(line: NDArray[Any], radius: float, closed: bool) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    ahead = np.roll(line, -1, 0) - np.roll(line, 1, 0) if closed else np.gradient(line, axis=0)
    ahead = ahead / (np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-9)
    side = np.cross(ahead, [0.11, 0.23, 0.97])
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    up = np.cross(ahead, side)
    angle = np.linspace(0, 2 * np.pi, _AROUND + 1)[None, :, None]
    normal = side[:, None] * np.cos(angle) + up[:, None] * np.sin(angle)
    if closed:
        line, normal = np.concatenate([line, line[:1]]), np.concatenate([normal, normal[:1]])
    position = line[:, None] + radius * normal
    index = np.arange(position.shape[0] * (_AROUND + 1)).reshape(position.shape[:2])
    triangles = quads(index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:])
    return position.reshape(-1, 3), normal.reshape(-1, 3), triangles


def coverage(frame: Frame) -> float:
    """How much the drawn frame hides: a wire thinner than the grid of points is drawn broader and fainter."""
    return min(1.0, frame.thickness / _THINNEST)


def _rim(side: int, frame: Frame, middle: NDArray[Any], front: float) -> NDArray[Any]:
    angle = np.linspace(0, 2 * np.pi, _RIM_POINTS, endpoint=False)
    power = 1 / (1 + 1.6 * (1 - frame.roundness))
    c, s = np.cos(angle), np.sin(angle)
    gap = 9.0  # half of the distance between the rims
    x = side * (gap + frame.width / 2) + np.sign(c) * np.abs(c) ** power * frame.width / 2
    y = middle[1] - 3.0 + np.sign(s) * np.abs(s) ** power * frame.height / 2
    return np.stack([middle[0] + x, y, front - 0.0042 * x * x], 1)


def build(landmarks_53: Array, bridge_z: float, ear_y: float, frame: Frame) -> tuple[Mesh, Mesh]:
    """Frame and panes on a face with these five landmarks; `bridge_z` is the depth of the nose's bridge."""
    left, right = landmarks_53[0].astype(float), landmarks_53[1].astype(float)
    middle = (left + right) / 2
    front = max(bridge_z + 2.5, middle[2] + 13.0)
    parts, panes, start, pane_start = [], [], 0, 0
    radius = max(frame.thickness, _THINNEST) / 2
    lines: list[tuple[NDArray[Any], bool]] = []
    for side in (-1, 1):
        rim = _rim(side, frame, middle, front)
        lines.append((rim, True))
        center = rim.mean(axis=0, keepdims=True)
        pane = np.concatenate([center, rim])
        ring = np.arange(_RIM_POINTS)
        triangle = np.stack([0 * ring, 1 + ring, 1 + (ring + 1) % _RIM_POINTS], 1) + pane_start
        panes.append((pane, np.tile([0.0, 0.0, 1.0], (len(pane), 1)), triangle))
        pane_start += len(pane)
        outer = side * (9.0 + frame.width)
        hinge = np.array([middle[0] + outer, middle[1] + 4.0, front - 0.0042 * outer * outer])
        hook = SITE * (side, 1, 1) + (side * 4.0, ear_y - SITE[1] + 22.0, 0)
        along = np.linspace(0, 1, 8)[:, None]
        temple = hinge + (hook - hinge) * along
        temple[:, 0] += side * 4.0 * np.sin(np.pi * along[:, 0])
        lines.append((temple, False))
    across = np.linspace(-9.5, 9.5, 9)
    bridge = np.stack([middle[0] + across, middle[1] - 1.0 + 3.0 * np.cos(across / 6.2), front + 0.8 + 0 * across], 1)
    lines.append((bridge, False))
    for line, closed in lines:
        position, normal, triangle = _tube(line, radius, closed)
        parts.append((position, normal, triangle + start))
        start += len(position)
    return _mesh(parts), _mesh(panes)


def _mesh(parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]) -> Mesh:
    position, normal, triangle = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return Mesh(position.astype(np.float32), normal.astype(np.float32), triangle.astype(np.int32))
