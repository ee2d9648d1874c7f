"""The conditions of a whole set of images, guarded: none nearer to another person than to its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthface.errors import RecipeError
from synthface.identity.nearest import Centers
from synthface.identity.perturb import Perturbation

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Conditions:
    """Conditions of some images.

    condition_MD: (M, d) float32 unit rows; identity_M, index_M: which image; redraw_M: draws that were refused before.
    """

    condition_MD: Floats
    identity_M: Ints
    index_M: Ints
    redraw_M: Ints


@dataclass
class Refusals:
    """Draws that the guard refused, by reason."""

    nearer_to_another: int = 0
    below_min_cosine: int = 0


class Guard:
    """Draws conditions and redraws those that break the recipe, judged exactly over all centers (nearest.py).

    A condition is refused when another center is nearer to it than its own (nearer, not as near), or when its cosine
    similarity to its own is below `min_cosine`. `refusals` counts them.
    """

    def __init__(self, perturbation: Perturbation, centers: Floats | Centers) -> None:
        self.refusals = Refusals()
        self._perturbation = perturbation
        self._centers = centers if isinstance(centers, Centers) else Centers(centers)
        self._center_ND = self._centers.center_ND

    def draw(self, identity_M: Ints, index_M: Ints) -> Conditions:
        """The conditions of images (identity, index). Raises RecipeError when one is refused `max_redraws` times."""
        redraw_M = np.zeros(len(identity_M), np.int64)
        condition_MD = self._perturbation.conditions(self._center_ND, identity_M, index_M)
        left_M = np.arange(len(identity_M))
        while len(left_M := left_M[self._refused(condition_MD[left_M], identity_M[left_M])]):
            redraw_M[left_M] += 1
            if redraw_M.max() >= self._perturbation.settings.max_redraws:
                worst = int(redraw_M.argmax())
                raise RecipeError(
                    f"Image {index_M[worst]} of identity {identity_M[worst]} was refused {redraw_M[worst]} times: "
                    "its conditions fall below perturb.min_cosine or nearer to another identity.",
                    "Raise perturb.target_cosine, or lower perturb.min_cosine or identities.threshold.",
                )
            condition_MD[left_M] = self._perturbation.conditions(
                self._center_ND, identity_M[left_M], index_M[left_M], redraw_M[left_M]
            )
        return Conditions(condition_MD, identity_M, index_M, redraw_M)

    def all_images(self, per_id: int, chunk: int = 8_192, identities: int | None = None) -> Iterator[Conditions]:
        """Conditions of images 0 … per_id − 1 of the first `identities` (default all), in order, in chunks."""
        total = (len(self._center_ND) if identities is None else identities) * per_id
        for start in range(0, total, chunk):
            image_M = np.arange(start, min(start + chunk, total))
            yield self.draw(image_M // per_id, image_M % per_id)

    def _refused(self, condition_MD: Floats, identity_M: Ints) -> NDArray[np.bool_]:
        own_M = self._centers.own_similarity(condition_MD, identity_M)
        stolen_M = self._centers.nearer_to_another(condition_MD, identity_M, own_M)
        low_M = self._centers.below(condition_MD, identity_M, own_M, self._perturbation.settings.min_cosine)
        self.refusals.nearer_to_another += int(stolen_M.sum())
        self.refusals.below_min_cosine += int((low_M & ~stolen_M).sum())
        return stolen_M | low_M
