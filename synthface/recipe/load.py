"""Recipes from YAML files, names and `--set` overrides, with all errors at once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from synthface import files
from synthface.errors import RecipeError, did_you_mean
from synthface.recipe.schema import Recipe

DEFAULT = "embedded"
EXTENDS = "extends"  # the one key of a file that is not in the schema: the recipe whose values lie under the file's own
_SHIPPED = Path(__file__).resolve().parent.parent / "recipes"  # in a checkout a link to recipes/ at the top


def available() -> dict[str, Path]:
    """Name → file of every recipe that ships with synthface."""
    return {file.stem: file for file in sorted(_SHIPPED.glob("*.yaml"))}


def find(name_or_file: str, beside: Path = Path()) -> Path:
    """The file behind `--recipe NAME|FILE`; raises RecipeError with a suggestion when there is none.

    A relative FILE is looked for from the folder `beside`.
    """
    named = available()
    if name_or_file in named:
        return named[name_or_file]
    path = beside / name_or_file
    if path.is_file():
        return path
    hint = did_you_mean(name_or_file, list(named))
    raise RecipeError(
        f"There is no recipe named '{name_or_file}' and no such file.",
        f"{hint} `synthface recipe list` shows the names.".strip(),
    )


def load(name_or_file: str | Path = DEFAULT, overrides: Sequence[str] | dict[str, Any] = ()) -> Recipe:
    """The validated recipe: the schema's defaults, under the file's values, under the overrides.

    `overrides` are `a.b=value` strings (the value is YAML) or a dict from dotted keys to values.
    Raises RecipeError that lists every problem with its dotted path.
    """
    path = find(str(name_or_file))
    return build(read(path), overrides, origin=str(name_or_file))


def read(path: Path) -> dict[str, Any]:
    """A recipe file's mapping, unvalidated, over that of the recipe which it extends."""
    content = _mapping(path)
    family = [path]
    while EXTENDS in content:
        parent = find(str(content.pop(EXTENDS)), beside=family[-1].parent)
        if parent in family:
            raise RecipeError(f"{path} extends itself, through {parent}.", f"Remove the `{EXTENDS}` of one of them.")
        family.append(parent)
        content = _over(_mapping(parent), content)
    return content


def _over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`under` with the values of `over`; sections are merged, everything else is replaced."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(under.get(key), dict)
        merged[key] = _over(under[key], value) if both else value
    return merged


def _mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise RecipeError(
            f"{path}{line} is not valid YAML: {getattr(error, 'problem', error)}.",
            "Mend the line, or start from `synthface recipe copy embedded my.yaml`.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds {type(content).__name__} where a mapping of sections was expected.")
    return content


def build(content: dict[str, Any], overrides: Sequence[str] | dict[str, Any] = (), origin: str = "recipe") -> Recipe:
    """Validates `content` under `overrides`; see `load`."""
    content = copy.deepcopy(content)
    pairs = overrides.items() if isinstance(overrides, dict) else [parse_override(text) for text in overrides]
    for key, value in pairs:
        _put(content, key.split("."), value)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors(include_url=False)]
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listing = "".join(f"\n  {problem}" for problem in problems)
        raise RecipeError(
            f"The recipe '{origin}' has {count}:{listing}",
            "\n`synthface recipe show` lists every key with its meaning.",
        ) from error


def parse_override(text: str) -> tuple[str, Any]:
    """`a.b=value` → ("a.b", value as YAML)."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(
            f"--set {text!r} is not of the form key=value.", "For example: --set identities.threshold=0.25"
        )
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"The value in --set {text!r} is not valid YAML.", "Quote it, for example --set 'a.b=[1, 2]'."
        ) from error


def dump(recipe: Recipe) -> str:
    """The recipe as YAML with every value written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def write(recipe: Recipe, path: Path) -> None:
    files.write_text(path, dump(recipe))


def known_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterable[str]:
    """All dotted keys of the schema."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_keys(field.annotation, f"{prefix}{name}.")


def _put(content: dict[str, Any], path: list[str], value: Any) -> None:
    node: Any = content
    for depth, part in enumerate(path[:-1]):
        child = node.setdefault(part, {})
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict):
            dotted = ".".join(path[: depth + 1])
            raise RecipeError(f"--set {'.'.join(path)}: '{dotted}' is a value, not a section.")
        node = child
    node[path[-1]] = value


def _explain(problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        keys = list(known_keys())
        elsewhere = [key for key in keys if key.rsplit(".", 1)[-1] == path.rsplit(".", 1)[-1]]
        near = f"Did you mean '{elsewhere[0]}'?" if elsewhere else did_you_mean(path, keys)
        return f"{path}: unknown key. {near}".rstrip()
    if problem["type"] == "missing":
        return f"{path}: is required"
    given = "" if isinstance(problem.get("input"), dict | BaseModel) else f" (given: {problem.get('input')!r})"
    return f"{path}: {message[:1].lower()}{message[1:]}{given}" if path else message
