"""The documentation and the program say the same."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import click
import pytest

from synthface import recipe as recipes
from synthface.cli import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "recipe.md"])
def test_the_reference_pages_are_those_of_the_code(reference: ModuleType, name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == reference.page(name), "run `make docs`"


def test_every_command_and_every_shipped_recipe_is_in_the_reference() -> None:
    commands, keys = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("cli.md", "recipe.md"))
    for name in COMMANDS:
        assert f"\n## {name}\n" in commands
    for name in recipes.available():
        assert f"`{name}`" in keys


def links() -> list[tuple[Path, str]]:
    return [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target)
    ]


def test_links_between_pages_lead_somewhere() -> None:
    found = links()
    assert len(found) > 10
    broken = [f"{page.relative_to(ROOT)}: {target}" for page, target in found if not (page.parent / target).exists()]
    assert not broken


def written_commands() -> list[tuple[str, str]]:
    """Lines of code blocks, of recipes' heads and of help texts that call the program: (where, line)."""
    found = []
    for page in [*PAGES, *recipes.available().values()]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            called = re.match(r"^(?:# {0,4})?\s*(?:\$ )?(synthface [a-z].*)$", line)
            if called and "…" not in line:
                found.append((page.name, re.split(r"\s+#|\s&&|\s\||\s>", called[1])[0]))
    return found


def test_commands_in_the_documentation_have_options_that_exist() -> None:
    """Every `synthface COMMAND --option` that is written down anywhere can be meant."""
    context = click.Context(cli)
    found, wrong = written_commands(), []
    assert len(found) > 50
    for where, line in found:
        words = shlex.split(line.replace("[", " ").replace("]", " "))[1:]
        command = cli.get_command(context, words[0])
        if isinstance(command, click.Group) and len(words) > 1:
            command = command.commands.get(words[1])
        if command is None:
            wrong.append(f"{where}: there is no command in '{line}'")
            continue
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        used = {word.split("=")[0] for word in words if word.startswith("--")} - {"--help"}
        wrong += [f"{where}: {option} in '{line}'" for option in sorted(used - known)]
    assert not wrong


def test_keys_that_the_documentation_sets_exist() -> None:
    known = set(recipes.known_keys())
    wrong = []
    for page in [*PAGES, *recipes.available().values()]:
        for key in re.findall(r"--set '?([a-z_]+(?:\.[a-z_]+)+)=", page.read_text(encoding="utf-8")):
            if key not in known:
                wrong.append(f"{page.name}: {key}")
    assert not wrong
