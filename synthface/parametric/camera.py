"""Pose, perspective and the crop: from millimetres of the head to pixels of a norm-cropped picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The five points of the ArcFace crop at 112 px: pupils, tip of the nose, corners of the mouth; left of the picture first.
TEMPLATE_52 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
CROP_SIDE = 112
PIVOT = np.array([0.0, -60.0, -85.0])  # where the head turns on the neck


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[Any]:
    """(3, 3); degrees. Yaw turns the face to the picture's right, pitch up, roll clockwise as seen; the head nods
    about its own axis, then turns, then tilts."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return tilt @ turn @ nod


def similarity(source_P2: NDArray[Any], target_P2: NDArray[Any]) -> NDArray[Any]:
    """The (2, 3) similarity without reflection that brings `source` nearest to `target` (Umeyama 1991, as norm_crop)."""
    source_mean, target_mean = source_P2.mean(0), target_P2.mean(0)
    s, t = source_P2 - source_mean, target_P2 - target_mean
    spread = (s * s).sum()
    a = (s * t).sum() / spread
    b = (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum() / spread
    linear = np.array([[a, -b], [b, a]])
    return np.concatenate([linear, (target_mean - linear @ source_mean)[:, None]], 1)


@dataclass(frozen=True)
class Camera:
    """Looks along −Z at the pivot from `distance`; `crop` takes the picture plane (mm) to pixels."""

    head: NDArray[Any]  # (3, 3) turns the head
    distance: float
    crop: NDArray[Any]  # (2, 3)

    def turn(self, point_V3: NDArray[Any], share: float = 1.0) -> NDArray[Any]:
        """Points of the head (or unit vectors, if already relative to the pivot) in the room; share 0 leaves them."""
        matrix = self.head if share == 1.0 else np.eye(3, dtype=np.float32)
        return (point_V3 - PIVOT.astype(np.float32)) @ matrix.T

    def project(self, room_V3: NDArray[Any], scale: float = 1.0) -> NDArray[Any]:
        """Points of the room → (V, 3): pixel x, pixel y (times `scale`), distance from the camera in mm."""
        away = np.float32(self.distance) - room_V3[:, 2]
        plane = np.stack([room_V3[:, 0], -room_V3[:, 1]], 1) * (np.float32(self.distance) / away)[:, None]
        pixel = (plane @ self.crop[:, :2].T + self.crop[:, 2]) * np.float32(scale)
        return np.concatenate([pixel, away[:, None]], 1)


def aim(
    landmark_53: NDArray[Any],
    pose: tuple[float, float, float],
    distance: float,
    error: tuple[float, float, float, float],
) -> Camera:
    """The camera whose picture is the norm crop of the head with these five landmarks, but for the crop's `error`:
    px right, px down, log scale, degrees."""
    head = rotation(*pose).astype(np.float32)
    raw = Camera(head, distance, np.array([[1, 0, 0], [0, 1, 0]], np.float32))
    plane = raw.project(raw.turn(landmark_53))[:, :2].astype(np.float64)
    crop = similarity(plane, TEMPLATE_52)
    right, down, log_scale, degrees = error
    c, s = np.exp(log_scale) * np.cos(np.radians(degrees)), np.exp(log_scale) * np.sin(np.radians(degrees))
    middle = np.full(2, CROP_SIDE / 2)
    wobble = np.array([[c, -s], [s, c]])
    linear = wobble @ crop[:, :2]
    shift = wobble @ (crop[:, 2] - middle) + middle + (right, down)
    return Camera(head, distance, np.concatenate([linear, shift[:, None]], 1).astype(np.float32))
