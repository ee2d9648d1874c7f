"""Who is photographed, and how often."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError
from synthface.identity import average, identities, sphere
from synthface.identity.embeddings import open_embeddings
from synthface.recipe import Recipe
from synthface.recipe.pictures import RenderRecipe
from synthface.run import RunDirectory


@dataclass(frozen=True)
class People:
    """center_ND: (N, d) float32 unit rows of the people rendered. images_N: (N,) int64, pictures wanted of each."""

    center_ND: NDArray[np.float32]
    images_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.center_ND)

    @property
    def sha256(self) -> str:
        """Hash of the centers: what lies behind them in the file does not matter."""
        return hashlib.sha256(np.ascontiguousarray(self.center_ND).data).hexdigest()


def asked_for(ids: int | None, per_id: int | None, identities: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Recipe values by dotted key for what a call says of its people, None where it says nothing.

    identities: an embedding file, of which all people are meant unless `ids` says how many. Groups of the recipe are of
    other people, so that any of the three replaces them. Raises InputError when the file cannot be read.
    """
    file = None if identities is None else str(Path(identities).resolve())  # it is looked for from elsewhere later
    if file is not None and ids is None:
        ids = len(given(file))
    return {
        "render.ids": ids,
        "render.per_id": per_id,
        "render.identities": file,
        "render.groups": [] if ids is not None or per_id is not None else None,
    }


def gather(recipe: Recipe, run: RunDirectory) -> People:
    """The people of a recipe: the given ones, else the run directory's sampled ones.

    Raises InputError when there are none or fewer than the recipe asks for.
    """
    settings = recipe.render
    images_N = images_of(settings)
    if settings.identities is not None:
        center_ND = given(settings.identities)
        source, fix = settings.identities, "Give more people"
    else:
        center_ND = identities.load(run.identities).center_ND
        source, fix = str(run.identities), f"Sample more with `synthface sample-ids --ids {len(images_N)}`"
    if len(center_ND) < len(images_N):
        raise InputError(
            f"{source} holds {len(center_ND):,} people, {len(images_N):,} are to be rendered.",
            f"{fix}, or render fewer with --ids {len(center_ND)}.",
        )
    return People(np.ascontiguousarray(center_ND[: len(images_N)]), images_N)


def images_of(settings: RenderRecipe) -> NDArray[np.int64]:
    """How many pictures each identity gets, (N,) int64: group after group."""
    groups = [(group.ids, group.per_id) for group in settings.groups] or [(settings.ids, settings.per_id)]
    return np.repeat([per_id for _, per_id in groups], [ids for ids, _ in groups]).astype(np.int64)


def given(path: str) -> NDArray[np.float32]:
    """People from an embedding file, (N, d): one a label in the labels' order, the normalised mean of its unit rows.

    Without labels every row is a person. Raises InputError when the rows of a person cancel out.
    """
    rows = open_embeddings([path])
    unit_MD = rows.load()
    if rows.labels_N is None:
        return unit_MD
    means = []
    for people in average.by_person(unit_MD, rows.labels_N):
        length_P = np.linalg.norm(people.mean_PD, axis=1)
        if length_P.min() < 1e-6:
            raise InputError(
                f"{path}: the embeddings of person {people.label_P[length_P.argmin()]} cancel out: their mean has no "
                "direction.",
                "Check the labels: the rows of one label are photographs of one person.",
            )
        means.append(sphere.normalize(people.mean_PD))
    return np.concatenate(means)
