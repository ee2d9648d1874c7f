"""Training data from RecordIO and class folders, alone, joined and mixed; and data that cannot be meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import face, jpeg, write_people

from fr_train.data.decode import decode_into
from fr_train.data.sampling import epoch_order, shares
from fr_train.data.sources import open_sources
from synthface.errors import InputError, UsageError


def content(path: Path) -> set[tuple[int, bytes]]:
    sources = open_sources([path])
    payloads = sources.payloads(np.arange(len(sources)))
    return {(int(label), bytes(payload)) for label, payload in zip(sources.labels_N, payloads, strict=True)}


def test_recordio_and_class_folders_of_the_same_people_are_the_same_data(people: Path, records: Path) -> None:
    assert content(records) == content(people)
    sources = open_sources([records])
    assert (len(sources), sources.num_classes) == (48, 6)


def test_datasets_of_insightfaces_tools_are_read(golden: Path) -> None:
    sources = open_sources([golden / "recordio" / "classic"])
    assert sources.num_classes == len(np.unique(sources.labels_N)) > 1
    image_HWC = np.empty((112, 112, 3), np.uint8)
    for payload in sources.payloads(np.arange(len(sources))):
        decode_into(payload, image_HWC)


def test_joined_sources_number_pictures_and_labels_one_after_another(people: Path, tmp_path: Path) -> None:
    more = write_people(tmp_path / "more", 2, 3, first=50)
    sources = open_sources([people, more])
    assert (len(sources), sources.num_classes, sources.sizes) == (54, 8, [48, 6])
    assert sources.labels_N[48:].tolist() == [6, 6, 6, 7, 7, 7]
    assert sources.key(48) == str(more / "0050" / "0.jpg")
    mixed = np.array([50, 0, 53, 7])
    expected = [more / "0050" / "2.jpg", people / "0000" / "0.jpg", more / "0051" / "2.jpg", people / "0000" / "7.jpg"]
    assert [bytes(payload) for payload in sources.payloads(mixed)] == [file.read_bytes() for file in expected]


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda path: path / "absent", "There is no dataset"),
    (lambda path: path, "holds neither a .rec file nor folders of pictures"),
])  # fmt: skip
def test_what_is_no_dataset_is_a_sentence(tmp_path: Path, make: object, sentence: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=sentence):
        open_sources([make(tmp_path)])


def test_a_dataset_without_pictures_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        open_sources([tmp_path])


def test_one_class_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has one class; recognition is learned from differences"):
        open_sources([write_people(tmp_path, 1, 3)])


def test_labels_with_holes_are_a_sentence(tmp_path: Path) -> None:
    from synthface.dataset import Row, ShardWriter

    with ShardWriter(tmp_path / "train") as shard:
        for label in (0, 1, 3):
            shard.write(jpeg(face(label, 0)), Row(identity=label, index=0, seed=0))
    with pytest.raises(InputError, match=r"leave holes: 1 of 4 classes have no picture, the first of them 2") as caught:
        open_sources([tmp_path])
    assert "synthface pack" in caught.value.fix


def test_the_number_of_weights_must_be_that_of_the_data(people: Path) -> None:
    with pytest.raises(UsageError, match=r"train\.data_weights has 3 values for 1 data sets"):
        open_sources([people], (1.0, 2.0, 3.0))


@given(size=st.integers(1, 300), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 100))
def test_an_epoch_shows_every_picture_once(size: int, seed: int, epoch: int) -> None:
    order = epoch_order([size], (), seed, epoch)
    assert np.array_equal(np.sort(order), np.arange(size))
    assert np.array_equal(order, epoch_order([size], (), seed, epoch))


def test_epochs_and_seeds_have_their_own_orders() -> None:
    orders = {tuple(epoch_order([50], (), seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    weights=st.lists(st.floats(0.05, 20), min_size=4, max_size=4),
    epoch=st.integers(0, 20),
)
def test_weights_give_each_source_its_share_and_no_picture_more_often_than_it_must(
    sizes: list[int], weights: list[float], epoch: int
) -> None:
    total, chosen = sum(sizes), tuple(weights[: len(sizes)])
    order = epoch_order(sizes, chosen, 7, epoch)
    assert len(order) == total
    part = np.searchsorted(np.cumsum(sizes), order, side="right")
    for number, size in enumerate(sizes):
        drawn = order[part == number]
        assert abs(len(drawn) - total * chosen[number] / sum(chosen)) <= 1
        counts = np.bincount(drawn - sum(sizes[:number]), minlength=size)
        assert counts.max() - counts.min() <= 1


@given(total=st.integers(0, 10_000), weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
def test_shares_add_up(total: int, weights: list[float]) -> None:
    assert sum(shares(total, tuple(weights))) == total


def pil(payload: bytes) -> np.ndarray:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(payload)).convert("RGB"))


def test_jpeg_pixels_are_those_of_pil() -> None:
    image_HWC = np.empty((112, 112, 3), np.uint8)
    for person in range(4):
        payload = jpeg(face(person, 0))
        decode_into(memoryview(payload), image_HWC)
        assert np.array_equal(image_HWC, pil(payload))


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_other_pictures_decode_to_rgb_too(suffix: str) -> None:
    import io

    from PIL import Image

    file, image_HWC = io.BytesIO(), np.empty((112, 112, 3), np.uint8)
    Image.fromarray(face(1, 0)).save(file, suffix, lossless=True)
    decode_into(file.getvalue(), image_HWC)
    assert np.array_equal(image_HWC, face(1, 0))


@pytest.mark.parametrize("side", [56, 112, 160, 400])
def test_pictures_of_another_size_are_resized(side: int) -> None:
    import cv2

    image_HWC = np.empty((112, 112, 3), np.uint8)
    decode_into(jpeg(cv2.resize(face(2, 0), (side, side))), image_HWC)
    assert np.abs(image_HWC.astype(int) - face(2, 0)).mean() < 25
    assert np.abs(image_HWC.astype(int) - face(3, 0)).mean() > 40


@pytest.mark.parametrize("damage", [lambda p: b"", lambda p: p[:50], lambda p: p[: len(p) // 2], lambda p: b"x" * 99])
def test_damaged_pictures_are_told_and_not_half_filled_in_silence(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(ValueError, match=r"\w"):
        decode_into(damage(jpeg(face(0, 0))), np.empty((112, 112, 3), np.uint8))


def test_headers_that_claim_gigabytes_are_not_believed() -> None:
    payload = bytearray(jpeg(face(0, 0)))
    start = payload.index(b"\xff\xc0")
    payload[start + 5 : start + 9] = b"\xff\xff\xff\xff"  # height and width in the frame header
    with pytest.raises(ValueError, match=r"\w"):
        decode_into(bytes(payload), np.empty((112, 112, 3), np.uint8))


def test_read_only_folders_serve(people: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(people, tmp_path / "copy"))
    for file in [copy, *copy.rglob("*")]:
        file.chmod(0o555 if file.is_dir() else 0o444)
    assert len(open_sources([copy])) == 48
    for file in [copy, *copy.rglob("*")]:
        file.chmod(0o755)
