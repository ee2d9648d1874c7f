"""`synthface doctor`: what this machine has, what it lacks, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import click

from synthface import doctor
from synthface.cli.options import debug_option, emit, json_option, recipe_options, resolve, run_option
from synthface.run import RunDirectory

_SIGNS = {"ok": "+", "note": "·", "lack": "!"}


@click.command(
    "doctor",
    help="What this machine has for a recipe, what it lacks, and what to do about each lack.\n\n"
    "Exit code 1 when something that the recipe needs is missing.\n\n"
    "\b\nExamples:\n  synthface doctor\n  synthface doctor --recipe arc2face-0.5m --json",
)
@recipe_options
@run_option
@json_option
@debug_option
def command(recipe_name: str | None, overrides: tuple[str, ...], run_path: Path, as_json: bool) -> int:
    from synthface import recipe as recipes
    from synthface import zoo

    run = RunDirectory(run_path)
    recipe = resolve(recipe_name, overrides, run)
    weights = doctor.Weights(
        present=zoo.present_for(recipe),
        lacking=zoo.missing_for(recipe, run.prior),
        lacking_for={name: zoo.missing_for(recipes.load(name)) for name in recipes.available()},
        pulled=zoo.pulled(),
    )
    result = doctor.examine(run_path, weights)
    lines = []
    for finding in result["findings"]:
        advice = f"  → {finding['advice']}" if finding["advice"] else ""
        lines.append(f"{_SIGNS[finding['state']]} {finding['subject']:<20} {finding['value']}{advice}")
    emit(as_json, result, "\n".join(lines))
    return 0 if result["ok"] else 1
