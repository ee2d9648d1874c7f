"""Which prior a recipe means, and whether it suits the recipe."""

from __future__ import annotations

from pathlib import Path

from synthface.errors import InputError, MissingWeightsError
from synthface.identity import prior
from synthface.identity.prior import Prior
from synthface.recipe import Recipe
from synthface.run import RunDirectory
from synthface.zoo import shipped

SHIPPED = shipped.FOLDER / shipped.PRIOR


def locate(recipe: Recipe, run: RunDirectory | None = None) -> Path:
    """The recipe's file, else the run directory's own, else the one that ships with the embedded encoder.

    A rehearsal, whose encoder reads pictures in anybody's space, takes the shipped one, too.
    """
    if recipe.prior.file is not None:
        return Path(recipe.prior.file)
    if run is not None and run.prior.exists():
        return run.prior
    if recipe.encoder.model in ("embedded", shipped.DRY) and SHIPPED.exists():
        return SHIPPED
    holds_none = "" if run is None else f"{run.path} holds none, "
    raise MissingWeightsError(
        f"There is no prior: the recipe names none, {holds_none}and none ships for the encoder '{recipe.encoder.model}'.",
        "Make one with `synthface fit-prior EMB...`, or name one with --prior FILE.",
    )


def open_for(recipe: Recipe, path: Path) -> Prior:
    """Reads the prior; raises InputError when it was fitted on the embeddings of another encoder."""
    found = prior.load(path)
    if found.encoder is not None and recipe.encoder.model not in (found.encoder, shipped.DRY):
        raise InputError(
            f"The prior {path} was fitted on embeddings of '{found.encoder}', and the recipe's encoder is "
            f"'{recipe.encoder.model}'.",
            f"Use --set encoder.model={found.encoder}, or fit a prior on embeddings of '{recipe.encoder.model}'.",
        )
    if recipe.encoder.dimension is not None and found.dimension != recipe.encoder.dimension:
        raise InputError(
            f"The prior {path} has dimension {found.dimension}, and the recipe's encoder has {recipe.encoder.dimension}.",
            "Fit a prior on embeddings of the recipe's encoder.",
        )
    return found
