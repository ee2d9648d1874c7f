"""Which weights a recipe names that are not here."""

from __future__ import annotations

from collections.abc import Iterator

from synthface.errors import MissingWeightsError
from synthface.recipe import Recipe
from synthface.zoo import places
from synthface.zoo.catalogue import CATALOGUE


def missing_for(recipe: Recipe) -> list[tuple[str, str, str]]:
    """(model, why it is wanted and what is absent, what to do) of everything public that `recipe` needs and lacks."""
    lacking: dict[str, tuple[str, str, str]] = {}
    for key, name in needs(recipe):
        try:
            places.weights(name)
        except MissingWeightsError:
            absent = ", ".join(file.path for file in places.missing(CATALOGUE[name]))
            lacking.setdefault(
                name, (name, f"{key} wants it; missing: {absent}", f"synthface models pull {name} --yes")
            )
    return list(lacking.values())


def needs(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(recipe key, name of a public model) of everything that `recipe` names."""
    generator = recipe.generator
    values = {
        "encoder.model": recipe.encoder.model,
        "encoder.verifier": recipe.encoder.verifier,
        "encoder.detector": recipe.encoder.detector,
        "generator.model": generator.model,
        "generator.base": "sd15-base" if generator.model == "arc2face" and not generator.base else generator.base,
        "generator.lora": generator.lora,
        "generator.vae": generator.vae,
    }
    for key, value in values.items():
        if value in CATALOGUE:
            yield key, value
