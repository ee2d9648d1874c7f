"""Variation within an identity: the condition of image (identity, index) (ours; the paper states no perturbation).

A condition is the center moved on the sphere by noise that comes from the image's own seed, so it is the same in any
batch, order, shard and resume. How far it moves is calibrated: the mean similarity of conditions to their center is
`target_cosine`, whatever the method and the dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import seeds
from synthface.errors import RecipeError, UsageError
from synthface.identity import sphere
from synthface.identity.prior import Prior
from synthface.identity.threads import one_blas_thread
from synthface.recipe.people import PerturbRecipe

Floats = NDArray[np.float32]
_CALIBRATION = 4_096  # center and noise pairs on which a scale is calibrated


class Move:
    """One way to move a center: `apply(center, rng)` gives a point, not yet of unit length."""

    def apply(self, center_D: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        raise NotImplementedError


@dataclass(frozen=True)
class Stay(Move):
    """The center itself."""

    def apply(self, center_D: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        return center_D


@dataclass(frozen=True)
class Noise(Move):
    """center + scale · factor · z with z ~ N(0, I); without a factor, isotropic noise of unit expected length."""

    scale: float
    factor_DR: NDArray[np.float64] | None

    def apply(self, center_D: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        return center_D + self.scale * noise(rng, self.factor_DR, len(center_D))


@dataclass(frozen=True)
class Cone(Move):
    """Uniform on the cap of points with a cosine of at least `bound` to the center, 0 < bound < 1."""

    bound: float

    def apply(self, center_D: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """The sine r of the angle has density r^(d−2) / √(1 − r²) up to R = √(1 − bound²): drawn by rejection."""
        dimension = len(center_D)
        largest = math.sqrt(1 - self.bound**2)
        while True:
            sine = largest * rng.random() ** (1 / (dimension - 1))
            if rng.random() <= self.bound / math.sqrt(1 - sine**2):
                break
        tangent_D = sphere.rejection(rng.standard_normal(dimension), center_D)
        return math.sqrt(1 - sine**2) * center_D + sine * tangent_D


def noise(rng: np.random.Generator, factor_DR: NDArray[np.float64] | None, dimension: int) -> NDArray[np.float64]:
    """One draw of the noise, (d,) float64.

    By NumPy's own loop: BLAS adds in an order that depends on its threads, the batch, the memory's layout and the
    processor, and the bits of a condition must depend on nothing but its image.
    """
    if factor_DR is None:
        return rng.standard_normal(dimension) / math.sqrt(dimension)
    result: NDArray[np.float64] = np.einsum("dr,r->d", factor_DR, rng.standard_normal(factor_DR.shape[1]))
    return result


class Perturbation:
    """The conditions of a recipe, calibrated on a prior.

    `scales` tells for each part of the recipe what calibration found: the factor on the noise, or the cone's bound.
    """

    def __init__(self, prior: Prior, settings: PerturbRecipe, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        parts: Sequence[Any] = settings.mixture if settings.method == "mixture" else (settings,)
        with one_blas_thread():
            calibrate = _Calibration(prior, seed)
            self.moves = [calibrate.move(part.method, part.target_cosine) for part in parts]
        shares = [part.share for part in settings.mixture] if settings.method == "mixture" else [1.0]
        self._edge_P = np.cumsum(shares)

    @property
    def scales(self) -> list[float]:
        return [getattr(move, "scale", getattr(move, "bound", 0.0)) for move in self.moves]

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


class _Calibration:
    """Finds the scale of each method on a fixed sample of the prior's people and of the noise."""

    def __init__(self, prior: Prior, seed: int) -> None:
        self._prior = prior
        self._seed = seed
        self._sample: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def move(self, method: str, target: float | None) -> Move:
        """The move of `method` whose mean similarity to the center is `target` (None: as learned, or as it is)."""
        if method == "none":
            return Stay()
        if method == "cone":
            return self._cone(target)
        factor_DR = None
        if method == "within-class":
            if self._prior.within is None:
                raise UsageError(
                    "perturb.method is 'within-class' and the prior holds no within-class covariance.",
                    "Fit the prior on embeddings with labels, or use --set perturb.method=isotropic.",
                )
            factor_DR = np.ascontiguousarray(self._prior.within.factor_DR, np.float64)
        if target is None:
            return Noise(self._learned_scale(method), factor_DR)
        if target == 1.0:
            return Stay()
        return Noise(self._solve(method, factor_DR, target), factor_DR)

    def _learned_scale(self, method: str) -> float:
        """Unit rows scatter by tr W about means of squared length 1 − tr W; on unit centers that is W / (1 − tr W)."""
        if method != "within-class" or self._prior.within is None:
            raise RecipeError(
                f"perturb.target_cosine is null and method '{method}' has no learned scale.",
                "Give a target, for example --set perturb.target_cosine=0.8.",
            )
        return 1 / math.sqrt(max(1 - self._prior.within.variance, 1e-6))

    def _solve(self, method: str, factor_DR: NDArray[np.float64] | None, target: float) -> float:
        from scipy.optimize import brentq

        along_M, length_M = self._noise_sample(method, factor_DR)

        def excess(scale: float) -> float:
            norm_M = np.sqrt(1 + 2 * scale * along_M + (scale * length_M) ** 2)
            return float(np.mean((1 + scale * along_M) / norm_M)) - target

        return _root(excess, brentq, target)

    def _noise_sample(
        self, method: str, factor_DR: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Component along the center, and length, of noise drawn for people of the prior."""
        if method not in self._sample:
            rng = seeds.generator(self._seed, "calibration")
            prior = self._prior
            deviation_K = np.sqrt(prior.eigenvalue_K.astype(np.float64))
            white_MK = rng.standard_normal((_CALIBRATION, len(deviation_K)))
            center_MD = sphere.normalize(white_MK * deviation_K @ prior.component_KD + prior.mean_D).astype(np.float64)
            columns = prior.dimension if factor_DR is None else factor_DR.shape[1]
            noise_MD = rng.standard_normal((_CALIBRATION, columns))
            noise_MD = noise_MD / math.sqrt(columns) if factor_DR is None else noise_MD @ factor_DR.T
            along_M = np.einsum("md,md->m", noise_MD, center_MD)
            self._sample[method] = along_M, np.linalg.norm(noise_MD, axis=1)
        return self._sample[method]

    def _cone(self, target: float | None) -> Move:
        from scipy.optimize import brentq

        if target is None:
            raise RecipeError("perturb.method is 'cone' and target_cosine is null.", "Give a target, for example 0.8.")
        if target == 1.0:
            return Stay()
        dimension = self._prior.dimension
        bound = _root(lambda b: mean_cosine_of_cone(1 - b, dimension) - target, brentq, target, low=1e-9, high=1 - 1e-6)
        return Cone(1 - bound)


def _root(excess: Callable[[float], float], solve: Any, target: float, low: float = 0.0, high: float = 1e4) -> float:
    """Where the falling function `excess` is zero; RecipeError when the target is beyond its range.

    To six digits: conditions depend on it, and the last digits of a sum are the processor's.
    """
    if excess(high) > 0:
        raise RecipeError(
            f"perturb.target_cosine {target:g} cannot be reached: even the widest scatter stays nearer to the center.",
            "Choose a larger target_cosine.",
        )
    return float(f"{solve(excess, low, high, xtol=1e-12):.6g}")


def mean_cosine_of_cone(bound: float, dimension: int) -> float:
    """Mean cosine to the axis of the uniform distribution on the cap {cos ≥ bound}, 0 < bound < 1.

    With r = R·u^(1/(d−1)), R = √(1 − bound²): 1 / ∫₀¹ du / √(1 − R²·u^(2/(d−1))).
    """
    node_Q, weight_Q = np.polynomial.legendre.leggauss(400)
    u_Q = ((node_Q + 1) / 2) ** 2  # u = v²: the integrand is smooth in v even near u = 0 and bound = 0
    integrand_Q = (node_Q + 1) / 2 / np.sqrt(np.maximum(1 - (1 - bound**2) * u_Q ** (2 / (dimension - 1)), 1e-300))
    return 1 / float(weight_Q @ integrand_Q)
