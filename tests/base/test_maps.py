"""A room's front page, the docstring of its `__init__.py`, is its map: every file of the room stands in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = sorted(
    {path.parent for package in ("synthface", "fr_train") for path in (ROOT / package).rglob("*.py")}
    - {ROOT / "synthface", ROOT / "synthface/cli"}  # named after their commands
)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_the_map_names_every_file(room: Path) -> None:
    texts = {file.name: ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "" for file in room.glob("*.py")}  # fmt: skip
    front = texts["__init__.py"]
    listed_there = [name for name in re.findall(r"(\w+\.py)[^\n]*parts are listed there", front) if name in texts]
    named = "\n".join([front, *(texts[name] for name in listed_there)])
    patterns = [re.compile(rf"{prefix}\w+\.py") for prefix in re.findall(r"(\w+_)\*\.py", named)]
    unnamed = [
        name
        for name in texts
        if name != "__init__.py" and name not in named and not any(pattern.fullmatch(name) for pattern in patterns)
    ]
    assert not unnamed


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports a test file by its name alone: the whole suite could not be collected."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert not [name for name in set(names) if names.count(name) > 1]


def test_the_page_of_pages_names_every_page() -> None:
    front = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert not sorted(page for page in pages if f"]({page})" not in front)
