"""Which points of a drawn layer are shaded: one for each pixel where a surface is smooth, all of them elsewhere."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthface.parametric.raster import Layer

Array = NDArray[Any]

SUPERSAMPLING = 2
_SMOOTH = 3.0  # the largest step (vertices) between the four points of a pixel that one of them may stand for


class Samples:
    """P points of a layer: first the pixels (B) that are shaded whole, then single points of the finer picture.

    `column` and `row` (P,) are their places on the layer's sheet of vertices.
    """

    def __init__(
        self, layer: Layer, wanted_HW: NDArray[Any], sheet_shape: tuple[int, int], detail_RC: NDArray[Any]
    ) -> None:
        """`wanted_HW` says which points to shade at all, `detail_RC` where on the sheet every point counts."""
        rows, columns = sheet_shape
        width = wanted_HW.shape[1]
        column_HW, row_HW, _ = cv2.split(layer.value_HW3)
        column_HW *= np.float32(columns - 1)
        row_HW *= np.float32(rows - 1)
        quarters = [(slice(i, None, 2), slice(j, None, 2)) for i in (0, 1) for j in (0, 1)]
        first, second, third, fourth = (wanted_HW[q] for q in quarters)
        whole = first & second & third & fourth
        means = []
        for plane in (column_HW, row_HW):
            a, b, c, d = (plane[q] for q in quarters)
            low, high = np.minimum(np.minimum(a, b), np.minimum(c, d)), np.maximum(np.maximum(a, b), np.maximum(c, d))
            whole &= high - low < _SMOOTH
            means.append((low + high) * np.float32(0.5))
        block = np.flatnonzero(whole)
        column_B, row_B = means[0].reshape(-1)[block], means[1].reshape(-1)[block]
        smooth = ~detail_RC[(row_B + 0.5).astype(np.int32), (column_B + 0.5).astype(np.int32)]
        block, column_B, row_B = block[smooth], column_B[smooth], row_B[smooth]

        single = wanted_HW.copy()
        pixel_row, pixel_column = np.divmod(block, width // 2)
        corner = (2 * pixel_row) * width + 2 * pixel_column
        self.block = np.stack([corner, corner + 1, corner + width, corner + width + 1])
        single.reshape(-1)[self.block] = False
        self.point = np.flatnonzero(single)
        self.column = np.concatenate([column_B, column_HW.reshape(-1)[self.point]])
        self.row = np.concatenate([row_B, row_HW.reshape(-1)[self.point]])

    def __len__(self) -> int:
        return len(self.column)

    @property
    def blocks(self) -> int:
        """How many of the points stand for a whole pixel."""
        return int(self.block.shape[1])

    def pick(self, plane_HW: Array) -> Array:
        """A picture's values at the points (P,); a pixel's upper left point stands for it."""
        flat = plane_HW.reshape(-1)
        return np.concatenate([flat[self.block[0]], flat[self.point]])

    def mark(self, mask_HW: NDArray[Any], chosen_P: NDArray[Any]) -> None:
        """Sets the mask at the chosen points."""
        flat = mask_HW.reshape(-1)
        flat[self.block[:, chosen_P[: self.blocks]]] = True
        flat[self.point[chosen_P[self.blocks :]]] = True

    def put(self, light_3HW: Array, value_3P: Array, cover_P: Array | None = None) -> None:
        """Lays the values over the picture, where `cover_P` is less than 1 in part."""
        blocks = self.blocks
        for plane, value in zip(light_3HW.reshape(3, -1), value_3P, strict=True):
            if cover_P is None:
                plane[self.block] = value[:blocks]
                plane[self.point] = value[blocks:]
            else:
                for where, part in ((self.block, slice(None, blocks)), (self.point, slice(blocks, None))):
                    behind = plane[where]
                    plane[where] = behind + (value[part] - behind) * cover_P[part]

    def put_depth(self, depth_HW: Array, layer: Layer, solid_P: NDArray[Any]) -> None:
        """Lowers the depth buffer to the layer's at the points that hide what is behind them."""
        solid_HW = np.zeros(depth_HW.shape, bool)
        self.mark(solid_HW, solid_P)
        np.copyto(depth_HW, layer.depth_HW, where=solid_HW)
