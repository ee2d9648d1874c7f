"""What every key of a recipe means: from the schema itself, for `recipe show --key` and the reference page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from synthface.errors import RecipeError, did_you_mean
from synthface.recipe.schema import Recipe


class Key(NamedTuple):
    """One key: dotted `path`, the values it takes, its default as YAML, and whether it decides the bytes of the result."""

    path: str
    kind: str
    default: str
    meaning: str
    decisive: bool


class Section(NamedTuple):
    """A section with its own keys; `path` is empty for the top of the recipe."""

    path: str
    meaning: str
    keys: tuple[Key, ...]


def sections() -> list[Section]:
    """All sections, the top of the recipe first, in the order of the schema."""
    schema = Recipe.model_json_schema()
    return list(_sections("", schema, schema["$defs"]))


def all_keys() -> list[Key]:
    """All keys of all sections."""
    return [key for section in sections() for key in section.keys]


def explain(path: str) -> list[Key]:
    """The key `path`, or all keys of the section `path`. Raises RecipeError with a suggestion when there is none."""
    known = all_keys()
    chosen = [key for key in known if key.path == path or key.path.startswith((f"{path}.", f"{path}[]."))]
    if not chosen:
        hint = did_you_mean(path, [key.path for key in known])
        raise RecipeError(f"There is no recipe key '{path}'. {hint}".rstrip(), "`synthface recipe show` lists them.")
    return chosen


def _sections(path: str, schema: dict[str, Any], named: dict[str, Any]) -> Iterator[Section]:
    found, deeper = [], []
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        dotted = f"{path}.{name}" if path else name
        if "$ref" in field:
            deeper.append((dotted, _resolve(field, named)))
            continue
        element = field.get("items", {})
        if "$ref" in element:
            deeper.append((f"{dotted}[]", _resolve(element, named)))
        default = "required" if name in required else _yaml(field.get("default"))
        found.append(
            Key(dotted, _kind(field, named), default, field["description"], field.get("decisive", True) is not False)
        )
    yield Section(path, schema["description"], tuple(found))
    for dotted, inner in deeper:
        yield from _sections(dotted, inner, named)


def _resolve(field: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = named[field["$ref"].rsplit("/", 1)[-1]]
    return inner


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...").strip()


def _kind(field: dict[str, Any], named: dict[str, Any]) -> str:
    """The values that a field takes, in words."""
    if "anyOf" in field:
        return " or ".join(_kind(choice, named) for choice in field["anyOf"])
    if "enum" in field:
        return "one of " + ", ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    if field.get("type") == "array":
        return _list(field, named)
    word = {"integer": "whole number", "boolean": "true or false", "string": "text"}.get(field["type"], field["type"])
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {_number(field[bound])}" for bound, sign in bounds.items() if bound in field]
    return f"{word} {', '.join(limits)}".rstrip()


def _list(field: dict[str, Any], named: dict[str, Any]) -> str:
    if "prefixItems" in field:
        return "list of " + " and ".join(_kind(part, named) for part in field["prefixItems"])
    element = field["items"]
    if "$ref" in element:
        return f"list of {{{', '.join(_resolve(element, named)['properties'])}}}"
    return f"list of {_kind(element, named)}"


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}" if value < 2**63 else "2⁶⁴"
