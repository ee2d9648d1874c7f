"""The documentation and the program say the same: commands, options, keys, recipes, links, pictures, Python, figures' files.

A page's Python runs here, one block after the other in an empty folder, unless its fence says ```python needs=…, or
PYTHON_ELSEWHERE names the test that prepares what it needs.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import click
import pytest

from synthface import recipe as recipes
from synthface.cli import COMMANDS, cli
from synthface.errors import RecipeError

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON_ELSEWHERE = {
    "dataset.md": "tests/dataset/test_dataset_page.py",
    "parametric.md": "tests/parametric/test_documentation.py",
    "python.md": "tests/base/test_python.py",
}
# words of a synopsis: NAME, [--option], a|b, IMAGES..., …
SYNOPSIS = re.compile(r"(?:^|[\s=])(?!EMB\b)[A-Z][A-Z_]+\b|\[|\||\.\.\.|…")


class Block(NamedTuple):
    """A fenced block: the page, what stands behind the fence, the text."""

    page: Path
    info: str
    text: str


def blocks() -> list[Block]:
    return [
        Block(page, info.strip(), text)
        for page in PAGES
        for info, text in re.findall(r"^```([^\n]*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def reference(docs_script: Callable[[str], ModuleType]) -> ModuleType:
    return docs_script("reference")


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
    """Relative targets of links and pictures, with their anchors."""
    found = []
    for page in PAGES:
        prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        targets = [*re.findall(r"\]\(([^)\s]+)[^)]*\)", prose), *re.findall(r'(?:src|srcset|href)="([^"]+)"', prose)]
        found += [(page, target) for target in targets if not re.match(r"[a-z]+:", target)]
    return found


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have on the web."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere() -> None:
    found = links()
    assert len(found) > 10
    broken = []
    for page, target in found:
        path, _, anchor = target.partition("#")
        place = (page.parent / path) if path else page
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
            broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


def written_commands() -> Iterator[tuple[str, str, bool]]:
    """Every call of the program in a block, a recipe's head, or code within a sentence: (where, its words, is it whole)."""
    sources = [(block.page.name, block.text) for block in blocks() if not block.info.startswith(("python", "yaml"))]
    sources += [(path.name, path.read_text(encoding="utf-8")) for path in recipes.available().values()]
    for where, text in sources:
        for line in re.sub(r"\\\n(?:# *)?", " ", text).splitlines():
            command = r"^(?:# {0,4})?\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:nohup |exec |torchrun .* -- )?(synthface [a-z].*)$"
            if called := re.match(command, line):
                yield from ((where, part, True) for part in _parts(called[1]))
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        yield from (
            (page.name, " ".join(code.split()), False) for code in re.findall(r"`(synthface [a-z][^`]*)`", prose)
        )


def _parts(line: str) -> list[str]:
    """The calls of the program in one line of a shell."""
    line = re.sub(r"\$\(\(.*?\)\)|\$\{.*?\}|\$[A-Za-z_]+", "1", re.split(r"\s#", line)[0])
    pieces = re.split(r"\s(?:&&|\|\||\||;|&)(?:\s|$)|\s[0-9&]?>\S*", line)
    return [piece.strip() for piece in pieces if piece.strip().startswith("synthface ")]


def command_of(words: list[str]) -> tuple[click.Command | None, list[str], click.Context]:
    """The command that words name, what is left of them, and the context of its group."""
    context = click.Context(cli, info_name="synthface")
    command = cli.get_command(context, words[0])
    rest = words[1:]
    if isinstance(command, click.Group) and rest and rest[0].islower():
        context = click.Context(command, info_name=words[0], parent=context)
        return command.commands.get(rest[0]), rest[1:], context
    return command, rest, context


def test_commands_in_the_documentation_can_be_meant() -> None:
    """Each is parsed by the program without being run, its recipe is loaded with its values; of a synopsis, its options."""
    found, wrong = sorted(set(written_commands())), []
    assert len(found) > 60
    for where, line, whole in found:
        synopsis = bool(SYNOPSIS.search(re.sub(r"'[^']*'|\"[^\"]*\"", "''", line)))
        words = shlex.split(re.sub(r"[\[\]|…]", " ", line) if synopsis else line)[1:]
        command, rest, context = command_of(words)
        if command is None:
            wrong.append(f"{where}: there is no command in '{line}'")
        elif synopsis or not whole:
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
            used = {word.split("=")[0] for word in rest if word.startswith("--")}
            wrong += [f"{where}: {option} in '{line}'" for option in sorted(used - known)]
        else:
            wrong += [f"{where}: '{line}': {told}" for told in refusals(command, rest, context)]
    assert not wrong, "\n".join(wrong)


def refusals(command: click.Command, words: list[str], parent: click.Context) -> Iterator[str]:
    try:
        given = command.make_context(command.name, list(words), parent=parent).params
        name = given.get("recipe_name")
        if name is None or ("/" not in name and not name.endswith(".yaml")):
            recipes.load(name or recipes.DEFAULT, dict(map(recipes.parse_override, given.get("overrides") or ())))
    except click.exceptions.Exit:
        pass
    except click.ClickException as error:
        yield error.format_message()
    except RecipeError as error:
        yield str(error)


def test_keys_that_the_documentation_sets_exist() -> None:
    known = set(recipes.known_keys())
    wrong = []
    for page in [*PAGES, *recipes.available().values()]:
        for key in re.findall(r"--set '?([a-z_]+(?:\.[a-z_]+)+)=", page.read_text(encoding="utf-8")):
            if key not in known:
                wrong.append(f"{page.name}: {key}")
    assert not wrong


def test_recipes_that_the_documentation_names_exist() -> None:
    known = recipes.available()
    named = [
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"--recipe[ =]([a-z0-9][\w.-]*\w)", page.read_text(encoding="utf-8"))
        if not name.endswith((".yaml", ".yml"))
    ]
    assert named
    assert not [f"{page}: {name}" for page, name in named if name not in known]


def test_targets_of_make_that_the_documentation_names_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    wrong = []
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"(?:^\$ |^|`)make ([a-z][a-z-]*)(?=[` \n])", text, re.MULTILINE)
        fenced = "\n".join(re.findall(r"^```[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
        prose = set(re.findall(r"`make ([a-z][a-z-]*)", text)) | {
            n for n in named if re.search(rf"\bmake {n}\b", fenced)
        }
        wrong += [f"{page.name}: make {name}" for name in sorted(prose - targets)]
    assert not wrong


def test_figures_stand_in_a_file_and_have_a_script_that_measures_them() -> None:
    named = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named += [(page.name, name) for name in re.findall(r"\bbenchmarks/(?:results/)?[\w-]+\.(?:json|py)\b", text)]
    assert named
    assert not sorted({f"{page}: {name}" for page, name in named if not (ROOT / name).exists()})


def python_pages() -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for block in blocks():
        if block.info.split(" ")[0] == "python":
            found.setdefault(str(block.page.relative_to(ROOT)), []).append(block)
    return found


@pytest.mark.parametrize("name", python_pages())
def test_python_in_the_documentation_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    elsewhere = PYTHON_ELSEWHERE.get(Path(name).name)
    assert elsewhere is None or (ROOT / elsewhere).exists()
    for block in python_pages()[name]:
        tree = ast.parse(block.text, name)
        if elsewhere is not None:
            continue
        if block.info != "python":  # it needs what is not here; what it imports is
            assert re.fullmatch(r"python needs=\S+", block.info)
            tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(tree, name, "exec"), names)
