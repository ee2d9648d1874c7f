"""Every block of commands in README and docs/ is run: by the shell, with the program that a reader calls.

A page is run from top to end in one folder, in which lies what it supposes that its reader has (docs_readers.py); the reference
of the commands, whose examples are single ones, each in a folder of its own. docs_as_run.py has all that is changed: sizes, and,
in blocks whose fence says needs=…, what no test has. What is printed is compared by the tests of single pages.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import pytest
from docs_as_run import AS_HERE, as_here, commands, name_of, pages
from docs_readers import EXAMPLES, LAID, RECIPES, ROOT, SLURM, SUPPOSED
from test_docs import SYNOPSIS, Block, blocks

REFERENCE, ENCODERS = "docs/cli.md", "docs/encoder.md"  # which have tests of their own
Lay = Callable[[str, Path], None]


# page → what the fences of its blocks say that they need: a block that no test runs as it stands shows here
NEEDS = {
    "README.md": ["a-checkout", "the-weights"],
    "docs/audit.md": ["the-weights"],
    "docs/cli.md": [
        *("the-weights", "gpus,a-cluster", "gpus", "gpus", "the-weights", "the-weights", "the-weights,gpus"),
        *("the-weights", "the-weights", "the-weights", "the-weights"),
    ],
    "docs/encoder.md": ["a-network", "a-network"],
    "docs/generator.md": ["a-network", "the-weights", "the-weights"],
    "docs/how-to/clusters.md": ["the-weights", "gpus", "a-cluster", "a-cluster", "a-cluster", "a-cluster", "gpus"],
    "docs/how-to/mix-with-real-data.md": ["gpus"],
    "docs/how-to/own-embeddings.md": ["the-weights", "the-weights", "the-weights"],
    "docs/how-to/own-recogniser.md": ["the-weights"],
    "docs/how-to/train-the-generator.md": ["the-weights"],
    "docs/installation.md": ["a-checkout", "a-checkout", "the-weights", "zsh"],
    "docs/recognition.md": ["a-recogniser"],
    "docs/render.md": ["a-cluster", "a-cluster", "a-cluster", "a-cluster"],
    "docs/train-generator.md": ["the-weights"],
    "docs/tutorial.md": ["a-checkout", "the-weights"],
    "docs/zoo.md": ["the-weights"],
}


@pytest.fixture(scope="session")
def console(docs_script: Callable[[str], ModuleType]) -> ModuleType:
    return docs_script("console")


@pytest.fixture(scope="session")
def laid(tmp_path_factory: pytest.TempPathFactory, console: ModuleType) -> Lay:
    """Puts what a page supposes into a folder; each thing is made once."""
    store = tmp_path_factory.mktemp("laid")
    for name, text in RECIPES.items():
        (store / name).write_text(text)

    @functools.cache
    def make(name: str) -> Path:
        of, command = LAID[name]
        if of:
            make(of)
        console.run(command, store)
        return store / name

    def lay(supposed: str, folder: Path) -> None:
        shutil.copytree(store, folder, ignore=lambda _, names: {*names} - {*RECIPES})
        for thing in supposed.split():
            name, _, source = thing.partition("=")
            made = make(source or name)
            if made.is_dir() and not made.is_symlink():
                shutil.copytree(made, folder / name)
            else:
                shutil.copy(made, folder / name, follow_symlinks=False)

    return lay


@pytest.fixture(autouse=True)
def _a_readers_machine(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No weights, no hub; what can be had again is kept from page to page; stand-ins for SLURM's commands."""
    (tmp_path / "commands").mkdir()
    for name, text in SLURM.items():
        (tmp_path / "commands" / name).write_text(text)
        (tmp_path / "commands" / name).chmod(0o755)
    cache = tmp_path_factory.getbasetemp() / "cache"
    for name, value in {
        "PATH": f"{tmp_path / 'commands'}{os.pathsep}{os.environ['PATH']}",
        "SYNTHFACE_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "JOB_COMPLETION_INDEX": "15",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in pages() if page != ENCODERS])
def test_the_commands_of_a_page_run(
    page: str, console: ModuleType, laid: Lay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    monkeypatch.setenv("HOME", str(folder))
    laid(SUPPOSED.get(page, ""), folder)
    for block in pages()[page]:
        if page != REFERENCE or block.info == "console":
            for command in commands(block):
                console.run(as_here(block, command), folder)


def examples() -> list[object]:
    """Every example of the reference, once."""
    found = {command: block for block in pages()[REFERENCE] if block.info[:2] == "sh" for command in commands(block)}
    return [pytest.param(block, command, id=command) for command, block in found.items()]


@pytest.mark.slow
@pytest.mark.parametrize(("block", "example"), examples())
def test_an_example_of_the_reference_runs(
    block: Block, example: str, console: ModuleType, laid: Lay, tmp_path: Path
) -> None:
    (name,) = re.findall(r"synthface (?:recipe )?([\w-]+)", example)
    laid(EXAMPLES.get(name, ""), tmp_path / "folder")
    console.run(as_here(block, example), tmp_path / "folder")


@pytest.mark.real
@pytest.mark.slow
def test_the_commands_of_the_page_about_encoders_print_what_it_says(
    console: ModuleType, real_data: Path, tmp_path: Path
) -> None:
    """On eight photographs, half of another, and one of several people; but for the speed."""
    from insightface.data import get_image

    photographs = tmp_path / "photographs"
    shutil.copytree(real_data / "tight", photographs)
    half = (photographs / "00.jpg").read_bytes()
    (photographs / "08.jpg").write_bytes(half[: len(half) // 2])
    cv2.imwrite(str(photographs / "09.jpg"), get_image("t1"))
    shutil.copytree(real_data / "models" / "mini", tmp_path / "mini")
    (block,) = pages()[ENCODERS]
    page = f"```console\n{block.text}```"
    ran = console.with_outputs(page, lambda command: console.run(command, tmp_path))
    told, printed = (re.sub(r"^speed .*\n", "", text, flags=re.MULTILINE) for text in (ran, page))
    assert told == printed


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("echo 'synthface: Unexpected KeyError' >&2; exit 1  # exit code 1", "a failure that no code foresaw"),
        ("echo 'Traceback (most recent call last):' >&2", "a failure that no code foresaw"),
        ("echo 'synthface: x: No such file.' >&2; exit 1  # exit code 1: are not here", "not printed: are not here"),
    ],
)
def test_a_command_that_fails_otherwise_than_it_is_to_is_an_error(
    console: ModuleType, tmp_path: Path, command: str, told: str
) -> None:
    with pytest.raises(RuntimeError, match=told):
        console.run(command, tmp_path)
    assert console.run("echo 'the weights are not here'; exit 1  # exit code 1: are not here", tmp_path)


def test_a_refusal_for_want_of_weights_says_its_words() -> None:
    """Exit code 1 alone is also that of a crash."""
    for of_page in pages().values():
        for block in of_page:
            for command in (as_here(block, written) for written in commands(block)):
                assert not command.endswith("# exit code 1"), f"{name_of(block)}: {command}"


def test_every_block_says_what_it_is() -> None:
    """Commands stand in blocks that are run; text in which one begins a line is a synopsis."""
    kinds = {block.info.split(" ")[0] for block in blocks()}
    assert kinds == {"sh", "console", "python", "text", "yaml", "diff"}
    for block in blocks():
        assert re.fullmatch(r"\w+( needs=[\w-]+(,[\w-]+)*)?", block.info), f"{name_of(block)}: {block.info}"
        if block.info == "text":
            lines = re.findall(r"^(?:\$ |synthface |make |pip ).*", block.text, re.MULTILINE)
            assert not lines or SYNOPSIS.search("\n".join(lines)), f"{name_of(block)}: {lines}"


def test_blocks_that_need_what_no_test_has_are_known() -> None:
    found: dict[str, list[str]] = {}
    for block in blocks():
        if needs := block.info.partition("needs=")[2]:
            found.setdefault(name_of(block), []).append(needs)
    assert found == NEEDS


def test_what_is_changed_and_supposed_is_of_some_use() -> None:
    """A row of the tables that fits no page any more goes."""
    changed = dict.fromkeys(AS_HERE, False)
    for of_page in pages().values():
        for block in of_page:
            for command in commands(block):
                for row in changed:
                    alone = as_here(block, command, [row])
                    changed[row] |= alone != as_here(block, command, [])
    assert [row for row, used in changed.items() if not used] == []
    assert set(SUPPOSED) <= set(pages())


def test_the_demonstration_of_make_is_that_of_the_page() -> None:
    """`make demo` runs the three commands that README explains."""
    told = subprocess.run(["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    called = re.findall(r"^\S*/(synthface .*)$", told, re.MULTILINE)
    block = next(block for block in pages()["README.md"] if block.text.startswith("synthface sample-ids\n"))
    assert [re.sub(r" --run run\b", "", command) for command in called] == commands(block)
