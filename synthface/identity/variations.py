"""The ways in which a condition may differ from its center, by name. One function and one line of METHODS each (ours).

A variation is a function (world, target) → Move. `world` is the sample of people on which it is calibrated; `target` is
the mean cosine similarity to the center that its moves must have, None: as learned. docs/how-to/extend.md adds one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface import seeds
from synthface.errors import RecipeError, UsageError
from synthface.identity import sphere
from synthface.identity.prior import Prior

Doubles = NDArray[np.float64]
Apply = Callable[[Doubles, np.random.Generator], Doubles]
_CALIBRATION = 4_096  # people, each with its noise, on which a scale is calibrated


class Move(NamedTuple):
    """How centers move. apply(center_D, rng) gives a point, not yet of unit length; scale: what calibration found."""

    scale: float
    apply: Apply


class World:
    """What variations are calibrated on: people of the prior, and random numbers, the same for a seed every time."""

    def __init__(self, prior: Prior, seed: int) -> None:
        self.prior, self._seed = prior, seed

    @property
    def dimension(self) -> int:
        return self.prior.dimension

    def sample(self) -> tuple[Doubles, np.random.Generator]:
        """Centers (M, d), and the generator of their noise, freshly seeded."""
        rng, prior = seeds.generator(self._seed, "calibration"), self.prior
        deviation_K = np.sqrt(prior.eigenvalue_K.astype(np.float64))
        white_MK = rng.standard_normal((_CALIBRATION, len(deviation_K)))
        center_MD = sphere.normalize(white_MK * deviation_K @ prior.component_KD + prior.mean_D)
        return center_MD.astype(np.float64), rng


def none(world: World, target: float | None) -> Move:
    """The center itself."""
    return Move(0.0, lambda center_D, rng: center_D)


def within_class(world: World, target: float | None) -> Move:
    """center + scale · F·z with z ~ N(0, I) and F·Fᵀ the prior's within-class covariance.

    As learned: unit rows scatter by tr W about means of squared length 1 − tr W, on unit centers that is W / (1 − tr W).
    """
    within = world.prior.within
    if within is None:
        raise UsageError(
            "perturb.method is 'within-class' and the prior holds no within-class covariance.",
            "Fit the prior on embeddings with labels, or use --set perturb.method=isotropic.",
        )
    factor_DR = np.ascontiguousarray(within.factor_DR, np.float64)
    if target is None:
        return _noise(1 / math.sqrt(max(1 - within.variance, 1e-6)), factor_DR)
    return _noise(_noise_scale(world, factor_DR, target), factor_DR)


def isotropic(world: World, target: float | None) -> Move:
    """center + scale · z / √d with z ~ N(0, I)."""
    return _noise(_noise_scale(world, None, _given("isotropic", target)), None)


def cone(world: World, target: float | None) -> Move:
    """Uniform on the cap of points with a cosine of at least `scale` to the center, 0 < scale < 1."""
    mean, dimension = _given("cone", target), world.dimension
    bound = 1 - root(lambda b: mean_cosine_of_cone(1 - b, dimension) - mean, mean, low=1e-9, high=1 - 1e-6)
    largest = math.sqrt(1 - bound**2)

    def apply(center_D: Doubles, rng: np.random.Generator) -> Doubles:
        # the sine r of the angle has density r^(d−2) / √(1 − r²) up to R = √(1 − bound²): drawn by rejection
        while True:
            sine = largest * rng.random() ** (1 / (dimension - 1))
            if rng.random() <= bound / math.sqrt(1 - sine**2):
                break
        tangent_D = sphere.rejection(rng.standard_normal(dimension), center_D)
        return math.sqrt(1 - sine**2) * center_D + sine * tangent_D

    return Move(bound, apply)


# the names are those of `Variation` in synthface/recipe/people.py
METHODS: dict[str, Callable[[World, float | None], Move]] = {
    "none": none,
    "within-class": within_class,
    "isotropic": isotropic,
    "cone": cone,
}


def calibrated(world: World, move: Callable[[float], Move], target: float, low: float = 0.0, high: float = 1e4) -> Move:
    """Of a family of moves, the wider the larger its scale, the one whose mean similarity to the center is `target`.

    For any family; the mean is taken over the people of the world. Raises RecipeError when not even `high` is wide enough.
    """

    def excess(scale: float) -> float:
        center_MD, rng = world.sample()
        apply = move(scale).apply
        point_MD = np.stack([apply(center_D, rng) for center_D in center_MD])
        cosine_M = np.einsum("md,md->m", point_MD, center_MD) / np.linalg.norm(point_MD, axis=1)
        return float(cosine_M.mean()) - target

    return move(root(excess, target, low, high))


def root(excess: Callable[[float], float], target: float, low: float = 0.0, high: float = 1e4) -> float:
    """Where the falling function `excess` is zero; RecipeError when the target is beyond its range.

    To six digits: conditions depend on it, and the last digits of a sum are the processor's.
    """
    from scipy.optimize import brentq

    if excess(high) > 0:
        raise RecipeError(
            f"perturb.target_cosine {target:g} cannot be reached: even the widest scatter stays nearer to the center.",
            "Choose a larger target_cosine.",
        )
    return float(f"{brentq(excess, low, high, xtol=1e-12):.6g}")


def mean_cosine_of_cone(bound: float, dimension: int) -> float:
    """Mean cosine to the axis of the uniform distribution on the cap {cos ≥ bound}, 0 < bound < 1.

    With r = R·u^(1/(d−1)), R = √(1 − bound²): 1 / ∫₀¹ du / √(1 − R²·u^(2/(d−1))).
    """
    node_Q, weight_Q = np.polynomial.legendre.leggauss(400)
    u_Q = ((node_Q + 1) / 2) ** 2  # u = v²: the integrand is smooth in v even near u = 0 and bound = 0
    integrand_Q = (node_Q + 1) / 2 / np.sqrt(np.maximum(1 - (1 - bound**2) * u_Q ** (2 / (dimension - 1)), 1e-300))
    return 1 / float(weight_Q @ integrand_Q)


def _noise(scale: float, factor_DR: Doubles | None) -> Move:
    """center + scale · noise.

    By NumPy's own loop: BLAS adds in an order that depends on its threads, the batch, the memory's layout and the
    processor, and the bits of a condition must depend on nothing but its image.
    """

    def apply(center_D: Doubles, rng: np.random.Generator) -> Doubles:
        if factor_DR is None:
            return center_D + scale * (rng.standard_normal(len(center_D)) / math.sqrt(len(center_D)))
        return center_D + scale * np.einsum("dr,r->d", factor_DR, rng.standard_normal(factor_DR.shape[1]))

    return Move(scale, apply)


def _noise_scale(world: World, factor_DR: Doubles | None, target: float) -> float:
    """As `calibrated`, for noise that is added: two numbers a person, its length and its part along the center, suffice."""
    center_MD, rng = world.sample()
    columns = world.dimension if factor_DR is None else factor_DR.shape[1]
    noise_MD = rng.standard_normal((_CALIBRATION, columns))
    noise_MD = noise_MD / math.sqrt(columns) if factor_DR is None else noise_MD @ factor_DR.T
    along_M, length_M = np.einsum("md,md->m", noise_MD, center_MD), np.linalg.norm(noise_MD, axis=1)

    def excess(scale: float) -> float:
        norm_M = np.sqrt(1 + 2 * scale * along_M + (scale * length_M) ** 2)
        return float(np.mean((1 + scale * along_M) / norm_M)) - target

    return root(excess, target)


def _given(method: str, target: float | None) -> float:
    if target is None:
        raise RecipeError(
            f"perturb.target_cosine is null and method '{method}' has no learned scale.",
            "Give a target, for example --set perturb.target_cosine=0.8.",
        )
    return target
