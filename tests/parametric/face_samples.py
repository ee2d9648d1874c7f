"""People and situations for the tests of the analytic face model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import IDENTITY_DIMENSIONS, NUISANCE_DIMENSIONS, Rendering, plain_nuisance, render

Array = NDArray[np.float64]


def people(count: int, seed: int = 0, **traits: float) -> Array:
    """Random identity vectors (N, 64), with some dimensions set."""
    identity_ND = np.random.default_rng(seed).standard_normal((count, len(IDENTITY_DIMENSIONS)))
    for name, value in traits.items():
        identity_ND[:, IDENTITY_DIMENSIONS.index(name)] = value
    return identity_ND


def situations(count: int, **values: float | Array) -> Array:
    """Plain portraits (N, M) without noise and compression, with some dimensions set."""
    nuisance_NM = plain_nuisance(count)
    for name, value in {"noise": 0, "jpeg": 100, **values}.items():
        nuisance_NM[:, NUISANCE_DIMENSIONS.index(name)] = value
    return nuisance_NM


def draw(identity_ND: Array, nuisance_NM: Array) -> Rendering:
    return render(identity_ND, nuisance_NM, np.zeros(len(identity_ND), np.int64))


def pictures(identity_ND: Array, nuisance_NM: Array) -> Array:
    """(N, 112, 112, 3) as numbers that can be subtracted."""
    return draw(identity_ND, nuisance_NM).image_NHWC.astype(float)


def difference(a_NHWC: Array, b_NHWC: Array) -> Array:
    """Mean absolute difference of each pair of pictures (N,), in levels of 255."""
    return np.abs(a_NHWC - b_NHWC).mean(axis=(1, 2, 3))
