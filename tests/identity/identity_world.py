"""Embeddings of people who are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

World = tuple[NDArray[np.float32], NDArray[np.int64]]


def make_world(people: int, dimension: int, seed: int = 0, photographs: int = 4, spread: float = 0.5) -> World:
    """Unit rows of `people` × `photographs`, anisotropic centers, in random order, with labels that have holes."""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((dimension, dimension)) * np.linspace(1.5, 0.3, dimension)
    center = rng.standard_normal((people, dimension)) @ axes + 0.3
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    label = np.repeat(np.arange(people) * 3 + 5, photographs)
    noise = (
        rng.standard_normal((len(label), dimension)) * np.linspace(1.3, 0.5, dimension) * spread / np.sqrt(dimension)
    )
    rows = np.repeat(center, photographs, axis=0) + noise
    order = rng.permutation(len(label))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[order].astype(np.float32), label[order].astype(np.int64)
