"""Batches are a pure function of the step; damaged pictures are replaced, counted, and in the end too many."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from small_world import write_people

from fr_train.data.loader import Batch, Loader, ahead
from fr_train.data.sources import open_sources
from synthface.dataset import pack
from synthface.errors import InputError, UsageError
from synthface.recipe.pictures import PackRecipe
from synthface.recipe.recognition import AugmentRecipe

AUGMENT = AugmentRecipe(flip=0.5, crop=0.5, low_resolution=0.5, photometric=0.5)
PLAIN = AugmentRecipe(flip=0.0, crop=0.0, low_resolution=0.0, photometric=0.0)


def loader(path: Path, batch_size: int = 10, **settings: object) -> Loader:
    return Loader(open_sources([path]), AUGMENT, **{"seed": 3, "batch_size": batch_size, **settings})  # type: ignore[arg-type]


def same(one: Batch, other: Batch) -> bool:
    pairs = ((one.image_BHWC, other.image_BHWC), (one.label_B, other.label_B), (one.index_B, other.index_B))
    return all(np.array_equal(a, b) for a, b in pairs)


def test_batches_do_not_depend_on_the_number_of_workers_nor_on_where_one_starts(people: Path) -> None:
    alone = list(loader(people, workers=0).batches(0, 9))
    for workers in (1, 3):
        for mine, theirs in zip(loader(people, workers=workers).batches(0, 9), alone, strict=True):
            assert same(mine, theirs)
    for mine, theirs in zip(loader(people, workers=2).batches(5, 9), alone[5:], strict=True):
        assert same(mine, theirs)


def test_the_same_folder_packed_twice_gives_the_same_batches(people: Path, records: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(people, tmp_path / "copied")
    pack([copied], tmp_path / "again", PackRecipe(), seed=0)
    assert same(loader(records).batch(4), loader(tmp_path / "again").batch(4))
    (copied / "0000" / "3.jpg").write_bytes((copied / "0000" / "2.jpg").read_bytes())
    pack([copied], tmp_path / "otherwise", PackRecipe(), seed=0)
    assert not all(same(loader(records).batch(step), loader(tmp_path / "otherwise").batch(step)) for step in range(4))


def test_processes_share_every_batch(people: Path) -> None:
    whole = loader(people).batch(6)
    parts = [loader(people, rank=rank, world=2).batch(6) for rank in (0, 1)]
    assert np.array_equal(np.concatenate([part.image_BHWC for part in parts]), whole.image_BHWC)
    assert np.array_equal(np.concatenate([part.label_B for part in parts]), whole.label_B)


def test_an_epoch_shows_a_picture_at_most_once_and_the_next_one_in_another_order(people: Path) -> None:
    batches = loader(people, batch_size=12)
    assert batches.steps_per_epoch == 4
    first, second = (np.concatenate([batches.batch(4 * epoch + step).index_B for step in range(4)]) for epoch in (0, 1))
    assert np.array_equal(np.sort(first), np.arange(48))
    assert np.array_equal(np.sort(second), np.arange(48))
    assert not np.array_equal(first, second)


def test_labels_are_the_pictures_own(people: Path) -> None:
    sources = open_sources([people])
    batch = Loader(sources, PLAIN, seed=0, batch_size=48).batch(0)
    for image_HWC, label, index in zip(batch.image_BHWC, batch.label_B, batch.index_B, strict=True):
        assert sources.key(int(index)).split("/")[-2] == f"{label:04d}"
        from fr_train.data.decode import decode_into

        expected = np.empty_like(image_HWC)
        decode_into(sources.payloads(np.array([index]))[0], expected)
        assert np.array_equal(image_HWC, expected)


def test_a_batch_larger_than_the_data_or_not_shareable_is_refused(people: Path) -> None:
    with pytest.raises(UsageError, match="A batch of 50 is larger than the data, which has 48 pictures"):
        loader(people, batch_size=50)
    with pytest.raises(UsageError, match="cannot be shared equally by 3 processes"):
        loader(people, batch_size=10, world=3)


def test_a_damaged_picture_is_replaced_by_the_same_other_one_every_time(tmp_path: Path) -> None:
    folder = write_people(tmp_path, 4, 5)
    (folder / "0001" / "2.jpg").write_bytes(b"\xff\xd8\xff damaged")
    damaged = next(i for i in range(20) if open_sources([folder]).key(i).endswith("0001/2.jpg"))
    seen = []
    for workers in (0, 2):
        batches = list(loader(folder, batch_size=4, workers=workers).batches(0, 5))
        (batch,) = [batch for batch in batches if batch.corrupt]
        assert batch.corrupt == (damaged,)
        assert damaged not in batch.index_B
        seen.append(batch)
    assert same(*seen)


def test_data_without_a_single_sound_picture_is_a_sentence(tmp_path: Path) -> None:
    for person in ("a", "b"):
        (tmp_path / person).mkdir()
        for photo in range(10):
            (tmp_path / person / f"{photo}.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match="17 pictures in a row cannot be decoded"):
        loader(tmp_path, batch_size=4).batch(0)


def test_threads_work_ahead_but_not_far() -> None:
    made: list[int] = []
    lock = threading.Lock()

    def make(step: int) -> int:
        with lock:
            made.append(step)
        return step

    results = ahead(make, range(100), workers=2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert max(made) <= 4 + 2 * 2 + 1
    results.close()
    assert threading.active_count() < 20


def test_an_error_in_a_worker_reaches_the_trainer() -> None:
    def make(step: int) -> int:
        if step == 3:
            raise InputError("Picture 3 is lost.")
        return step

    with pytest.raises(InputError, match="Picture 3 is lost"):
        list(ahead(make, range(9), workers=2))
