"""The contact sheet: one row a person, so that a look tells whether pictures, labels and colours are right."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.dataset.opening import Dataset, open_dataset
from synthface.errors import InputError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_CELL, _GAP, _MARGIN, _CAPTION, _HEAD, _LEFT = 144, 8, 32, 24, 72, 152  # pixels
_PAPER, _INK, _PENCIL, _EMPTY = "#ffffff", "#1d1f23", "#7a808a", "#eceef1"
_LOW, _HIGH = (200, 85, 61), (47, 125, 91)  # of the bar under a picture: similarity 0.2 and below, 0.8 and above


@dataclass(frozen=True)
class Person:
    """A row: label, identity (None where unknown), numbers of the shown pictures, how many there are in all."""

    label: int
    identity: int | None
    index_K: NDArray[np.int64]
    images: int


def write_contact_sheet(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, ids: int, per_id: int, labels: Sequence[int] = ()
) -> dict[str, Any]:
    """Draws the contact sheet of a dataset into the PNG file `out`; gives the labels shown and the picture's size.

    ids: how many people, spread evenly over all; labels: these people instead. Raises InputError for an empty dataset,
    UsageError for labels that are not there.
    """
    dataset = open_dataset(path)
    people = choose(dataset, ids, per_id, labels)
    sheet = draw(dataset, people, per_id)
    content = io.BytesIO()
    sheet.save(content, "png", optimize=True)
    files.write_bytes(out, content.getvalue())
    return {
        "file": os.fspath(out),
        "labels": [person.label for person in people],
        "width": sheet.width,
        "height": sheet.height,
    }


def choose(dataset: Dataset, ids: int, per_id: int, labels: Sequence[int]) -> list[Person]:
    """The people of the sheet, and the first pictures of each."""
    label_N = dataset.labels_N
    if not len(label_N):
        raise InputError(f"The dataset {dataset.path} holds no pictures to show.", "Name another, or pack some first.")
    order_N = np.argsort(label_N, kind="stable")
    present_C, begin_C, count_C = np.unique(label_N[order_N], return_index=True, return_counts=True)
    if labels:
        if missing := sorted(set(labels) - set(present_C.tolist())):
            raise UsageError(
                f"No picture of {dataset.path} has label {missing[0]}.", f"Labels run from {present_C[0]} to {present_C[-1]}."
            )  # fmt: skip
        chosen = np.searchsorted(present_C, np.array(labels))
    else:
        chosen = np.unique(np.linspace(0, len(present_C) - 1, min(ids, len(present_C))).round().astype(np.int64))
    table = dataset.manifest(["identity"])
    identity_N = None if table is None else table["identity"].to_numpy()
    people = []
    for place in chosen.tolist():
        index_K = order_N[begin_C[place] : begin_C[place] + min(count_C[place], per_id)]
        identity = None if identity_N is None else int(identity_N[index_K[0]])
        people.append(Person(int(present_C[place]), identity, index_K, int(count_C[place])))
    return people


def draw(dataset: Dataset, people: Sequence[Person], per_id: int) -> Image:
    """The sheet as a picture."""
    from PIL import Image, ImageDraw

    columns = max(len(person.index_K) for person in people)
    row = _CELL + _CAPTION + _GAP
    size = (2 * _MARGIN + _LEFT + columns * (_CELL + _GAP) - _GAP, 2 * _MARGIN + _HEAD + len(people) * row - _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    similarity_N2 = _similarities(dataset)
    _write_head(pen, dataset, people, similarity_N2 is not None)
    for number, person in enumerate(people):
        top = _MARGIN + _HEAD + number * row
        _write_person(pen, person, top, similarity_N2)
        for column, index in enumerate(person.index_K.tolist()):
            left = _MARGIN + _LEFT + column * (_CELL + _GAP)
            sheet.paste(_cell(dataset, index), (left, top))
            _write_caption(pen, dataset, index, left, top + _CELL, similarity_N2)
    return sheet


def _similarities(dataset: Dataset) -> NDArray[np.float32] | None:
    """(N, 2) similarity to the center and to the reference, NaN where unknown; None where nothing is known."""
    table = dataset.manifest(["center_similarity", "reference_similarity"])
    if table is None:
        return None
    columns = [column.to_numpy().astype(np.float32) for column in table.columns]
    similarity_N2 = np.stack(columns, axis=1)
    return similarity_N2 if np.isfinite(similarity_N2).any() else None


def _cell(dataset: Dataset, index: int) -> Image:
    """One picture, fitted into a square; an empty one where it does not decode."""
    from PIL import Image, ImageDraw

    cell = Image.new("RGB", (_CELL, _CELL), _EMPTY)
    try:
        picture = Image.fromarray(dataset.image(index))
    except InputError:
        ImageDraw.Draw(cell).text((_CELL // 2, _CELL // 2), "does not decode", _PENCIL, _font(14), anchor="mm")
        return cell
    scale = _CELL / max(picture.size)
    fitted = picture.resize(
        (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)), Image.Resampling.LANCZOS
    )
    cell.paste(fitted, ((_CELL - fitted.width) // 2, (_CELL - fitted.height) // 2))
    return cell


def _write_head(pen: ImageDraw, dataset: Dataset, people: Sequence[Person], similarities: bool) -> None:
    name = Path(os.path.abspath(dataset.path)).name
    pen.text((_MARGIN, _MARGIN), name, _INK, _font(26))
    facts = [f"{len(dataset):,} images of {len(np.unique(dataset.labels_N)):,} identities"]
    if len(people) < len(np.unique(dataset.labels_N)):
        facts.append(f"{len(people)} of them shown")
    facts.append(
        "below each picture: similarity to the center, and to the reference"
        if similarities
        else "below each picture: its key"
    )
    pen.text((_MARGIN, _MARGIN + 36), "   |   ".join(facts), _PENCIL, _font(15))


def _write_person(pen: ImageDraw, person: Person, top: int, similarity_N2: NDArray[np.float32] | None) -> None:
    pen.text((_MARGIN, top + 4), f"label {person.label}", _INK, _font(20))
    lines = [] if person.identity is None else [f"identity {person.identity}"]
    lines.append(f"{person.images:,} image{'s' * (person.images != 1)}")
    if similarity_N2 is not None:
        shown = similarity_N2[person.index_K, 0]
        if np.isfinite(shown).any():
            lines.append(f"mean {np.nanmean(shown):.2f}")
    for number, line in enumerate(lines):
        pen.text((_MARGIN, top + 36 + 22 * number), line, _PENCIL, _font(15))


def _write_caption(
    pen: ImageDraw, dataset: Dataset, index: int, left: int, top: int, similarity_N2: NDArray[np.float32] | None
) -> None:
    if similarity_N2 is None:
        pen.text((left, top + 4), f"{dataset.key_N[index]}", _PENCIL, _font(14))
        return
    center, reference = similarity_N2[index].tolist()
    if np.isfinite(center):
        share = min(max((center - 0.2) / 0.6, 0.0), 1.0)
        color = tuple(round(low + share * (high - low)) for low, high in zip(_LOW, _HIGH, strict=True))
        pen.rectangle((left, top, left + round(max(center, 0.0) * _CELL), top + 3), fill=color)
        pen.text((left, top + 6), f"{center:.2f}", _INK, _font(14))
    if np.isfinite(reference):
        pen.text((left + _CELL, top + 6), f"{reference:.2f}", _PENCIL, _font(14), anchor="ra")


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
