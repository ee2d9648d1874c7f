"""`synthface status`: how far a rendering is."""

from __future__ import annotations

from pathlib import Path

import click

from synthface.cli.options import debug_option, emit, json_option, run_argument
from synthface.run import RunDirectory


@click.command(
    "status",
    help="How far a rendering is: images, speed, time left, rejections by reason, who is at work, and the failed shards "
    "with their tracebacks. Reads files only; works from any machine that sees the run directory.\n\n"
    "\b\nExamples:\n  synthface status\n  synthface status /shared/big --json",
)
@run_argument
@json_option
@debug_option
def command(run_path: Path, as_json: bool) -> None:
    from synthface.render.status import status, text

    content = status(RunDirectory(run_path))
    emit(as_json, content, text(content))
