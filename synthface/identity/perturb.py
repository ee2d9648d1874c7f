"""Variation within an identity: the condition of image (identity, index) (ours; the paper states no perturbation).

A condition is the center moved on the sphere by noise that comes from the image's own seed, so it is the same in any
batch, order, shard and resume. How far it moves is calibrated: the mean similarity of conditions to their center is
`target_cosine`, whatever the method and the dimension. The methods are in variations.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import seeds
from synthface.identity.prior import Prior
from synthface.identity.threads import one_blas_thread
from synthface.identity.variations import METHODS, Move, World
from synthface.recipe.people import PerturbRecipe

Floats = NDArray[np.float32]


class Perturbation:
    """The conditions of a recipe, calibrated on a prior.

    `scales` tells for each part of the recipe what calibration found: the factor on the noise, or the cone's bound.
    """

    def __init__(self, prior: Prior, settings: PerturbRecipe, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        mixed = settings.method == "mixture"
        parts: Sequence[Any] = settings.mixture if mixed else (settings,)
        with one_blas_thread():
            self.moves = [_move(World(prior, seed), part.method, part.target_cosine) for part in parts]
        self._edge_P = np.cumsum([part.share for part in settings.mixture] if mixed else [1.0])

    @property
    def scales(self) -> list[float]:
        return [move.scale for move in self.moves]

    def condition(self, center_D: Floats, identity: int, index: int, redraw: int = 0) -> Floats:
        """The condition of one image, (d,) float32 of unit length; `redraw` counts earlier draws that were refused."""
        if index == 0 and self.settings.center_first:
            return center_D
        rng = seeds.generator(self._seed, "condition", identity, index, redraw)
        part = 0
        if len(self.moves) > 1:
            part = min(int(np.searchsorted(self._edge_P, rng.random(), side="right")), len(self.moves) - 1)
        point_D = self.moves[part].apply(center_D.astype(np.float64), rng)
        return (point_D / math.sqrt(float(np.einsum("d,d->", point_D, point_D)))).astype(np.float32)

    def conditions(
        self,
        center_ND: Floats,
        identity_M: NDArray[np.integer],
        index_M: NDArray[np.integer],
        redraw_M: NDArray[np.integer] | None = None,
    ) -> Floats:
        """Conditions of images (identity, index), (M, d) float32 unit rows; `center_ND` are all centers."""
        redraw_M = np.zeros(len(identity_M), np.int64) if redraw_M is None else redraw_M
        result_MD = np.empty((len(identity_M), center_ND.shape[1]), np.float32)
        for m, (k, i, r) in enumerate(zip(identity_M, index_M, redraw_M, strict=True)):
            result_MD[m] = self.condition(center_ND[k], int(k), int(i), int(r))
        return result_MD


def _move(world: World, method: str, target: float | None) -> Move:
    """The move of a method; a target of 1 leaves every center where it is."""
    return METHODS["none" if target == 1.0 else method](world, target)
