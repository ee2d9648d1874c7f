"""`synthface pack`: shards or folders of pictures become one dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthface.cli.options import debug_option, emit, json_option, recipe_options, resolve, run_option
from synthface.run import RunDirectory

if TYPE_CHECKING:
    from synthface.dataset import Packed


@click.command(
    "pack",
    help="Pack pictures into a RecordIO dataset that every recogniser's trainer reads.\n\n"
    "FOLDER holds one folder of pictures for each person, or shards of `render`, or somebody's RecordIO dataset. The "
    "encoded pictures are copied as they are; people are numbered 0 … C − 1 without holes.\n\n"
    "\b\nExamples:\n"
    "  synthface pack photographs --out dataset\n"
    "  synthface pack run/shards --out dataset --order shuffled\n"
    "  synthface pack run/shards --out half --max-identities 5000 --max-images 20\n"
    "  synthface pack photographs --out dataset --set pack.extra_center_copies=5",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DATASET", help="The folder to write.")
@click.option(
    "--order",
    type=click.Choice(["identity", "shuffled"]),
    help="Order of the records in the file. Recipe value `pack.order`.",
)
@click.option("--min-images", type=int, help="Leave out people with fewer pictures (pack.min_images).")
@click.option("--max-images", type=int, help="Only so many pictures of each, the first (pack.max_images).")
@click.option("--max-identities", type=int, help="Only so many people, the first (pack.max_identities).")
@click.option("--seed", type=int, help="Decides the shuffled order. Recipe value `seed`.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset that is there already.")
@recipe_options
@run_option
@json_option
@debug_option
def command(
    folder: Path,
    out: Path,
    order: str | None,
    min_images: int | None,
    max_images: int | None,
    max_identities: int | None,
    seed: int | None,
    overwrite: bool,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> None:
    from synthface.dataset import pack
    from synthface.dataset.opening import shards_in

    flags = {
        "pack.order": order,
        "pack.min_images": min_images,
        "pack.max_images": max_images,
        "pack.max_identities": max_identities,
        "seed": seed,
    }
    recipe = resolve(recipe_name, overrides, RunDirectory(run_path), flags)
    packed = pack(shards_in(folder) or [folder], out, recipe.pack, recipe.seed, overwrite=overwrite)
    content: dict[str, Any] = {**vars(packed), "path": str(packed.path)}
    emit(as_json, content, _text(packed))


def _text(packed: Packed) -> str:
    lines = [
        f"{packed.images:,} images of {packed.identities:,} identities in {packed.path}"
        f" ({packed.width} × {packed.height}, {packed.bytes / 1e6:,.1f} MB, order: {packed.order})"
    ]
    if packed.copies:
        lines.append(f"{packed.copies:,} of them are further copies of center images")
    if packed.dropped_identities:
        lines.append(
            f"{packed.dropped_identities:,} identities with too few images were left out ({packed.dropped_images:,} images)"
        )
    if packed.beyond_images:
        lines.append(
            f"{packed.beyond_images:,} images beyond the limits were left out"
            + (f", {packed.beyond_identities:,} whole identities among them" if packed.beyond_identities else "")
        )
    return "\n".join(lines)
