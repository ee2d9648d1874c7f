"""The contact sheet shows people spread over the dataset, their pictures, labels and similarities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_samples import Pack
from PIL import Image

from synthface.dataset import open_dataset
from synthface.dataset.preview import choose, draw, write_contact_sheet
from synthface.dataset.record_file import open_records
from synthface.errors import UsageError

Run = Callable[..., Any]
LEFT, TOP, ROW, COLUMN, CELL = 32 + 152, 32 + 72, 176, 152, 144


def cell(sheet: Image.Image, row: int, column: int) -> np.ndarray:
    left, top = LEFT + column * COLUMN, TOP + row * ROW
    return np.asarray(sheet.crop((left, top, left + CELL, top + CELL)), np.int64)


def test_every_row_shows_the_pictures_of_one_person(dataset: Pack) -> None:
    data = open_dataset(dataset(people=9, per_id=4))
    people = choose(data, ids=3, per_id=2, labels=())
    assert [person.label for person in people] == [0, 4, 8]
    assert [person.index_K.tolist() for person in people] == [[0, 1], [16, 17], [32, 33]]
    assert [(person.identity, person.images) for person in people] == [(0, 4), (4, 4), (8, 4)]
    sheet = draw(data, people, 2)
    for row, person in enumerate(people):
        for column, index in enumerate(person.index_K.tolist()):
            shown = cell(sheet, row, column)
            picture = np.asarray(Image.fromarray(data.image(index)).resize((CELL, CELL)), np.int64)
            assert np.abs(shown - picture).mean() < 2, (row, column)


def test_labels_may_be_named(dataset: Pack) -> None:
    data = open_dataset(dataset(people=5, per_id=2))
    assert [person.label for person in choose(data, 12, 10, labels=(4, 1))] == [4, 1]
    with pytest.raises(UsageError, match=r"No picture of .* has label 7\. Labels run from 0 to 4"):
        choose(data, 12, 10, labels=(1, 7))


def test_a_broken_picture_leaves_an_empty_place(dataset: Pack, tmp_path: Path) -> None:
    path = dataset(people=2, per_id=2)
    (path / "manifest.parquet").unlink()
    file = open_records(path / "train.rec")
    content = bytearray((path / "train.rec").read_bytes())
    content[int(file.offset_R[1]) + 32 : int(file.offset_R[1]) + 60] = bytes(28)
    (path / "train.rec").write_bytes(content)
    drawn = write_contact_sheet(path, tmp_path / "sheet.png", ids=2, per_id=2)
    empty = cell(Image.open(tmp_path / "sheet.png"), 0, 1)
    assert (empty[:20] == (0xEC, 0xEE, 0xF1)).all()
    assert drawn["labels"] == [0, 1]


def test_the_command_writes_into_the_dataset_or_where_it_is_told(
    synthface: Run, dataset: Pack, golden: Path, tmp_path: Path
) -> None:
    path = dataset(people=3, per_id=2)
    told = synthface("preview", path, "--json").json
    assert Image.open(path / "contact_sheet.png").size == (told["width"], told["height"])
    assert told["labels"] == [0, 1, 2]
    classic = golden / "recordio/classic"
    assert synthface("preview", classic, "--ids", 2, "--out", tmp_path / "classic.png", "--json").json["labels"] == [
        0,
        3,
    ]
    assert synthface("preview", tmp_path / "nothing").code == 1
    assert synthface("preview", path, "--label", 9).code == 2


def test_a_dataset_without_pictures_is_told_as_such(synthface: Run, tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    for name in ("train.rec", "train.idx"):
        (tmp_path / "records" / name).write_bytes(b"")
    (tmp_path / "people/ada").mkdir(parents=True)
    for source in (tmp_path / "records", tmp_path / "people"):
        done = synthface("preview", source)
        assert (done.code, done.out) == (1, "")
        assert f"The dataset {source} holds no pictures to show. Name another" in done.err
        assert not (source / "contact_sheet.png").exists()
