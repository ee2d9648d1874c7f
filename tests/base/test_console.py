"""docs/console.py, and the tutorial by it: the outputs that stand in a page are those of its commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = "before\n```console\n$ echo one; \\\n    echo two >&2\nold\n$ exit 3  # exit code 3\n```\n```\n$ not run\n```\n"


@pytest.fixture(scope="module")
def console(docs_script: Callable[[str], ModuleType]) -> ModuleType:
    return docs_script("console")


def test_outputs_are_replaced_by_what_the_commands_print(console: ModuleType, tmp_path: Path) -> None:
    assert console.commands(PAGE) == ["echo one; \\\n    echo two >&2", "exit 3  # exit code 3"]
    answered = console.with_outputs(PAGE, lambda command: console.run(command, tmp_path))
    assert answered == PAGE.replace("old\n", "one\ntwo\n")
    assert console.with_outputs(answered, lambda command: console.run(command, tmp_path)) == answered


@pytest.mark.parametrize("command", ["exit 2", "true  # exit code 1"])
def test_a_command_that_ends_otherwise_than_the_page_says_is_an_error(
    console: ModuleType, tmp_path: Path, command: str
) -> None:
    with pytest.raises(RuntimeError, match="exit code"):
        console.run(command, tmp_path)


@pytest.mark.slow
def test_the_tutorial_can_be_walked(console: ModuleType, tmp_path: Path) -> None:
    """Every command in its order, in one folder, with the exit codes that the page says."""
    for command in console.commands((DOCS / "tutorial.md").read_text(encoding="utf-8")):
        console.run(command, tmp_path)
