"""`synthface export`: a dataset for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from synthface.cli.options import debug_option, emit, json_option

FORMATS = ("folder", "webdataset", "dali", "lmdb", "hf")


@click.command(
    "export",
    help="Write a dataset in a form that other tools read. The encoded pictures are copied as they are; labels and the "
    "manifest's values go with them.\n\n"
    "\b\n"
    "  folder      class folders LABEL/KEY.jpg\n"
    "  webdataset  tar files of KEY.jpg, KEY.cls, KEY.json\n"
    "  dali        RecordIO without header records, shuffled, keys from 0\n"
    "  lmdb        one LMDB file of [picture, label], as Vec2Face trains from\n"
    "  hf          parquet files that datasets.load_dataset opens\n\n"
    "\b\nExamples:\n"
    "  synthface export run/dataset --to folder --out people\n"
    "  synthface export run/dataset --to webdataset --out tars\n"
    "  synthface export faces_emore --to hf --out hub --overwrite",
)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--to", required=True, type=click.Choice(FORMATS), help="The form.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The folder to write.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the order of `dali`.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export of this form.")
@json_option
@debug_option
def command(dataset: Path, to: str, out: Path, seed: int, overwrite: bool, as_json: bool) -> None:
    from synthface.dataset.export import export

    images = export(dataset, to, out, seed=seed, overwrite=overwrite)
    emit(as_json, {"images": images, "format": to, "path": str(out)}, f"{images:,} images as {to} in {out}")
