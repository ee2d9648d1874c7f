"""`synthface recipe`: list, show, copy and validate recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from synthface import files
from synthface import recipe as recipes
from synthface.cli.options import debug_option, emit, json_option
from synthface.errors import OutputError, RecipeError, did_you_mean


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
    rows = explain(key)
    text = "\n\n".join(f"{row['key']}  (default: {row['default']})\n  {row['meaning']}" for row in rows)
    emit(as_json, {"keys": rows}, text)


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


def explain(key: str) -> list[dict[str, Any]]:
    """Key, type, default, meaning and limits of a key, or of all keys of a section."""
    rows = list(reference())
    chosen = [row for row in rows if row["key"] == key or row["key"].startswith(f"{key}.")]
    if not chosen:
        hint = did_you_mean(key, [row["key"] for row in rows])
        raise RecipeError(f"There is no recipe key '{key}'. {hint}".rstrip(), "`synthface recipe show` lists them.")
    return chosen


def reference(model: type[BaseModel] = recipes.Recipe, prefix: str = "") -> list[dict[str, Any]]:
    """Every key of the schema with default, meaning, and whether it decides the bytes of the result."""
    rows = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            rows += reference(kind, f"{prefix}{name}.")
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        default = None if field.default is PydanticUndefined else field.default
        shown = yaml.safe_dump(list(default) if isinstance(default, tuple) else default, default_flow_style=True)
        rows.append(
            {
                "key": f"{prefix}{name}",
                "default": shown.removesuffix("\n").removesuffix("\n...").strip(),
                "meaning": field.description or "",
                "decisive": extra.get("decisive") is not False,
            }
        )
    return rows
