"""What docs/identities.md prints is what the commands print."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "identities.md"
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def same(found: str, printed: str) -> bool:
    """The same words, and numbers that differ in no more than their last digits, which are the processor's."""
    if NUMBER.sub("#", found) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(found), NUMBER.findall(printed), strict=True)
    values = [(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs]
    return all(a == pytest.approx(b, rel=0.01, abs=0.002) for a, b in values)


def test_the_commands_of_the_page_print_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthface: Callable[..., Any]
) -> None:
    """In their order; each exits with 0, or with the code that the page tells of."""
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    run = 0
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language == "python":
            exec(compile(block, PAGE.name, "exec"), {})
            continue
        commands = re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)
        for line, _, printed in (command.partition("\n") for command in commands if command.startswith("synthface ")):
            done = synthface(*shlex.split(line, comments=True)[1:])
            expected = re.search(r"# exit code (\d+)$", line)
            assert done.code == int(expected[1] if expected else 0), done.err
            found = done.err if done.code else done.out
            assert same(" ".join(found.split()), " ".join(printed.split())), f"{line}\n{found}"
            run += 1
    assert run >= 5
