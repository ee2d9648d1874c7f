"""What a recipe names that is not here: public weights, shipped models, files, folders of data and the prior."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from synthface.errors import MissingWeightsError
from synthface.recipe import Recipe
from synthface.zoo import names, places, shipped
from synthface.zoo.catalogue import CATALOGUE, Role


class Need(NamedTuple):
    """A value of a recipe that stands for weights; the name of a public model where it means one.

    shipped: names that come with the package → where they lie. roles: of the public models that a hub id may mean there;
    none where no hub id may stand.
    """

    key: str
    value: str
    shipped: dict[str, str]
    roles: tuple[Role, ...]


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
    for found in _data(recipe):
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
    start: tuple[Role, ...] = ("foundation", "generator")
    first = training.start_from if training.mode == "finetune" else None
    scratch = training.mode == "scratch" and training.space == "latent"
    wanted: tuple[tuple[str, str | None, dict[str, str], tuple[Role, ...]], ...] = (
        ("encoder.model", encoder.model, shipped.ENCODERS, ()),
        ("encoder.verifier", encoder.verifier, shipped.ENCODERS, ()),
        ("encoder.detector", encoder.detector, {}, ()),
        ("generator.model", generator.model, shipped.GENERATORS, ("generator",)),
        ("generator.base", generator.base or names.base_for(generator.model, "generator"), {}, ("base",)),
        ("generator.lora", generator.lora, {}, ("lora",)),
        ("generator.vae", generator.vae, {}, ("autoencoder",)),
        ("generator.controlnet", generator.controlnet, {}, ("controlnet",)),
        ("train_generator.start_from", first, {}, start),
        ("train_generator.start_from", names.base_for(first, *start), {}, ("base",)),
        ("train_generator.upscaler", training.upscaler, {}, ()),
        ("train_generator.vae.perceptual", training.vae.perceptual if scratch else None, shipped.ENCODERS, ()),
        (
            "train_generator.identity_encoder",
            training.identity_encoder if training.identity_loss_weight else None,
            shipped.ENCODERS,
            (),
        ),
    )
    for key, value, ours, roles in wanted:
        if value is not None and value != shipped.DRY:
            yield Need(key, names.named(value, *roles) or value, ours, roles)


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
    if need.roles and names.is_hub_id(need.value):
        if names.in_hub_cache(need.value) is not None:
            return None
        fix = f"{names.fetching(need.value)}, or put its folder here and say --set {need.key}=FOLDER"
        return Lack(need.value, f"{need.key} names it; it is not here", fix)
    fix = f"check {need.key}; `synthface models list` shows the public models"
    return Lack(need.value, f"{need.key} names it; there is no such file", fix)


def _data(recipe: Recipe) -> Iterator[Lack]:
    """Folders of pictures that the recipe names and nobody can pull."""
    for place in recipe.train.data:
        if not Path(place).exists():
            fix = "put the dataset there, or name yours with --data (train.data)"
            yield Lack(place, "train.data names it; there is no such folder", fix)
    sets = recipe.evaluate.benchmarks
    if sets is not None and not Path(sets).exists():
        fix = "put the verification sets there, or name yours with --benchmarks (evaluate.benchmarks)"
        yield Lack(sets, "evaluate.benchmarks names it; there is no such folder", fix)


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
