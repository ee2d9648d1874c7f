"""`synthface retry`: the failed shards of a rendering again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthface.cli.options import debug_option, json_option, run_argument, tell_of_demonstration
from synthface.run import RunDirectory

if TYPE_CHECKING:
    from synthface.render.plan import Shard


@click.command(
    "retry",
    help="Make the failed shards of a rendering again, and no others; pack when that makes all shards whole. The recipe is "
    "the run directory's.\n\n"
    "\b\nExamples:\n  synthface retry run\n  synthface retry /shared/big --devices cuda:0",
)
@run_argument
@click.option("--devices", metavar="LIST", help="For example cuda:0,cuda:1 or cpu,cpu: one worker each.")
@json_option
@debug_option
def command(run_path: Path, devices: str | None, as_json: bool) -> int:
    from synthface.cli.render import conclude, recipe_of
    from synthface.render import rendering, shards

    run = RunDirectory(run_path)
    recipe = recipe_of(run)
    changed = {"launcher": "local", **({"devices": tuple(devices.split(","))} if devices else {})}
    recipe = recipe.model_copy(update={"render": recipe.render.model_copy(update=changed)})
    tell_of_demonstration(recipe.generator.model, recipe.encoder.model, recipe.encoder.verifier)
    order = rendering.take_order(recipe, run)
    failed = shards.failures(run.shards)

    def only(todo: Sequence[Shard]) -> list[Shard]:
        return [shard for shard in todo if shard.number in failed]

    return conclude(order, rendering.render(order, only=only), None, as_json)
