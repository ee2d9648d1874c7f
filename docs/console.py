"""Runs the commands of a page's console blocks, and writes what they print below them.

    python docs/console.py docs/tutorial.md --in FOLDER

In a block that begins with ```console, a line `$ COMMAND` is run by bash in FOLDER, which keeps what the commands leave;
the lines below it, up to the next command, are replaced by stdout and stderr, in which FOLDER's own path is ~. A command that is to fail says its code:
`$ COMMAND  # exit code 2`, and words of the refusal where another failure could have that code: `# exit code 1: is not here`.
A command without output keeps none.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from synthface import files

BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
EXPECTED = re.compile(r"\s+# exit code (\d+)(?:: (.+))?$")
CRASHES = ("Traceback", "Unexpected")  # what a failure prints that no code foresaw


def commands(text: str) -> list[str]:
    """The commands of a page in their order."""
    return [match[1] for block in BLOCK.findall(text) for match in COMMAND.finditer(block)]


def run(command: str, folder: Path) -> str:
    """What a command prints.

    Raises RuntimeError when its exit code is another than 0 or the one that it says, when the words that it says are not
    printed, and when what is printed tells of a failure that no code foresaw.
    """
    expected = EXPECTED.search(command)
    code, words = (int(expected[1]), expected[2] or "") if expected else (0, "")
    here = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    told = done.stdout.replace(str(folder.resolve()), "~")
    if done.returncode != code:
        raise RuntimeError(f"exit code {done.returncode} of: {command}\n{told}")
    if words not in told:
        raise RuntimeError(f"not printed: {words}, by: {command}\n{told}")
    if any(crash in told for crash in CRASHES):
        raise RuntimeError(f"a failure that no code foresaw, by: {command}\n{told}")
    return told


def with_outputs(text: str, output: Callable[[str], str]) -> str:
    """The page with `output(command)` below every command."""

    def answered(match: re.Match[str]) -> str:
        told = output(match[1]).rstrip()
        return f"$ {match[1]}\n" + (f"{told}\n" if told else "")

    return BLOCK.sub(lambda block: f"```console\n{COMMAND.sub(answered, block[1])}```", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--in", dest="folder", type=Path, required=True, help="where the commands run")
    given = parser.parse_args()
    files.make_directory(given.folder)

    def output(command: str) -> str:
        print(f"$ {command}", file=sys.stderr, flush=True)
        return run(command, given.folder)

    files.write_text(given.page, with_outputs(given.page.read_text(encoding="utf-8"), output))


if __name__ == "__main__":
    main()
