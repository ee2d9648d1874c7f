"""`synthface preview`: a contact sheet."""

from __future__ import annotations

from pathlib import Path

import click

from synthface.cli.options import debug_option, emit, json_option


@click.command(
    "preview",
    help="Draw a contact sheet of a dataset: one row a person, with label and similarities.\n\n"
    "\b\nExamples:\n"
    "  synthface preview run/dataset\n"
    "  synthface preview faces_emore --ids 20 --per-id 8 --out emore.png\n"
    "  synthface preview run/dataset --label 17 --label 403 --out these.png",
)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--ids", type=click.IntRange(min=1), default=12, show_default=True, help="People, spread over all labels."
)
@click.option("--per-id", type=click.IntRange(min=1), default=10, show_default=True, help="Pictures of each.")
@click.option("--label", "labels", type=int, multiple=True, metavar="N", help="This person instead (repeatable).")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.png", help="Default: contact_sheet.png in the dataset."
)
@json_option
@debug_option
def command(dataset: Path, ids: int, per_id: int, labels: tuple[int, ...], out: Path | None, as_json: bool) -> None:
    from synthface.dataset.preview import write_contact_sheet

    folder = dataset.parent if dataset.is_file() else dataset
    drawn = write_contact_sheet(dataset, out or folder / "contact_sheet.png", ids=ids, per_id=per_id, labels=labels)
    emit(as_json, drawn, f"{len(drawn['labels'])} people on {drawn['file']} ({drawn['width']} × {drawn['height']})")
