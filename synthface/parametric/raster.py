"""Triangles to pixels, by OpenCV's z-buffer rasteriser (perspective-correct, single precision)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FAR = 1e5
_NEAR = 1.0
_RIGHT_ANGLE = np.pi / 2  # field of view: at this one the image plane's half side equals the distance
_IDENTITY = np.eye(4, dtype=np.float32)


def _settings(two_sided: bool) -> cv2.TriangleRasterizeSettings:
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE if two_sided else cv2.RASTERIZE_CULLING_CW)
    return settings


_ONE_SIDED, _TWO_SIDED = _settings(False), _settings(True)


class Layer:
    """A z-buffer and, for each pixel, three interpolated values of the nearest surface."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.value_HW3 = np.zeros((size, size, 3), np.float32)
        self.depth_HW = np.full((size, size), FAR, np.float32)

    def draw(
        self,
        screen_V3: NDArray[Any],
        triangle_T3: NDArray[Any],
        value_V3: NDArray[Any],
        two_sided: bool = False,
    ) -> None:
        """Draws triangles; `screen_V3` is pixel x, pixel y and distance from the camera, values lie in 0…1."""
        cv2.triangleRasterize(
            _clip_space(screen_V3, self.size),
            triangle_T3 if two_sided else triangle_T3[_facing(screen_V3, triangle_T3)],
            value_V3,
            self.value_HW3,
            self.depth_HW,
            _IDENTITY,
            _RIGHT_ANGLE,
            _NEAR,
            FAR,
            _TWO_SIDED if two_sided else _ONE_SIDED,
        )

    @property
    def covered_HW(self) -> NDArray[Any]:
        return self.depth_HW < FAR


def _facing(screen_V3: NDArray[Any], triangle_T3: NDArray[Any]) -> NDArray[Any]:
    """Which triangles show their front; OpenCV culls too, but only after half of the work."""
    x, y = np.ascontiguousarray(screen_V3[:, :2].T)
    a, b, c = np.ascontiguousarray(triangle_T3.T)
    ax, ay = x[a], y[a]
    return (x[b] - ax) * (y[c] - ay) < (y[b] - ay) * (x[c] - ax)


def depth_map(screen_V3: NDArray[Any], triangle_T3: NDArray[Any], depth_HW: NDArray[Any]) -> None:
    """Lowers `depth_HW` to the distance of the triangles where they are nearer."""
    cv2.triangleRasterizeDepth(
        _clip_space(screen_V3, depth_HW.shape[0]),
        triangle_T3,
        depth_HW,
        _IDENTITY,
        _RIGHT_ANGLE,
        _NEAR,
        FAR,
        _TWO_SIDED,
    )


def _clip_space(screen_V3: NDArray[Any], size: int) -> NDArray[Any]:
    clip = np.empty_like(screen_V3)
    half = size / 2
    distance = screen_V3[:, 2]
    clip[:, 0] = (screen_V3[:, 0] - half) * distance / half
    clip[:, 1] = (half - screen_V3[:, 1]) * distance / half
    clip[:, 2] = -distance
    return clip
