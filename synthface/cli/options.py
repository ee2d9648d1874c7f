"""Options that many commands share, and how results are printed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from synthface import recipe as recipes
from synthface.progress import say
from synthface.recipe import Recipe
from synthface.run import RunDirectory
from synthface.zoo import shipped

F = TypeVar("F", bound=Callable[..., Any])


def debug_option(function: F) -> F:
    return click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(function)


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")(
        function
    )


def recipe_options(function: F) -> F:
    """`--recipe` and `--set`; the command receives `recipe_name` and `overrides` for `resolve`."""
    function = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override one recipe value, e.g. --set identities.threshold=0.25 (repeatable).",
    )(function)
    return click.option(
        "--recipe",
        "recipe_name",
        metavar="NAME|FILE",
        default=None,
        help="A recipe's name or file. Default: the run directory's, else 'embedded'.",
        shell_complete=lambda ctx, param, text: [n for n in recipes.available() if n.startswith(text)],
    )(function)


def run_option(function: F) -> F:
    return click.option(
        "--run",
        "run_path",
        type=click.Path(path_type=Path),
        default=Path("run"),
        show_default=True,
        metavar="DIR",
        help="The run directory.",
    )(function)


def run_argument(function: F) -> F:
    """[RUN], or `--run` as other commands have it; the command receives `run_path`."""

    @functools.wraps(function)
    def named(*args: Any, run_path: Path, run_option: Path | None, **others: Any) -> Any:
        return function(*args, run_path=run_option or run_path, **others)

    option = click.option(
        "--run", "run_option", type=click.Path(path_type=Path), metavar="DIR", help="The same as RUN, as elsewhere."
    )
    argument = click.argument("run_path", metavar="[RUN]", type=click.Path(path_type=Path), default=Path("run"))
    chosen: Any = argument(option(named))
    return chosen


def resolve(
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run: RunDirectory | None = None,
    flags: dict[str, Any] | None = None,
) -> Recipe:
    """The recipe of this call: the named one, else the run directory's, else the default; then `--set`, then flags.

    `flags` maps dotted recipe keys to the values of command-line flags; None and () mean "not given".
    """
    given = {key: value for key, value in (flags or {}).items() if value is not None and value != ()}
    pairs = dict(recipes.parse_override(text) for text in overrides)
    if run is not None:
        return run.recipe(recipe_name, {**pairs, **given})
    return recipes.load(recipe_name or recipes.DEFAULT, {**pairs, **given})


def tell_of_demonstration(*models: str | None) -> None:
    """One line on stderr where a small model that ships with the package is at work among the `models` of a command."""
    if not {*shipped.ENCODERS, *shipped.GENERATORS}.isdisjoint(models):
        say("These are demonstration models, small enough to ship; for research-grade data use --recipe arc2face-0.5m.")


def emit(as_json: bool, content: dict[str, Any], text: str) -> None:
    """A result on stdout: `content` as one JSON object, or `text` for a person."""
    click.echo(json.dumps(content, ensure_ascii=False, allow_nan=False) if as_json else text)
