"""What is exported is read back by the tools it is meant for: the same bytes, labels and metadata."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_samples import Pack, jpeg, picture_number

from synthface.dataset import listing, manifest, open_dataset, pack
from synthface.dataset.export import FORMATS, export, tars
from synthface.dataset.record_file import open_records
from synthface.errors import InputError, MissingPackageError, OutputError
from synthface.recipe.pictures import PackRecipe

Run = Callable[..., Any]
PEOPLE, PER_ID = 4, 3
LABELS = [number // PER_ID for number in range(PEOPLE * PER_ID)]


@pytest.fixture
def source(dataset: Pack) -> Path:
    return dataset(people=PEOPLE, per_id=PER_ID)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return list(manifest.read(path / "manifest.parquet").to_pylist())


def expected_row(source: Path, place: int) -> dict[str, Any]:
    """What is known of a picture of the source, without its key."""
    row = rows_of(source)[place]
    del row["key"]
    return row


def picture(place: int) -> bytes:
    return jpeg(picture_number(*divmod(place, PER_ID)))


def test_class_folders_hold_the_pictures_and_come_back_as_the_same_dataset(source: Path, tmp_path: Path) -> None:
    assert export(source, "folder", tmp_path / "out", seed=0) == 12
    assert (tmp_path / "out/000001/00000005.jpg").read_bytes() == picture(4)
    folders = open_dataset(tmp_path / "out")
    assert folders.labels_N.tolist() == LABELS
    assert rows_of(tmp_path / "out") == rows_of(source)
    pack([tmp_path / "out"], tmp_path / "again", PackRecipe(), 0)
    for name in ("train.rec", "train.idx", "property", "manifest.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (source / name).read_bytes(), name


def test_webdataset_reads_back_pictures_labels_and_rows(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import webdataset

    monkeypatch.setattr(tars, "SAMPLES_PER_TAR", 5)
    export(source, "webdataset", tmp_path / "out", seed=0)
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["000000.tar", "000001.tar", "000002.tar"]
    urls = [str(tmp_path / "out" / name) for name in names]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [int(sample["cls"]) for sample in samples] == LABELS
    for place, sample in enumerate(samples):
        assert sample["jpg"] == picture(place)
        known = {name: value for name, value in expected_row(source, place).items() if value is not None}
        assert json.loads(sample["json"]) == {"key": place + 1, **known}
    decoded = next(iter(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("jpg", "cls")))
    np.testing.assert_allclose(decoded[0], open_dataset(source).image(0), atol=1)


def test_dali_gets_plain_shuffled_records_with_keys_from_0(source: Path, tmp_path: Path) -> None:
    export(source, "dali", tmp_path / "out", seed=5)
    file = open_records(tmp_path / "out/train.rec")
    headers = file.headers()
    assert file.key_R.tolist() == list(range(12))
    assert (headers.flag_R == 0).all()
    assert (headers.payload_R > 0).all()
    data = open_dataset(tmp_path / "out")
    table = data.manifest()
    assert table is not None
    places = [identity * PER_ID + index for identity, index in zip(table["identity"].to_pylist(), table["index"].to_pylist(), strict=True)]  # fmt: skip
    assert places != sorted(places)
    assert sorted(places) == list(range(12))
    for key, place in enumerate(places):
        assert bytes(data.payloads([key])[0]) == picture(place)
        assert data.labels_N[key] == LABELS[place]
        assert table.slice(key, 1).drop_columns("key").to_pylist() == [expected_row(source, place)]
    listed = listing.read(tmp_path / "out/train.lst")
    assert (listed.dialect, listed.keys, listed.labels) == ("im2rec", list(range(12)), data.labels_N.tolist())
    export(source, "dali", tmp_path / "again", seed=5)
    export(source, "dali", tmp_path / "other", seed=6)
    assert (tmp_path / "again/train.rec").read_bytes() == (tmp_path / "out/train.rec").read_bytes()
    assert (tmp_path / "other/train.rec").read_bytes() != (tmp_path / "out/train.rec").read_bytes()


def test_lmdb_reads_back_as_the_trainers_read_it(source: Path, tmp_path: Path) -> None:
    import lmdb
    import msgpack

    export(source, "lmdb", tmp_path / "out", seed=0)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["manifest.parquet", "train.lmdb"]
    environment = lmdb.open(str(tmp_path / "out/train.lmdb"), subdir=False, readonly=True, lock=False, readahead=False)
    with environment.begin() as transaction:
        keys = msgpack.loads(transaction.get(b"__keys__"))
        assert msgpack.loads(transaction.get(b"__len__")) == len(keys) == 12
        assert msgpack.loads(transaction.get(b"__classnum__")) == PEOPLE
        rows = rows_of(tmp_path / "out")
        for place, key in enumerate(keys):
            image, label = msgpack.loads(transaction.get(key))
            assert (image, label) == (picture(place), LABELS[place])
            assert rows[place] == {"key": int(key), **expected_row(source, place)}


def test_a_large_lmdb_fits_its_map(tmp_path: Path) -> None:
    """Values just above a page take another one; the map must hold them and the tree's copies."""
    folder = tmp_path / "people/ada"
    folder.mkdir(parents=True)
    base = jpeg(0)
    for number in range(300):
        filler = b"\xff\xfe" + (4_040 - len(base)).to_bytes(2, "big") + bytes([number % 256]) * (4_038 - len(base))
        (folder / f"{number:03d}.jpg").write_bytes(base[:2] + filler + base[2:])
    assert export(tmp_path / "people", "lmdb", tmp_path / "out", seed=0) == 300


def test_load_dataset_opens_the_hugging_face_folder(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr("synthface.dataset.export.hugging_face.BYTES_PER_FILE", 1_500)
    monkeypatch.setattr("synthface.dataset.export.samples.BATCH", 2)
    export(source, "hf", tmp_path / "out", seed=0)
    files = sorted(file.name for file in (tmp_path / "out/data").iterdir())
    assert len(files) > 1
    assert all(name.endswith(f"-of-{len(files):05d}.parquet") for name in files)
    opened = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    assert opened["label"][:] == LABELS
    assert opened.features["image"] == datasets.Image()
    for place, row in enumerate(opened):
        np.testing.assert_allclose(np.asarray(row.pop("image")), open_dataset(source).image(place), atol=1)
        assert row == {"key": place + 1, **expected_row(source, place)}
    raw = opened.cast_column("image", datasets.Image(decode=False))
    assert [row["image"]["bytes"] for row in raw] == [picture(place) for place in range(12)]


@pytest.mark.parametrize("to", FORMATS)
def test_a_dataset_of_others_is_exported_with_what_is_known(golden: Path, tmp_path: Path, to: str) -> None:
    assert export(golden / "recordio/classic", to, tmp_path / "out", seed=0) == 20


def test_rows_without_a_manifest_know_label_number_and_checksum(golden: Path, tmp_path: Path) -> None:
    export(golden / "recordio/classic", "folder", tmp_path / "out", seed=0)
    for number, row in enumerate(rows_of(tmp_path / "out")):
        payload = bytes(open_dataset(golden / "recordio/classic").payloads([number])[0])
        assert (row["key"], row["label"], row["identity"], row["index"]) == (number + 1, number // 5, number // 5, number % 5)  # fmt: skip
        assert (row["crc32"], row["bytes"], row["seed"]) == (zlib.crc32(payload), len(payload), None)


@pytest.mark.parametrize("to", FORMATS)
def test_a_damaged_picture_stops_the_export_and_leaves_nothing(source: Path, tmp_path: Path, to: str) -> None:
    content = bytearray((source / "train.rec").read_bytes())
    content[int(open_records(source / "train.rec").offset_R[7]) + 60] ^= 1
    (source / "train.rec").write_bytes(content)
    with pytest.raises(InputError, match="key 8 is damaged"):
        export(source, to, tmp_path / "out", seed=0)
    assert not any(entry.name.startswith((".out", "out")) for entry in tmp_path.iterdir())


def test_an_export_is_replaced_only_by_its_own_kind(source: Path, tmp_path: Path) -> None:
    export(source, "folder", tmp_path / "out", seed=0)
    with pytest.raises(OutputError, match="is there already"):
        export(source, "folder", tmp_path / "out", seed=0)
    export(source, "folder", tmp_path / "out", seed=0, overwrite=True)
    with pytest.raises(OutputError, match="something else"):
        export(source, "webdataset", tmp_path / "out", seed=0, overwrite=True)


def test_a_missing_package_is_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    with pytest.raises(MissingPackageError, match=r"lmdb.*synthface\[lmdb\]"):
        export(source, "lmdb", tmp_path / "out", seed=0)


def test_the_command_exports(synthface: Run, source: Path, tmp_path: Path) -> None:
    done = synthface("export", source, "--to", "folder", "--out", tmp_path / "out", "--json")
    assert done.json == {"images": 12, "format": "folder", "path": str(tmp_path / "out")}
    assert synthface("export", source, "--to", "flder", "--out", tmp_path / "o").code == 2
    assert synthface("export", source, "--to", "folder", "--out", tmp_path / "out").code == 1


@pytest.mark.parametrize("to", FORMATS)
def test_a_dataset_without_pictures_is_told_as_such(synthface: Run, tmp_path: Path, to: str) -> None:
    (tmp_path / "records").mkdir()
    for name in ("train.rec", "train.idx"):
        (tmp_path / "records" / name).write_bytes(b"")
    (tmp_path / "people/ada").mkdir(parents=True)
    for source in (tmp_path / "records", tmp_path / "people"):
        done = synthface("export", source, "--to", to, "--out", tmp_path / "out")
        assert (done.code, done.out) == (1, "")
        assert f"The dataset {source} holds no pictures to export. Name another" in done.err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["people", "records"]


def numbers(path: Path) -> Iterator[int]:
    for file in sorted(path.rglob("*.jpg")):
        yield int(file.stem)


def test_keys_sort_as_names(source: Path, tmp_path: Path) -> None:
    export(source, "folder", tmp_path / "out", seed=0)
    assert list(itertools.islice(numbers(tmp_path / "out"), 12)) == list(range(1, 13))
