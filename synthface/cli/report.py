"""`synthface report`: one page about a run."""

from __future__ import annotations

from pathlib import Path

import click

from synthface.cli.options import debug_option, emit, json_option, run_argument


@click.command(
    "report",
    help="Write one self-contained HTML page about RUN: what was made and how, its people, rejections, audit, recogniser, "
    "published figures beside it. Rendered from the records in the directory; parts that are missing are named.\n\n"
    "Also brings the dataset's README.md up to date.\n\n"
    "\b\nExamples:\n"
    "  synthface report\n"
    "  synthface report big --out big.html",
)
@run_argument
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Default: report/report.html in RUN.")
@json_option
@debug_option
def command(run_path: Path, out: Path | None, as_json: bool) -> None:
    from synthface.report.card import write_card
    from synthface.report.page import write_report
    from synthface.run import RunDirectory

    content = write_report(run_path, out)
    run = RunDirectory(run_path)
    content["card"] = str(write_card(run, run.dataset)) if run.dataset.is_dir() else None
    missing = "".join(f"\nnot in it: {sentence}" for sentence in content["missing"])
    emit(as_json, content, f"{content['report']} ({content['bytes'] / 1e6:.2f} MB); open it in a browser{missing}")
