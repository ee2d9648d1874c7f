"""`synthface recipe`: list, show, copy and validate recipes."""

from __future__ import annotations

from pathlib import Path

import click

from synthface import files
from synthface import recipe as recipes
from synthface.cli.options import debug_option, emit, json_option
from synthface.errors import OutputError
from synthface.recipe import reference


@click.group(
    "recipe",
    help="List, show, copy and validate recipes.\n\n"
    "\b\nExamples:\n"
    "  synthface recipe list\n"
    "  synthface recipe show embedded\n"
    "  synthface recipe show --key identities.threshold\n"
    "  synthface recipe copy arc2face-0.5m mine.yaml\n"
    "  synthface recipe validate mine.yaml --set render.per_id=20",
)
def command() -> None:
    pass


@command.command("list", help="The recipes that ship with synthface.\n\n\b\nExample:\n  synthface recipe list")
@json_option
@debug_option
def list_(as_json: bool) -> None:
    found = {name: recipes.load(name).description for name in recipes.available()}
    width = max(map(len, found), default=0)
    emit(as_json, {"recipes": found}, "\n".join(f"{name:<{width}}  {text}" for name, text in found.items()))


@command.command(
    "show",
    help="A recipe with every value written out, or what a key means.\n\n"
    "\b\nExamples:\n  synthface recipe show embedded\n  synthface recipe show --key gate",
)
@click.argument("name", default=recipes.DEFAULT, metavar="[NAME|FILE]")
@click.option("--key", help="Explain this key, or every key of this section, instead.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value first.")
@json_option
@debug_option
def show(name: str, key: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    if key is None:
        chosen = recipes.load(name, overrides)
        emit(as_json, chosen.model_dump(mode="json"), recipes.dump(chosen).rstrip())
        return
    found = reference.explain(key)
    text = "\n\n".join(f"{part.path}  (default: {part.default})\n  {part.meaning}\n  {part.kind}" for part in found)
    emit(as_json, {"keys": [part._asdict() for part in found]}, text)


@command.command(
    "copy", help="Write a recipe to a file of yours.\n\n\b\nExample:\n  synthface recipe copy embedded mine.yaml"
)
@click.argument("name", metavar="NAME|FILE")
@click.argument("target", type=click.Path(path_type=Path))
@debug_option
def copy(name: str, target: Path) -> None:
    source = recipes.find(name)
    if target.exists():
        raise OutputError(f"{target} exists already.", "Choose another name, or remove it first.")
    files.write_bytes(target, source.read_bytes())
    click.echo(f"{target}: a copy of '{name}'. Check it with: synthface recipe validate {target}")


@command.command(
    "validate",
    help="Check a recipe; prints every problem at once.\n\n\b\nExample:\n  synthface recipe validate mine.yaml",
)
@click.argument("name", metavar="NAME|FILE")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value first.")
@json_option
@debug_option
def validate(name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    chosen = recipes.load(name, overrides)
    emit(as_json, {"valid": True, "name": chosen.name}, f"{name} is valid.")
