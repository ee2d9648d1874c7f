"""Small worlds for training and measuring: faces of noise that a tiny network can tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg

SIDE = 112


def face(person: int, photo: int) -> np.ndarray:
    """image_HWC uint8, RGB: coarse colours that belong to the person, and noise that belongs to the photograph."""
    colours = np.random.default_rng(person).integers(30, 226, (4, 4, 3))
    noise = np.random.default_rng([person, photo, 1]).normal(0, 12, (SIDE, SIDE, 3))
    return np.clip(np.kron(colours, np.ones((SIDE // 4, SIDE // 4, 1))) + noise, 0, 255).astype(np.uint8)


def jpeg(image_HWC: np.ndarray, quality: int = 90) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image_HWC), quality, "RGB")


def write_people(folder: Path, people: int, photos: int, first: int = 0) -> Path:
    """`folder` with `people` class folders of `photos` JPEGs each."""
    for person in range(first, first + people):
        (folder / f"{person:04d}").mkdir(parents=True)
        for photo in range(photos):
            (folder / f"{person:04d}" / f"{photo}.jpg").write_bytes(jpeg(face(person, photo)))
    return folder
