"""`synthface export`: a dataset for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from synthface.cli.options import debug_option, emit, json_option
from synthface.dataset.export import FORMATS, export

_FORMS = "".join(f"  {name:<{max(map(len, FORMATS))}}  {form.meaning}\n" for name, form in FORMATS.items())


@click.command(
    "export",
    help="Write a dataset in a form that other tools read. The encoded pictures are copied as they are; labels and the "
    "manifest's values go with them.\n\n"
    f"\b\n{_FORMS}\n"
    "\b\nExamples:\n"
    "  synthface export run/dataset --to folder --out people\n"
    "  synthface export run/dataset --to webdataset --out tars\n"
    "  synthface export faces_emore --to hf --out hub --overwrite",
)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--to", required=True, type=click.Choice(list(FORMATS)), help="The form.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The folder to write.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the order of `dali`.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export of this form.")
@json_option
@debug_option
def command(dataset: Path, to: str, out: Path, seed: int, overwrite: bool, as_json: bool) -> None:
    images = export(dataset, to, out, seed=seed, overwrite=overwrite)
    emit(as_json, {"images": images, "format": to, "path": str(out)}, f"{images:,} images as {to} in {out}")
