"""Pictures and manifest rows that are functions of their numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from synthface.dataset import Row

Shard = Callable[..., Path]
Pack = Callable[..., Path]


def jpeg(number: int, side: int = 24) -> bytes:
    """A JPEG unlike all others: a gradient whose colours are a function of `number`."""
    import simplejpeg

    rng = np.random.default_rng(number)
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float64)
    y, x = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    weight = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x])
    image = np.einsum("khw,kc->hwc", weight, corners.reshape(4, 3)).round().astype(np.uint8)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=95))


def picture_number(identity: int, index: int) -> int:
    return identity * 1_000 + index


def row(identity: int, index: int) -> Row:
    """A row all of whose values are functions of identity and index."""
    return Row(
        identity=identity,
        index=index,
        seed=2**64 - 1 - picture_number(identity, index),
        attempt=index % 3,
        center_similarity=0.5 + index / 100,
        reference_similarity=None if index % 4 == 3 else 0.4,
        detection_score=0.9,
        landmarks=np.arange(10).reshape(5, 2) + index,
        yaw=float(index),
        pitch=-1.0,
        roll=0.25,
    )
