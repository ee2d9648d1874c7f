"""D_intra (DCFace, CVPR 2023, Eq. 14 and 15): how much of the style of real pictures the pictures of the same people cover.

In the judge's space, over all rows; and in Inception's features, which the paper takes for the style.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import seeds
from synthface.errors import InputError
from synthface.identity import audit_spread
from synthface.progress import Progress
from synthface.recipe import Recipe
from synthface.report.material import Material
from synthface.report.networks import Inception

_CROP = 112


def recall(recipe: Recipe, data: Material, references: Material, identity_N: NDArray[np.int64]) -> dict[str, Any]:
    """D_intra in the judge's space, over people whom references and dataset share. Raises InputError without labels."""
    found = audit_spread.style_recall(
        references.rows.load(), _ranks(references), data.rows.load(), identity_N, recipe.audit.neighbours
    )
    return {**found, "space": "the judging encoder's"}


def inception_recall(
    recipe: Recipe, inception: Inception, data: Material, references: Material, identity_N: NDArray[np.int64]
) -> dict[str, Any]:
    """D_intra in Inception's features, over whole people drawn by seed: as many as `audit.inception_images` allows.

    `images`, `real_images`: pictures looked at. Both sides are pictures.
    """
    settings, rank_M = recipe.audit, _ranks(references)
    person_P = _drawn(identity_N, rank_M, settings.neighbours, settings.inception_images, recipe.seed)
    made_ND, made_N = _features(inception, data, identity_N, person_P, settings.batch_size)
    real_MD, real_M = _features(inception, references, rank_M, person_P, settings.batch_size)
    found = audit_spread.style_recall(real_MD, real_M, made_ND, made_N, settings.neighbours)
    return {**found, "space": "Inception's", "images": len(made_N), "real_images": len(real_M)}


def _ranks(references: Material) -> NDArray[np.int64]:
    """The identity of each reference: identity k of the manifest is the k-th label there."""
    if references.rows.labels_N is None:
        raise InputError(
            "The references have no labels: whom they show cannot be told.", "Give one folder of pictures a person."
        )
    rank_N: NDArray[np.int64] = np.unique(references.rows.labels_N, return_inverse=True)[1]
    return rank_N


def _drawn(
    made_N: NDArray[np.int64], real_M: NDArray[np.int64], neighbours: int, most: int, seed: int
) -> NDArray[np.int64]:
    """People of both sides with more than `neighbours` generated pictures, in an order by seed.

    As many as have together at most `most` pictures on either side, and at least one.
    """
    size = int(max(made_N.max(), real_M.max())) + 1
    made_C, real_C = np.bincount(made_N, minlength=size), np.bincount(real_M, minlength=size)
    person_P = seeds.generator(seed, "style").permutation(np.flatnonzero((made_C > neighbours) & (real_C > 0)))
    pictures_P = np.maximum(made_C[person_P].cumsum(), real_C[person_P].cumsum())
    return person_P[: max(int(np.searchsorted(pictures_P, most, side="right")), 1)]


def _features(
    inception: Inception, one: Material, label_N: NDArray[np.int64], person_P: NDArray[np.int64], batch: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Inception's features of the pictures of these people, (K, 2048), and whose they are, (K,)."""
    row_K = np.flatnonzero(np.isin(label_N, person_P))
    features: list[NDArray[np.float32]] = []
    read: list[int] = []
    with Progress(len(row_K), "images", "style") as progress:
        for start in range(0, len(row_K), batch):
            rows = row_K[start : start + batch].tolist()
            crops = one.crops(rows, _CROP)
            images = [image for image in crops if image is not None]
            if images:
                features.append(inception.features(np.stack(images)))
            read += [row for row, image in zip(rows, crops, strict=True) if image is not None]
            progress.update(len(rows))
    return np.concatenate(features), label_N[read]
