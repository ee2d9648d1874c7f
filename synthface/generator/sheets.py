"""Sheets of pictures, and PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface import files


def sheet(picture_RCHWC: NDArray[np.uint8], gap: int = 2) -> NDArray[np.uint8]:
    """(R, C, h, w, 3) pictures in R rows and C columns on white, `gap` pixels apart."""
    rows, columns, height, width, _ = picture_RCHWC.shape
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = picture_RCHWC[row, column]
    return canvas


def write_png(path: Path, picture_HWC: NDArray[np.uint8]) -> None:
    """One RGB picture as PNG, whole or not at all."""
    import cv2

    done, encoded = cv2.imencode(".png", np.ascontiguousarray(picture_HWC[..., ::-1]))
    assert done, "OpenCV encodes every uint8 picture as PNG"
    files.write_bytes(path, encoded.tobytes())
