"""What a recipe names that is not here: public weights, shipped models, files and the prior."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from synthface.errors import MissingWeightsError
from synthface.recipe import Recipe
from synthface.zoo import places, shipped
from synthface.zoo.catalogue import CATALOGUE

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Need(NamedTuple):
    """A value of a recipe that stands for weights. shipped: names that come with the package → where they lie."""

    key: str
    value: str
    shipped: dict[str, str]
    from_hub: bool  # whether a hub id may stand there


class Lack(NamedTuple):
    """Something absent: its name, what wants it and what exactly is missing, what to do."""

    subject: str
    why: str
    fix: str


def missing_for(recipe: Recipe, prior: Path | None = None) -> list[Lack]:
    """Everything that `recipe` needs and lacks. prior: where a prior of the user's own would lie."""
    lacking: dict[str, Lack] = {}
    for need in needs(recipe):
        found = _lack(need)
        if found is not None:
            lacking.setdefault(found.subject, found)
    if (found := _prior(recipe, prior)) is not None:
        lacking[found.subject] = found
    return list(lacking.values())


def present_for(recipe: Recipe) -> list[str]:
    """The weights that `recipe` names and that are here, as KEY=VALUE."""
    return [f"{need.key}={need.value}" for need in needs(recipe) if _lack(need) is None]


def needs(recipe: Recipe) -> Iterator[Need]:
    """Every value of `recipe` that stands for weights."""
    encoder, generator, training = recipe.encoder, recipe.generator, recipe.train_generator
    base = generator.base or ("sd15-base" if generator.model == "arc2face" else None)
    for key, value, names, from_hub in (
        ("encoder.model", encoder.model, shipped.ENCODERS, False),
        ("encoder.verifier", encoder.verifier, shipped.ENCODERS, False),
        ("encoder.detector", encoder.detector, {}, False),
        ("generator.model", generator.model, shipped.GENERATORS, True),
        ("generator.base", base, {}, True),
        ("generator.lora", generator.lora, {}, True),
        ("generator.vae", generator.vae, {}, True),
        ("train_generator.start_from", training.start_from, {}, True),
        ("train_generator.upscaler", training.upscaler, {}, False),
    ):
        if value is not None and value != shipped.DRY:
            yield Need(key, value, names, from_hub)


def models_of(recipe: Recipe) -> list[str]:
    """Names of the public models that `recipe` uses."""
    return list(dict.fromkeys(need.value for need in needs(recipe) if need.value in CATALOGUE))


def _lack(need: Need) -> Lack | None:
    if need.value in need.shipped:
        path = shipped.FOLDER / need.shipped[need.value]
        if path.exists():
            return None
        return Lack(f"embedded/{path.name}", f"{need.key} wants it; missing: {path}", shipped.FIX)
    if need.value in CATALOGUE:
        try:
            places.weights(need.value)
        except MissingWeightsError:
            absent = ", ".join(file.path for file in places.missing(CATALOGUE[need.value]))
            fix = f"synthface models pull {need.value}"
            return Lack(need.value, f"{need.key} wants it; missing: {absent}", fix)
        return None
    if Path(need.value).exists():
        return None
    if need.from_hub and _HUB_ID.fullmatch(need.value):
        if _in_hub_cache(need.value):
            return None
        fix = f"fetched from the hub when first used; or put its folder here and say --set {need.key}=FOLDER"
        return Lack(need.value, f"{need.key} names it; it is not here", fix)
    fix = f"check {need.key}; `synthface models list` shows the public models"
    return Lack(need.value, f"{need.key} names it; there is no such file", fix)


def _in_hub_cache(repository: str) -> bool:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    return folder.is_dir() and any(folder.iterdir())


def _prior(recipe: Recipe, own: Path | None) -> Lack | None:
    """Without a prior there are no identities; one ships for the embedded encoder only."""
    named = recipe.prior.file
    if named is not None:
        path = Path(named)
        return None if path.is_file() else Lack(named, "prior.file names it; there is no such file", "check prior.file")
    if own is not None and own.is_file():
        return None
    path = shipped.FOLDER / shipped.PRIOR
    if recipe.encoder.model in ("embedded", shipped.DRY):  # a rehearsal takes the shipped one, too
        return (
            None
            if path.is_file()
            else Lack(f"embedded/{path.name}", f"the encoder's prior; missing: {path}", shipped.FIX)
        )
    fix = (
        f"embed photographs of many people (synthface embed PHOTOS --encoder {recipe.encoder.model} --out emb.npz), then "
        "synthface fit-prior emb.npz"
    )
    return Lack("prior", f"the distribution of people for the encoder '{recipe.encoder.model}'; none ships", fix)
