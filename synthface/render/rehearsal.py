"""`render --dry-run`: what a dataset would take. Nothing is written.

The speed is measured on the device where people, prior and weights are there, or it is given. Without either the images
and the disk are told, and what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthface import zoo
from synthface.errors import UsageError
from synthface.recipe import Recipe
from synthface.recipe.pictures import GeneratorTrainingRecipe
from synthface.render import measure, networks, plan, shards
from synthface.render.people import images_of
from synthface.render.rendering import LazyEngine, Order, sized, take_order
from synthface.run import RunDirectory

_UNKNOWN = "GPU"  # what is reckoned with where no device is named and none is looked at
SUPPOSED = 1.0  # images/s of one device, by which shards are cut where no speed is known
# a recipe that sets one of the latter and none of the former is about a training alone
_OF_RENDERING = {"identities", "perturb", "crop", "render", "pack"}
_OF_TRAINING = {"train_generator": "train-generator", "train": "train-fr"}


def rehearse(recipe: Recipe, directory: RunDirectory, speed: float | None = None) -> dict[str, Any]:
    """Identities, images, shards, disk, time and device-hours. speed: images/s of one device, None: measured.

    `measured` is None where neither is possible; `missing` then says why. Raises RunConflictError when the directory was
    made with other values, UsageError for a recipe that renders nothing, and what `take_order` raises but for things that
    are not there yet.
    """
    _refuse_training_alone(recipe, directory)
    networks.check(recipe)
    missing = _missing(recipe, directory)
    order = None if missing else take_order(recipe, directory)
    images_N = images_of(recipe.render) if order is None else order.people.images_N
    devices: Sequence[str] = recipe.render.devices or (_UNKNOWN,)
    if speed is not None:
        measured: dict[str, Any] | None = measure.given(speed, recipe.crop.size)
    elif order is not None:
        measured, devices = _measured(order)
    else:
        measured = None
    known = measured or measure.given(SUPPOSED, recipe.crop.size)
    existing = _existing(order, directory)
    cut = existing.shards if existing else sized(recipe, images_N, known, len(devices))
    whole = shards.survey(directory.shards, cut, existing.hash)[0] if existing else {}
    gpus = not devices[0].startswith("cpu")
    images, remaining = int(images_N.sum()), sum(shard.images for shard in cut if shard.number not in whole)
    return {
        "identities": len(images_N),
        "images": images,
        "images_remaining": remaining,
        "shards": len(cut),
        "shards_remaining": len(cut) - len(whole),
        "images_per_shard": max(shard.images for shard in cut),
        **measure.disk(images, known["bytes_per_image"]),
        "devices": list(devices),
        "measured": measured,
        "given": speed is not None,
        **(measure.cost(measured, remaining, len(devices), gpus) if measured else {}),
        "missing": missing,
        "hash": None if order is None else plan.fingerprint(order.decisive),
    }


def _refuse_training_alone(recipe: Recipe, directory: RunDirectory) -> None:
    """Raises UsageError that names the command whose cost is meant, where the recipe asks for no pictures."""
    trains = [command for section, command in _OF_TRAINING.items() if section in recipe.model_fields_set]
    if trains and not _OF_RENDERING & recipe.model_fields_set and not directory.identities.exists():
        raise UsageError(
            f"The recipe {recipe.name} renders nothing: it is about a training.",
            f"`synthface {trains[0]} --dry-run` with the same --recipe tells what that takes; to render by it all the same, "
            "say how many: --ids N --per-id K.",
        )


def _measured(order: Order) -> tuple[dict[str, Any], Sequence[str]]:
    engine = LazyEngine(order)
    try:
        return engine.started.measure(order.recipe.render.measure_seconds), engine.started.devices
    finally:
        engine.close()


def _existing(order: Order | None, directory: RunDirectory) -> plan.Plan | None:
    """The plan that is there already."""
    if order is None or not directory.plan_file.exists():
        return None
    return plan.load(directory.plan_file, order.people.images_N, order.decisive)


def _missing(recipe: Recipe, directory: RunDirectory) -> list[str]:
    """What has to be there before a picture can be drawn and is not, each with how to get it."""
    found = []
    if recipe.render.identities is None and not directory.identities.exists():
        wanted = len(images_of(recipe.render))
        found.append(
            f"people: nobody has been sampled yet (synthface sample-ids --run {directory.path} --ids {wanted})"
        )
    elsewhere: dict[str, Any] = {"train_generator": GeneratorTrainingRecipe()}  # what only training would need
    if not networks.uses_verifier(recipe):
        elsewhere["encoder"] = recipe.encoder.model_copy(update={"verifier": None})
    lacking = zoo.missing_for(recipe.model_copy(update=elsewhere), directory.prior)
    return found + [f"{lack.subject}: {lack.why} ({lack.fix})" for lack in lacking]
