"""`synthface embed`: photographs, folders and datasets in, an embedding file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from synthface.encoder.embedding import Result


@click.command(
    "embed",
    help="Embed the faces in IMAGES...: photographs, folders of them, folders of class folders (one a person), and "
    "RecordIO datasets, whose aligned crops are embedded as they are.\n\n"
    "A face that fills its picture is searched again with the margins of encoder.padding. Pictures without a face and "
    "damaged ones are counted and listed. The same command goes on after an interruption.\n\n"
    "\b\nExamples:\n"
    "  synthface embed casia/ --recipe arc2face-0.5m --out casia.npz\n"
    "  synthface embed faces_webface_112x112 --encoder arcface --out webface.safetensors\n"
    "  synthface embed a.jpg b.jpg --encoder arcface --detector scrfd --average --out person.npz",
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file: .npz, .safetensors or .npy.")
@click.option("--average", is_flag=True, help="One vector a person: class folder, dataset label, or argument.")
@click.option("--encoder", metavar="NAME|FILE", help="The recogniser. Recipe value `encoder.model`.")
@click.option("--detector", metavar="NAME|FILE", help="The face detector. Recipe value `encoder.detector`.")
@click.option("--aligned", is_flag=True, help="The pictures are aligned crops: no detection (encoder.detector=null).")
@click.option("--device", help="cpu, cuda or cuda:N. Default: a GPU where there is one.")
@recipe_options
@run_option
@json_option
@debug_option
def command(
    images: tuple[Path, ...],
    out: Path,
    average: bool,
    encoder: str | None,
    detector: str | None,
    aligned: bool,
    device: str | None,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> None:
    from synthface.encoder.embedding import embed
    from synthface.errors import UsageError

    if aligned and detector:
        raise UsageError("--aligned asks for no detection, and --detector names one.", "Give one of the two.")
    flags = {"encoder.model": encoder, "encoder.detector": detector}
    recipe = resolve(recipe_name, overrides, RunDirectory(run_path), flags).encoder
    tell_of_demonstration(recipe.model)
    if aligned:
        recipe = recipe.model_copy(update={"detector": None})
    result = embed(images, out, recipe, device=device, one_a_person=average)
    content = _content(out, result)
    emit(as_json, content, _text(content))


def _content(out: Path, result: Result) -> dict[str, Any]:
    facts, task = result.facts, result.facts["task"]
    found = sum(facts["padding"].values())
    padded = found - facts["padding"].get("0", 0)
    return {
        "file": str(out),
        "embeddings": facts["embeddings"],
        "dimension": facts["dimension"],
        "people": facts["people"],
        "one_a_person": facts["one_a_person"],
        "pictures": task["pictures"],
        "skipped": facts["skipped"],
        "passed_over": facts["passed_over"],
        "padding": facts["padding"],
        "padded_share": padded / found if found else None,
        "several_faces": facts["several"],
        "encoder": {"name": task["encoder"], "sha256": task["encoder_sha256"]},
        "detector": task["detector"],
        "images_per_second": result.pictures / result.seconds if result.pictures else None,
    }


def _text(content: dict[str, Any]) -> str:
    people = "" if content["people"] is None else f" of {_counted(content['people'], 'person', 'people')}"
    pictures = content["pictures"]
    lines = [
        f"{content['file']}: {_counted(content['embeddings'], 'embedding')}{people}, dimension {content['dimension']}, "
        f"from {_counted(pictures, 'picture')}"
    ]
    for reason, count in content["skipped"].items():
        lines.append(f"skipped     {count:,} ({count / pictures:.2%}): {reason}")
    for reason, count in content["passed_over"].items():
        lines.append(f"not looked at   {count:,}: {reason}")
    if content["padded_share"] is not None:
        margins = "".join(f", {count:,} with {margin}" for margin, count in content["padding"].items() if margin != "0")
        lines.append(f"padded      {content['padded_share']:.2%} of the faces were found with a margin{margins}")
        lines.append(f"several     {_counted(content['several_faces'], 'picture')} with more than one face")
    if content["images_per_second"] is not None:
        lines.append(f"speed       {content['images_per_second']:,.1f} images/s")
    return "\n".join(lines)


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
