"""`synthface portrait`: one person in, new pictures of that person out."""

from __future__ import annotations

from collections.abc import Sequence
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
from synthface.errors import UsageError
from synthface.run import RunDirectory

if TYPE_CHECKING:
    from synthface.generator.portrait import Portrait, Studio, Subject


@click.command(
    "portrait",
    help="Photograph people anew: each PHOTO is a person, and each row of an embedding file EMB is one.\n\n"
    "Writes PNG files and contact_sheet.png into DIR, and prints how similar each picture is to its input, by the "
    "encoder that the generator reads (another person's picture is near 0).\n\n"
    "\b\nExamples:\n"
    "  synthface portrait me.jpg --n 8 --out portraits --recipe arc2face-0.5m\n"
    "  synthface portrait monday.jpg tuesday.jpg friday.jpg --average --out portraits\n"
    "  synthface portrait --between her.jpg him.jpg --n 7 --out between\n"
    "  synthface portrait person.npz --n 16 --set generator.guidance_scale=2 --out portraits\n"
    "  synthface portrait me.jpg --n 1 --recipe arc2face-0.5m --set generator.controlnet=arc2face-controlnet \\\n"
    "      --control pose.png --out posed",
)
@click.argument("places", nargs=-1, metavar="[PHOTO|EMB]...", type=click.Path(path_type=Path))
@click.option("--n", "count", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures of each person.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where the pictures go.")
@click.option("--average", is_flag=True, help="All inputs show one person: their mean direction.")
@click.option(
    "--between",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="A B",
    help="The way from one person to another in N pictures of one seed.",
)
@click.option("--aligned", is_flag=True, help="The photographs are aligned crops, in which no face is looked for.")
@click.option(
    "--control",
    multiple=True,
    metavar="PICTURE",
    type=click.Path(path_type=Path),
    help="What the ControlNet of generator.controlnet reads, such as a pose: once for all pictures, or N times.",
)
@click.option("--seed", type=int, help="Recipe value `seed`.")
@click.option("--device", help="cpu, cuda or cuda:N. Default: a GPU where there is one.")
@recipe_options
@run_option
@json_option
@debug_option
def command(
    places: tuple[Path, ...],
    count: int,
    out: Path,
    average: bool,
    between: tuple[Path, Path] | None,
    aligned: bool,
    control: tuple[Path, ...],
    seed: int | None,
    device: str | None,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    run_path: Path,
    as_json: bool,
) -> None:
    if bool(places) == bool(between):
        raise UsageError("Portraits need photographs or embeddings.", "Name some, or two of them after --between.")
    if between and (average or count < 2):
        raise UsageError(
            "--between leads from one person to another.", "Leave --average out, and take --n of 2 or more."
        )
    if len(control) not in (0, 1, count):
        raise UsageError(f"{len(control)} control pictures for {count} pictures.", "Give one for all, or one for each.")
    recipe = resolve(recipe_name, overrides, RunDirectory(run_path), {"seed": seed})
    tell_of_demonstration(recipe.generator.model, recipe.encoder.model)

    from synthface import files
    from synthface.generator import portrait

    files.make_directory(out)
    studio = portrait.Studio(recipe, device, control, aligned=aligned)
    subjects = studio.subjects(between or places)
    if between:
        content = _between(studio, subjects, count, out)
    else:
        content = _portraits(studio, [portrait.averaged(subjects)] if average else subjects, count, out)
    emit(as_json, content, _text(content))


def _portraits(studio: Studio, subjects: list[Subject], count: int, out: Path) -> dict[str, Any]:
    from synthface.generator import portrait

    rows, people = [], []
    for number, subject in enumerate(subjects):
        drawn = portrait.portraits(studio, subject, count)
        rows.append((subject, drawn))
        name = subject.name if [s.name for s in subjects].count(subject.name) == 1 else f"{subject.name}-{number}"
        pictures = _written(drawn, out, name)
        for entry, picture in zip(pictures, drawn, strict=True):
            entry["similarity"] = picture.similarity(subject)
        people.append({"name": name, "pictures": pictures, "similarity": _mean([p["similarity"] for p in pictures])})
    return {"people": people, "contact_sheet": _sheet(rows, out)}


def _between(studio: Studio, subjects: list[Subject], count: int, out: Path) -> dict[str, Any]:
    from synthface.generator import portrait

    if len(subjects) != 2:
        raise UsageError(f"--between was given {len(subjects)} people.", "Name two photographs or files of one row.")
    start, end = subjects
    shares, drawn = portrait.between(studio, start, end, count)
    pictures = _written(drawn, out, f"{start.name}-{end.name}")
    for entry, share, picture in zip(pictures, shares, drawn, strict=True):
        entry |= {"share": share, "similarity": [picture.similarity(start), picture.similarity(end)]}
    return {"from": start.name, "to": end.name, "pictures": pictures, "contact_sheet": _sheet([(None, drawn)], out)}


def _written(drawn: list[Portrait], out: Path, name: str) -> list[dict[str, Any]]:
    from synthface.generator.sheets import write_png

    entries: list[dict[str, Any]] = []
    for number, picture in enumerate(drawn):
        path = out / f"{name}-{number:03d}.png"
        write_png(path, picture.picture_HWC)
        entries.append({"file": str(path), "seed": picture.seed})
    return entries


def _sheet(rows: Sequence[tuple[Subject | None, Sequence[Portrait]]], out: Path) -> str:
    from synthface.generator.portrait import contact_sheet
    from synthface.generator.sheets import write_png

    path = out / "contact_sheet.png"
    write_png(path, contact_sheet(rows))
    return str(path)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _text(content: dict[str, Any]) -> str:
    lines: list[str] = []
    if "people" in content:
        for person in content["people"]:
            lines += [f"{entry['file']}   {_said(entry['similarity'])}" for entry in person["pictures"]]
            lines.append(f"{person['name']}: similarity to the input {_said(person['similarity'])} on average")
    else:
        lines.append(f"similarity to {content['from']} and to {content['to']}")
        for entry in content["pictures"]:
            lines.append(f"{entry['file']}   {'   '.join(map(_said, entry['similarity']))}")
    return "\n".join([*lines, content["contact_sheet"]])


def _said(similarity: float | None) -> str:
    return "no face" if similarity is None else f"{similarity:.3f}"
