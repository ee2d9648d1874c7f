"""`synthface audit`: how good is this dataset, and does it show anybody?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synthface.cli.options import (
    debug_option,
    emit,
    json_option,
    recipe_options,
    resolve,
    run_option,
    tell_of_demonstration,
)
from synthface.run import RunDirectory


@click.command(
    "audit",
    help="Measure DATASET by the recipe's verifier: uniqueness, consistency, diversity, separability (EER, FMR100, FMR1000, "
    "FDR, d′), label noise, leakage of real people, pose, light and skin tone.\n\n"
    "DATASET is a RecordIO folder, a folder of class folders, or an embedding file with labels; without one, the run's "
    "dataset. Pictures are embedded once; interrupted, the same command goes on. Writes audit.json, audit.md and figures.\n\n"
    "Exit code 1: pictures are too near to a reference (audit.max_leakage_p99, audit.max_leakage_share), or an embedding file "
    "does not tell its encoder, so that this cannot be decided.\n\n"
    "\b\nExamples:\n"
    "  synthface audit\n"
    "  synthface audit run/dataset --reference casia/ --networks\n"
    "  synthface audit faces_emore --encoder verifier.onnx --out emore-audit\n"
    "  synthface audit run/dataset --demographics people.csv --json",
)
@click.argument("dataset", required=False, type=click.Path(path_type=Path))
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="EMB|PICTURES",
    type=click.Path(path_type=Path),
    help="Real people to compare with: embeddings by the same encoder, or pictures (repeatable).",
)
@click.option(
    "--same-people",
    is_flag=True,
    help="The references show the people of the dataset, rendered from their embeddings: likeness is wanted (D_intra).",
)
@click.option("--encoder", metavar="NAME|FILE", help="Who judges. Default: the recipe value `encoder.verifier`.")
@click.option(
    "--demographics",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="CSV or parquet with a column `label` (or names of class folders in it) or `identity`, and groups or numbers in the "
    "others.",
)
@click.option(
    "--networks",
    is_flag=True,
    help="LPIPS, and FID against --reference pictures, too; with --same-people D_intra by Inception (extra `metrics`).",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: report/ of the dataset's run.")
@click.option("--device", help="cpu, cuda or cuda:N. Default: a GPU where there is one.")
@recipe_options
@run_option
@json_option
@debug_option
def command(
    dataset: Path | None,
    references: tuple[Path, ...],
    same_people: bool,
    encoder: str | None,
    demographics: Path | None,
    networks: bool,
    out: Path | None,
    device: str | None,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> int:
    from synthface.report import auditing
    from synthface.report.card import write_card

    dataset = dataset or RunDirectory(run_path).made_dataset()
    run = RunDirectory(dataset.parent) if _is_of_a_run(dataset) else RunDirectory(run_path)
    recipe = resolve(recipe_name, overrides, run)
    tell_of_demonstration(encoder or recipe.encoder.verifier or recipe.encoder.model)
    own = dataset.resolve() == run.dataset.resolve()
    place = out or (run.report if own else Path(f"{dataset.stem}-audit"))
    wish = auditing.Wish(references, same_people, encoder, demographics, networks, device)
    content = auditing.audit(dataset, recipe, place, wish)
    if own and out is None:
        write_card(run, dataset)
    emit(as_json, {**content, "report": str(place)}, _text(content, place))
    return 0 if auditing.passed(content) else 1


def _is_of_a_run(dataset: Path) -> bool:
    return RunDirectory(dataset.parent).record_file.exists()


def _text(content: dict[str, Any], place: Path) -> str:
    from synthface.report import tables

    lines = tables.lines(content)
    width = max(len(line.name) for line in lines)
    value = max(len(line.value) for line in lines)
    judged = tables.judge(content)
    head = (
        f"{content['dataset']}: {content['images']:,} pictures of {content['identities']:,} people, judged by {judged}"
    )
    if content["encoder"]["independent"] is False:
        head += " (it also conditioned the pictures: the figures flatter)"
    told = [f"{line.name:<{width}}  {line.value:>{value}}  {line.meaning}" for line in lines]
    return "\n".join([head, *told, f"{place}: {', '.join(['audit.json', 'audit.md', *content['figures']])}"])
