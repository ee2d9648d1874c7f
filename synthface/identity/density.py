"""Drawing candidates: Gaussian or mixture in PCA space, mapped back to the sphere (Arc2Face, section 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthface import seeds
from synthface.errors import UsageError
from synthface.identity.prior import Prior
from synthface.identity.threads import one_blas_thread
from synthface.recipe.people import IdentitiesRecipe

DRAW = 4_096  # candidates that share one generator; fixed, because candidate k must be the same in every run
_SLAB = 512  # rows mapped at once: the passes over them stay in the cache


class CandidateStream:
    """The fixed, seeded order of candidates: candidate k is a function of prior, recipe values and seed alone."""

    def __init__(self, prior: Prior, settings: IdentitiesRecipe, seed: int) -> None:
        available = len(prior.eigenvalue_K)
        if settings.components is not None and settings.components > available:
            raise UsageError(
                f"identities.components is {settings.components} and the prior has {available} components.",
                f"Use --set identities.components={available}, or fit the prior on more people.",
            )
        if settings.density == "mixture" and prior.mixture is None:
            raise UsageError(
                "identities.density is 'mixture' and the prior holds none.",
                "Fit it with `synthface fit-prior ... --set prior.mixture_components=20`.",
            )
        self.seed = seed
        self.prior = prior
        self.mixture = prior.mixture if settings.density == "mixture" else None
        self.components = settings.components or available
        deviation_K = np.sqrt(prior.eigenvalue_K[: self.components].astype(np.float64)) * settings.scale
        self._map_KD = deviation_K[:, None] * prior.component_KD[: self.components].astype(np.float64)
        self._mean_D = prior.mean_D.astype(np.float64)

    def draw(self, block: int) -> NDArray[np.float32]:
        """Candidates block·DRAW … (block + 1)·DRAW − 1 as (DRAW, d) float32 unit rows.

        The product runs in float64 on one thread and is rounded once, so that no bit depends on the machine's cores.
        """
        rng = seeds.generator(self.seed, "candidates", block)
        white_BK: NDArray[np.floating] = rng.standard_normal((DRAW, self.components), dtype=np.float32)
        if self.mixture is not None:
            shaped_BK = white_BK.astype(np.float64)
            self._shape_by_mixture(shaped_BK, rng)
            white_BK = shaped_BK
        candidate_BD = np.empty((DRAW, len(self._mean_D)), np.float32)
        with one_blas_thread():
            for start in range(0, DRAW, _SLAB):
                point_SD = white_BK[start : start + _SLAB].astype(np.float64) @ self._map_KD
                point_SD += self._mean_D
                point_SD *= 1 / np.sqrt(np.einsum("sd,sd->s", point_SD, point_SD))[:, None]
                candidate_BD[start : start + _SLAB] = point_SD
        return candidate_BD

    def _shape_by_mixture(self, white_BK: NDArray[np.float64], rng: np.random.Generator) -> None:
        """Replaces the leading white coordinates by draws of the mixture."""
        assert self.mixture is not None
        leading = min(self.mixture.mean_KM.shape[1], self.components)
        edges_K = np.cumsum(self.mixture.weight_K, dtype=np.float64)
        chosen_B = np.minimum(np.searchsorted(edges_K / edges_K[-1], rng.random(DRAW)), len(edges_K) - 1)
        with one_blas_thread():
            for part in np.unique(chosen_B):
                rows = chosen_B == part
                factor_MM = self.mixture.factor_KMM[part, :leading, :leading].astype(np.float64)
                white_BK[rows, :leading] = white_BK[rows, :leading] @ factor_MM.T + self.mixture.mean_KM[part, :leading]


def similarity_of_draws(stream: CandidateStream) -> tuple[float, float]:
    """Mean and standard deviation of the cosine similarity of two random draws, over the first DRAW candidates."""
    candidate_BD = stream.draw(0)
    gram_BB = (candidate_BD @ candidate_BD.T)[np.triu_indices(DRAW, k=1)]
    return float(gram_BB.mean(dtype=np.float64)), float(gram_BB.std(dtype=np.float64))
