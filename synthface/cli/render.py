"""`synthface render`: identities into a verified, packed dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthface.cli.options import (
    debug_option,
    emit,
    json_option,
    recipe_options,
    resolve,
    run_option,
    tell_of_demonstration,
)
from synthface.recipe import Recipe
from synthface.run import RunDirectory

if TYPE_CHECKING:
    from synthface.render.finish import Finished
    from synthface.render.rendering import Order, Outcome, Part

SHORT = 3  # exit code


@click.command(
    "render",
    help="Photograph identities into shards, then pack and verify the dataset.\n\n"
    "Killed at any moment, the same command goes on; shards that were damaged since are made again. The same recipe gives "
    "the same dataset on one kind of device, whatever the number of devices and the order of things; on a GPU the size of a "
    "batch, and settings of speed, round the last bits otherwise.\n\n"
    "Exit code 3: the dataset is there, but identities are short of images that never passed the gate.\n\n"
    "\b\nExamples:\n"
    "  synthface render --ids 100 --per-id 10\n"
    "  synthface render --ids 10000 --per-id 50 --dry-run\n"
    "  synthface render --identities people.npz --per-id 20\n"
    "  synthface render --devices cuda:0,cuda:1 --run big\n"
    "  synthface render --part 3/16 --run /shared/big       # one task of an array job\n"
    "  RAY_ADDRESS=head:6379 synthface render --launcher ray --run /shared/big",
)
@click.option("--ids", type=click.IntRange(min=1), metavar="N", help="Identities to render (render.ids).")
@click.option("--per-id", type=click.IntRange(min=1), metavar="K", help="Images of each (render.per_id).")
@click.option(
    "--identities",
    type=click.Path(),
    metavar="EMB",
    help="People given as embeddings, averaged by label, in place of sampled ones (render.identities).",
)
@click.option("--part", metavar="I/N", help="Only part I of N, cut statically; the part that ends last packs.")
@click.option("--launcher", type=click.Choice(["local", "ray", "slurm"]), help="What starts the workers.")
@click.option("--devices", metavar="LIST", help="For example cuda:0,cuda:1 or cpu,cpu: one worker each.")
@click.option("--dry-run", is_flag=True, help="Only tell shards, images, disk, time and GPU-hours.")
@click.option(
    "--images-per-second",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="With --dry-run: the speed of one device, in place of a measurement.",
)
@click.option("--seed", type=int, help="Recipe value `seed`.")
@recipe_options
@run_option
@json_option
@debug_option
def command(
    ids: int | None,
    per_id: int | None,
    identities: str | None,
    part: str | None,
    launcher: str | None,
    devices: str | None,
    dry_run: bool,
    images_per_second: float | None,
    seed: int | None,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> int:
    from synthface.errors import UsageError
    from synthface.render.people import asked_for
    from synthface.render.plan import parse_part

    if images_per_second is not None and not dry_run:
        raise UsageError("--images-per-second belongs to --dry-run.", "Rendering measures the speed itself.")
    run = RunDirectory(run_path)
    mine = None if part is None else parse_part(part)
    flags: dict[str, Any] = {
        **asked_for(ids, per_id, identities),
        "render.launcher": launcher,
        "render.devices": None if devices is None else [name for name in devices.split(",") if name],
        "seed": seed,
    }
    recipe = resolve(recipe_name, overrides, run, flags)
    tell_of_demonstration(recipe.generator.model, recipe.encoder.model, recipe.encoder.verifier)

    from synthface.render import rehearsal, rendering

    if dry_run:
        content = rehearsal.rehearse(recipe, run, images_per_second)
        emit(as_json, content, _dry_text(content))
        return 0
    order = rendering.take_order(recipe, run)
    if recipe.render.launcher == "slurm" and mine is None:
        return _submit(order, as_json)
    outcome = rendering.render(order, mine)
    return conclude(order, outcome, mine, as_json)


def conclude(order: Order, outcome: Outcome, part: Part | None, as_json: bool) -> int:
    """What follows the shards: the dataset when all are there, and the account of it all. Gives the exit code."""
    from synthface.errors import SynthfaceError
    from synthface.render import rendering
    from synthface.render.finish import finish
    from synthface.report.card import write_card

    path = order.run.path
    if outcome.failed:
        number, error = next(iter(outcome.failed.items()))
        raise SynthfaceError(
            f"{len(outcome.failed):,} of {len(outcome.plan.shards):,} shards failed, the first ({number:05d}) with: {error}",
            f"`synthface status {path}` shows the tracebacks; `synthface retry {path}` makes them again.",
        )
    finished = None
    complete = rendering.everything_is_there(order, outcome.plan)
    if complete:
        finished = finish(order, outcome.plan, part, write_card)
    content = _content(order, outcome, complete, finished)
    emit(as_json, content, _text(content, part))
    return SHORT if content["short"] and part is None else 0


def _submit(order: Order, as_json: bool) -> int:
    from synthface.render.launch.on_slurm import submit

    with order.run.enter("render", order.recipe, order.extra):
        pass  # the tasks read recipe.yaml, and must not meet other values
    submitted = submit(order.run.path, order.recipe.render)
    content = {"job": submitted.job, "parts": submitted.parts, "logs": str(submitted.folder)}
    emit(
        as_json,
        content,
        f"SLURM job {submitted.job}: {submitted.parts} parts, logs in {submitted.folder}. "
        f"`synthface status {order.run.path}` tells how far they are; the part that ends last packs the dataset.",
    )
    return 0


def _content(order: Order, outcome: Outcome, complete: bool, finished: Finished | None) -> dict[str, Any]:
    from synthface.render import shards, tally

    whole = [shards.read(order.run.shards, shard, outcome.plan.hash) for shard in outcome.plan.shards]
    counts = tally.together(content for content in whole if content is not None)
    made = list(outcome.made.values())
    working = sum(content["seconds"] for content in made)
    return {
        "run": str(order.run.path),
        "plan": outcome.plan.hash,
        "identities": outcome.plan.identities,
        **{key: counts[key] for key in ("images", "images_wanted", "attempts", "rejected", "short")},
        "shards": {"all": len(whole), "whole": sum(content is not None for content in whole), "made_now": len(made),
                   "made_again": len(outcome.remade)},
        "images_made_now": sum(content["images"] for content in made),
        "seconds": round(outcome.seconds, 2),
        "images_per_second": round(sum(c["images"] for c in made) / outcome.seconds, 3) if made else None,
        "busy_share": round(sum(c["busy_share"] * c["seconds"] for c in made) / working, 4) if made else None,
        "workers": outcome.workers,
        "complete": complete,
        "dataset": None if finished is None else str(finished.dataset),
        "dataset_images": None if finished is None else finished.images,
        "dataset_identities": None if finished is None else finished.identities,
        "dataset_sha256": None if finished is None else finished.hash,
    }  # fmt: skip


def _text(content: dict[str, Any], part: Part | None) -> str:
    from synthface.render.gate import table

    counts = content["shards"]
    lines = []
    if content["images_per_second"] is not None:
        lines.append(
            f"{content['images_made_now']:,} images in {content['seconds']:,.1f} s: {content['images_per_second']:,.3g} "
            f"images/s, the device was drawing for {content['busy_share']:.1%} of the time"
        )
    if content["rejected"]:
        share = sum(content["rejected"].values()) / content["attempts"]
        lines.append(f"rejected, {share:.1%} of {content['attempts']:,} attempts:{table(content['rejected'])}")
    if content["short"]:
        lines.append(
            f"{content['images']:,} of {content['images_wanted']:,} images; the others were given up, by the reason of "
            f"their last attempt:{table(content['short'])}"
        )
    if content["dataset"]:
        lines.append(
            f"{content['dataset_images']:,} images of {content['dataset_identities']:,} identities, packed and verified: "
            f"{content['dataset']} (contact_sheet.png shows some)"
        )
    elif content["complete"]:
        lines.append("Not a single image passed the gate: there is no dataset.")
    else:
        which = "" if part is None else f"part {part[0]}/{part[1]} is done; "
        lines.append(f"{which}{counts['whole']:,} of {counts['all']:,} shards are whole, others are still to be made")
    return "\n".join(lines)


def _dry_text(content: dict[str, Any]) -> str:
    measured, devices = content["measured"], content["devices"]
    gigabytes = (content["bytes_of_shards"] + content["bytes_of_dataset"]) / 1e9
    supposed = "" if measured else ", if a device makes 1 image/s"
    lines = [
        f"{content['images']:,} images of {content['identities']:,} identities in {content['shards']:,} shards of up to "
        f"{content['images_per_shard']:,} images{supposed}",
        f"to be made: {content['images_remaining']:,} images in {content['shards_remaining']:,} shards",
        f"disk: {gigabytes:,.2f} GB, half of it shards and half the dataset packed from them",
    ]
    if measured and not content["given"]:
        lines.append(
            f"measured on {measured['hardware']} ({measured['device']}, {measured['precision']}): "
            f"{measured['attempts_per_second']:,.3g} pictures/s, {measured['kept_share']:.0%} kept"
        )
    if measured:
        speed = f", at the given {measured['attempts_per_second']:,.4g} images/s each" if content["given"] else ""
        unit = "GPU-hours" if content["gpu_hours"] else "device-hours"
        lines.append(
            f"time: {content['duration']} on {len(devices)} × {devices[0].partition(':')[0]}{speed}; "
            f"{content['device_hours']:,.2f} {unit}"
        )
    else:
        lines.append("time: to be measured once these are here, or told by --images-per-second X:")
    lines += [f"  missing: {lack}" for lack in content["missing"]]
    return "\n".join(lines)


def recipe_of(run: RunDirectory) -> Recipe:
    """The recipe of a run directory that was rendered before."""
    from synthface.errors import InputError

    if not run.recipe_file.exists():
        raise InputError(f"{run.path} is no run directory: it has no recipe.yaml.", "Begin with `synthface render`.")
    return resolve(None, (), run)
