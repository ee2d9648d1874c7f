"""Writes the generated parts of docs/cli.md and docs/recipe.md from the commands and the recipe schema themselves.

What stands above the marker in a page is written by hand and stays. `make docs` runs this; a test compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from synthface import files
from synthface.cli import COMMANDS, cli
from synthface.recipe import reference

MARKER = "<!-- From here on written by docs/reference.py: change the source and run `make docs`. -->"
_EVERYWHERE = {  # by the parameter's name: another option may be spelt the same
    "recipe_name": "`--recipe NAME\\|FILE`",
    "overrides": "`--set KEY=VALUE`",
    "run_path": "`--run DIR`",
    "as_json": "`--json`",
    "debug": "`--debug`",
}
# what a block of examples needs beyond the package → how it tells
_NEEDS = {
    "the-weights": r"models (pull|verify arc2face)|--networks|--(encoder|detector) (arcface|scrfd)|--recipe (arc2face|train-arc2face)",
    "gpus": r"\bcuda:|torchrun|--recipe casia-control",
    "a-cluster": r"--launcher (ray|slurm)",
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """All commands with their full names, in the order of the data's way."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", part) for inner, part in command.commands.items())


def command_reference() -> str:
    """A section a command: usage, what it does, arguments' options, examples."""
    return "\n\n".join(_command(name, command) for name, command in commands()) + "\n"


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"synthface {name}")
    usage = " ".join([f"synthface {name}", *command.collect_usage_pieces(context)])
    text, examples = _help(command)
    parts = [f"## {name}" if " " not in name else f"### {name}", text, f"```text\n{usage}\n```"]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    own = [option for option in options if option.name not in _EVERYWHERE]
    if own:
        rows = [f"| {_names(option, context)} | {_meaning(option, context)} |" for option in own]
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]))
    shared = [_EVERYWHERE[option.name] for option in options if option.name in _EVERYWHERE]
    if shared:
        parts.append(f"Also {', '.join(shared)}.")
    needs = ",".join(need for need, told in _NEEDS.items() if re.search(told, examples))
    return "\n\n".join([*parts, f"```sh{needs and f' needs={needs}'}\n{examples}\n```"])


def _help(command: click.Command) -> tuple[str, str]:
    """The help's paragraphs, and its examples without their indentation."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\n\n\b\nExample")
    lines = [line.removeprefix("  ") for line in examples.splitlines()[1:]]
    return text.replace("\b\n", ""), "\n".join(lines)


def _names(option: click.Option, context: click.Context) -> str:
    shown = "/".join([*option.opts, *option.secondary_opts])
    value = "" if option.is_flag else f" {option.make_metavar(context)}"
    return f"`{shown}{value}`".replace("|", "\\|")


def _meaning(option: click.Option, context: click.Context) -> str:
    parts = [option.help or ""]
    if option.multiple and "repeat" not in parts[0]:
        parts.append("Repeatable.")
    if option.show_default and not option.is_flag:
        parts.append(f"Default: `{option.default}`.")
    if option.required:
        parts.append("Required.")
    return " ".join(parts).replace("|", "\\|")


def recipe_reference() -> str:
    """A table a section of the schema."""
    return "\n\n".join(_section(section) for section in reference.sections()) + "\n"


def _section(section: reference.Section) -> str:
    rows = [
        f"| `{key.path.removeprefix(section.path).lstrip('.')}`{'' if key.decisive else ' °'} | {_cell(key.kind)} | "
        f"{_default(key.default)} | {_cell(key.meaning)} |"
        for key in section.keys
    ]
    head = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {section.path or 'The top'}", "", section.meaning, "", *head, *rows])


def _default(text: str) -> str:
    return text if text == "required" else f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


PAGES: dict[str, Callable[[], str]] = {"cli.md": command_reference, "recipe.md": recipe_reference}


def page(name: str) -> str:
    """The whole page: its hand-written part, as it stands in the file, and the generated one."""
    head, marker, _ = (Path(__file__).parent / name).read_text(encoding="utf-8").partition(MARKER)
    if not marker:
        raise SystemExit(f"docs/{name} lacks the line that begins its generated part:\n{MARKER}")
    return f"{head}{MARKER}\n\n{PAGES[name]()}"


if __name__ == "__main__":
    for name in PAGES:
        files.write_text(Path(__file__).parent / name, page(name))
