"""Whose terms a dataset inherits: of the people, every network, and the prior, that had a part in it, with licence and hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from synthface import files
from synthface.recipe import Recipe
from synthface.zoo import CATALOGUE, needs, shipped

_PEOPLE = "render.identities"
_PRIOR = "prior.file"
_GIVEN_ROLES = {
    _PEOPLE: "says who is in the pictures",
    _PRIOR: "says how the pictures of one person differ: every variation is drawn from it",
}
_ROLES = {
    _PRIOR: "says how people differ: everybody in the pictures, and every variation, is drawn from it",
    "generator.model": "draws the pictures",
    "generator.base": "decodes them: autoencoder, tokenizer, scheduler",
    "generator.lora": "is merged into the generator",
    "generator.vae": "decodes them",
    "encoder.model": "conditions and judges the pictures",
    "encoder.verifier": "judges the pictures",
    "encoder.detector": "finds the faces",
}
_HASHES = {
    _PRIOR: "prior_sha256",
    "generator.model": "generator_sha256",
    "encoder.model": "encoder_sha256",
    "encoder.verifier": "verifier_sha256",
    "encoder.detector": "detector_sha256",
}
_SHIPPED_TERMS = (
    "Ships with synthface; trained by this project on faces computed from an analytic model. No photograph of anybody had "
    "a part in it."
)
_OWN_PRIOR = (
    "Fitted by whoever made the dataset on embeddings of real photographs; the terms of those photographs are not known to "
    "synthface and must be stated by them."
)
_GIVEN_PEOPLE = (
    "Given by whoever made the dataset; whether these people exist is not recorded, and the terms of their embeddings are not "
    "known to synthface and must be stated by them."
)
_OWN_TERMS = "A file of whoever made the dataset; its terms are not known to synthface and must be stated by them."


class Link(NamedTuple):
    """One link of the chain. licence: None where nobody told it. sha256: of the weights, as run.json has it."""

    name: str
    role: str
    licence: str | None
    terms: str
    source: str | None
    sha256: str | None


def chain(recipe: Recipe, record: dict[str, Any], *, sampled: bool) -> list[Link]:
    """The links, in the order in which they touch a picture. record: run.json.

    sampled: whether the people are the run's own sampled ones; else whoever gave them is a link, with terms nobody told.
    """
    hashes = _hashes(record)
    values = {need.key: need.value for need in needs.needs(recipe) if need.key in _ROLES}
    links = [_link(key, values[key], hashes.get(_HASHES.get(key, ""))) for key in _ROLES if key in values]
    people = [] if sampled else [_people(recipe)]
    return [*people, _prior(recipe, hashes.get(_HASHES[_PRIOR]), sampled), *links]


def restricted(links: list[Link]) -> list[Link]:
    """The links that forbid something or whose terms nobody told: what decides what the dataset may be used for."""
    return [
        link for link in links if link.licence is None or "non-commercial" in f"{link.licence} {link.terms}".lower()
    ]


def reason(link: Link) -> str:
    """Why a restricted link is one, in few words."""
    if link.licence is None:
        return "terms not known"
    named = "non-commercial" in link.licence.lower()
    return link.licence if named else f"{link.licence}, trained on data for non-commercial research"


def hub_licence(links: list[Link]) -> str:
    """The licence field of a Hugging Face card: `apache-2.0` where the whole chain is, else `other`."""
    return "apache-2.0" if links and all(link.licence == "Apache-2.0" for link in links) else "other"


def _link(key: str, value: str, sha256: str | None) -> Link:
    if value in CATALOGUE:
        model = CATALOGUE[value]
        source = model.url or f"https://huggingface.co/{model.repository}"
        return Link(value, _ROLES[key], model.licence, model.terms, source, sha256)
    if value in shipped.ENCODERS or value in shipped.GENERATORS:
        return Link(f"{value} ({key})", _ROLES[key], "Apache-2.0", _SHIPPED_TERMS, None, sha256)
    return Link(value, _ROLES[key], None, _OWN_TERMS, None, sha256)


def _people(recipe: Recipe) -> Link:
    """The link of people who were not sampled in the run."""
    file = recipe.render.identities
    return Link(
        "the people" if file is None else Path(file).name, _GIVEN_ROLES[_PEOPLE], None, _GIVEN_PEOPLE, None, None
    )


def _prior(recipe: Recipe, sha256: str | None, sampled: bool) -> Link:
    """The prior's link: the one that ships, where the recipe means it and the recorded hash does not say otherwise."""
    role, file = (_ROLES if sampled else _GIVEN_ROLES)[_PRIOR], recipe.prior.file
    ours = shipped.FOLDER / shipped.PRIOR
    suits = file is None and recipe.encoder.model in ("embedded", shipped.DRY) and ours.is_file()
    if suits and sha256 in (None, files.sha256_file(ours)):
        return Link(f"embedded ({_PRIOR})", role, "Apache-2.0", _SHIPPED_TERMS, None, sha256)
    return Link("prior.safetensors" if file is None else Path(file).name, role, None, _OWN_PRIOR, None, sha256)


def _hashes(record: dict[str, Any]) -> dict[str, str]:
    """The hashes of weights and prior that the record of rendering has."""
    stages = record.get("stages", {})
    decisive = stages.get("render", stages.get("pack", {})).get("decisive", {})
    return {name: value for name, value in decisive.items() if name in _HASHES.values() and isinstance(value, str)}
