"""Many shards become one dataset: the same bytes, classes without holes, whole or absent."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_samples import Pack, Shard, jpeg, picture_number, row

from synthface.dataset import ShardWriter, listing, manifest, open_dataset, pack
from synthface.dataset.record_file import open_records
from synthface.dataset.records import RecordDataset
from synthface.errors import InputError, OutputError
from synthface.recipe.pictures import PackRecipe

FILES = {"manifest.parquet", "property", "train.idx", "train.lst", "train.rec"}


Run = Callable[..., Any]


def opened(path: Path) -> RecordDataset:
    dataset = open_dataset(path)
    assert isinstance(dataset, RecordDataset)
    return dataset


def test_a_packed_folder_has_insightfaces_layout(dataset: Pack) -> None:
    path = dataset(people=5, per_id=4)
    assert {file.name for file in path.iterdir()} == FILES
    assert (path / "property").read_text() == "5,24,24\n"
    file = open_records(path / "train.rec")
    assert file.key_R.tolist() == [*range(1, 26), 0]
    header, payload = file.read(0)
    assert (header.flag, header.label.tolist(), header.id, header.id2, bytes(payload)) == (2, [21, 26], 0, 1, b"")  # type: ignore[union-attr]
    for person in range(5):
        header, payload = file.read(21 + person)
        assert (header.flag, header.id, header.id2, bytes(payload)) == (2, 21 + person, 0, b"")
        assert header.label.tolist() == [1 + 4 * person, 5 + 4 * person]  # type: ignore[union-attr]
    for key in range(1, 21):
        header, payload = file.read(key)
        assert (header.flag, header.label, header.id, header.id2) == (0, (key - 1) // 4, key, 0)


@pytest.mark.parametrize("order", ["identity", "shuffled"])
def test_pictures_keep_their_bytes_and_their_rows(dataset: Pack, order: str) -> None:
    data = opened(dataset(people=7, per_id=3, order=order))
    table = data.manifest()
    assert table is not None
    assert tuple(table.column_names) == manifest.COLUMNS
    rows = table.to_pylist()
    assert len(rows) == len(data) == 21
    for number, (payload, told) in enumerate(zip(data.payloads(range(21)), rows, strict=True)):
        identity, index = divmod(number, 3)
        expected = jpeg(picture_number(identity, index))
        known = row(identity, index)
        assert bytes(payload) == expected
        assert (told["key"], told["label"], told["identity"], told["index"]) == (number + 1, identity, identity, index)
        assert (told["seed"], told["attempt"]) == (known.seed, known.attempt)
        assert told["center_similarity"] == np.float32(known.center_similarity)
        assert (told["reference_similarity"] is None) == (known.reference_similarity is None)
        np.testing.assert_array_equal(told["landmarks"], known.landmarks)
        assert (told["yaw"], told["pitch"], told["roll"]) == (known.yaw, known.pitch, known.roll)
        assert (told["crc32"], told["bytes"]) == (zlib.crc32(expected), len(expected))


def test_a_shuffled_file_holds_the_same_records_in_another_order_that_the_seed_decides(
    shard: Shard, tmp_path: Path
) -> None:
    shards = [shard("a", [(i, j) for i in range(20) for j in range(5)])]
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        pack(shards, tmp_path / name, PackRecipe(order="shuffled"), seed)
    pack(shards, tmp_path / "plain", PackRecipe(), 1)
    one, other, plain = (opened(tmp_path / name) for name in ("one", "other", "plain"))
    assert (tmp_path / "one/train.rec").read_bytes() == (tmp_path / "again/train.rec").read_bytes()
    physical = [data.file.key_R[:100].tolist() for data in (one, other, plain)]
    assert physical[0] != physical[1]
    assert physical[2] == list(range(1, 101))
    assert sorted(physical[0]) == physical[2]
    np.testing.assert_array_equal(one.labels_N, plain.labels_N)
    assert list(map(bytes, one.payloads(range(100)))) == list(map(bytes, plain.payloads(range(100))))
    for name in ("property", "train.lst"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_shards_in_any_order_and_cut_give_the_same_dataset(shard: Shard, tmp_path: Path) -> None:
    pictures = [(identity, index) for identity in range(6) for index in range(5)]
    whole = [shard("whole", pictures)]
    mixed = np.random.default_rng(0).permutation(pictures).tolist()
    cut = [shard(f"cut{n}", [tuple(p) for p in mixed[n::4]]) for n in range(4)]
    pack(whole, tmp_path / "whole", PackRecipe(), 0)
    pack(cut[::-1], tmp_path / "cut", PackRecipe(), 0)
    for name in FILES:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name


def test_classes_have_no_holes_where_identities_were_dropped(shard: Shard, tmp_path: Path) -> None:
    counts = {3: 5, 8: 1, 9: 2, 40: 0, 41: 3}
    shards = [shard("a", [(identity, index) for identity, count in counts.items() for index in range(count)])]
    packed = pack(shards, tmp_path / "d", PackRecipe(min_images=2), 0)
    data = opened(tmp_path / "d")
    table = data.manifest(["label", "identity"])
    assert table is not None
    assert data.labels_N.tolist() == [0] * 5 + [1] * 2 + [2] * 3
    assert dict(zip(table["label"].to_pylist(), table["identity"].to_pylist(), strict=True)) == {0: 3, 1: 9, 2: 41}
    assert (packed.images, packed.identities, packed.dropped_identities, packed.dropped_images) == (10, 3, 1, 1)
    assert data.num_classes == 3


def test_only_the_first_people_and_pictures_are_packed_when_so_many_are_asked_for(
    synthface: Run, shard: Shard, tmp_path: Path
) -> None:
    counts = {3: 5, 8: 1, 9: 2, 40: 4, 41: 6}
    path = shard("0", [(identity, index) for identity, count in counts.items() for index in range(count)])
    settings = PackRecipe(min_images=2, max_images=3, max_identities=3, extra_center_copies=1)
    packed = pack([path], tmp_path / "d", settings, 0)
    data = opened(tmp_path / "d")
    table = data.manifest(["label", "identity", "index"])
    assert table is not None
    assert data.labels_N.tolist() == [0] * 4 + [1] * 3 + [2] * 4
    assert table["identity"].to_pylist() == [3] * 4 + [9] * 3 + [40] * 4
    assert table["index"].to_pylist() == [0, 1, 2, 0, 0, 1, 0, 0, 1, 2, 0]
    assert (packed.dropped_identities, packed.dropped_images) == (1, 1)
    assert (packed.beyond_identities, packed.beyond_images) == (1, 2 + 1 + 6)
    told = synthface("pack", path.parent, "--out", tmp_path / "e", "--max-identities", 4, "--max-images", 5).out
    assert told.endswith("\n6 images beyond the limits were left out, 1 whole identities among them\n")
    told = synthface("pack", path.parent, "--out", tmp_path / "f", "--max-images", 5).out
    assert told.endswith("\n1 images beyond the limits were left out\n")


def test_the_first_people_of_a_large_set_are_the_small_set(shard: Shard, tmp_path: Path) -> None:
    pictures = [(identity, index) for identity in range(6) for index in range(5)]
    pack([shard("large", pictures)], tmp_path / "cut", PackRecipe(max_identities=2), 0)
    pack([shard("small", pictures[:10])], tmp_path / "small", PackRecipe(), 0)
    for name in FILES:
        assert (tmp_path / "small" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name


def test_extra_copies_are_of_the_center_image(shard: Shard, tmp_path: Path) -> None:
    pictures = [(0, 0), (0, 1), (5, 2), (5, 3), (5, 1)]  # the center of identity 5 was refused; 3 is nearest to it
    packed = pack([shard("a", pictures)], tmp_path / "d", PackRecipe(extra_center_copies=3), 0)
    data = opened(tmp_path / "d")
    table = data.manifest(["label", "index"])
    assert table is not None
    assert data.labels_N.tolist() == [0] * 5 + [1] * 6
    assert table["index"].to_pylist() == [0, 1, 0, 0, 0, 1, 2, 3, 3, 3, 3]
    assert (packed.copies, packed.images) == (6, 11)
    assert bytes(data.payloads([10])[0]) == jpeg(picture_number(5, 3))


def test_the_list_has_a_line_for_every_key(dataset: Pack) -> None:
    told = listing.read(dataset(people=3, per_id=2) / "train.lst")
    assert told.dialect == "face2rec2"
    assert told.keys == [1, 2, 3, 4, 5, 6]
    assert told.labels == [0, 0, 1, 1, 2, 2]
    assert told.paths[3] == "000001/0001.jpg"


def test_a_record_in_several_parts_is_packed_whole(shard: Shard, tmp_path: Path) -> None:
    magic = (0xCED7230A).to_bytes(4, "little")
    picture = jpeg(1)
    comment = magic * 4 + b"x"  # in a JPEG comment, at every offset modulo four
    marked = (
        picture[:2] + b"".join(b"\xff\xfe" + (len(c) + 2).to_bytes(2, "big") + c for c in [comment] * 4) + picture[2:]
    )
    with ShardWriter(tmp_path / "m") as writer:
        for index, payload in enumerate([picture, marked, marked + magic]):
            writer.write(payload, row(0, index))
    data = open_dataset(tmp_path / "m.rec")
    assert isinstance(data, RecordDataset)
    assert data.file.whole_R.tolist() == [True, False, False]
    pack([tmp_path / "m.rec"], tmp_path / "d", PackRecipe(order="shuffled"), 3)
    payloads = opened(tmp_path / "d").payloads(range(3))
    assert [bytes(payload) for payload in payloads] == [picture, marked, marked + magic]
    np.testing.assert_array_equal(opened(tmp_path / "d").image(1), opened(tmp_path / "d").image(0))


def test_class_folders_become_a_dataset(tmp_path: Path) -> None:
    for person, count in (("zoe", 2), ("Åsa", 3), ("ada", 1), ("empty", 0)):
        (tmp_path / "people" / person).mkdir(parents=True)
        for index in range(count):
            (tmp_path / "people" / person / f"{index}.jpg").write_bytes(jpeg(len(person) * 10 + index))
    (tmp_path / "people" / "ada" / "notes.txt").write_text("no picture")
    packed = pack([tmp_path / "people"], tmp_path / "d", PackRecipe(), 0)
    data, folders = opened(tmp_path / "d"), open_dataset(tmp_path / "people")
    assert (packed.images, packed.identities) == (6, 3)
    np.testing.assert_array_equal(data.labels_N, folders.labels_N)
    assert list(map(bytes, data.payloads(range(6)))) == folders.payloads(range(6))
    assert listing.read(tmp_path / "d/train.lst").paths == ["ada/0.jpg", "zoe/0.jpg", "zoe/1.jpg"] + [
        f"Åsa/{n}.jpg" for n in range(3)
    ]
    table = data.manifest()
    assert table is not None
    assert table["seed"].null_count == 6
    assert table["index"].to_pylist() == [0, 0, 1, 0, 1, 2]


def test_somebody_elses_dataset_is_packed_anew(golden: Path, tmp_path: Path) -> None:
    pack([golden / "recordio/classic"], tmp_path / "d", PackRecipe(), 0)
    for name in ("train.rec", "train.idx", "property"):
        assert (tmp_path / "d" / name).read_bytes() == (golden / "recordio/classic" / name).read_bytes()


def test_a_picture_in_two_shards_is_refused(shard: Shard, tmp_path: Path) -> None:
    shards = [shard("a", [(0, 0), (1, 0)]), shard("b", [(1, 0)])]
    with pytest.raises(InputError, match=r"Picture 0 of identity 1 is in .*a\.rec and in .*b\.rec"):
        pack(shards, tmp_path / "d", PackRecipe(), 0)


def test_pictures_of_several_sizes_are_refused(shard: Shard, tmp_path: Path) -> None:
    shards = [shard("a", [(0, 0)], side=24), shard("b", [(1, 0)], side=32)]
    with pytest.raises(InputError, match=r"24 × 24 pixels.*32 × 32"):
        pack(shards, tmp_path / "d", PackRecipe(), 0)
    assert not (tmp_path / "d").exists()


def test_a_payload_that_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "people/ada").mkdir(parents=True)
    (tmp_path / "people/ada/1.jpg").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"ada/1\.jpg is no picture"):
        pack([tmp_path / "people"], tmp_path / "d", PackRecipe(), 0)


def test_a_flipped_bit_in_a_shard_is_noticed_by_its_checksum(shard: Shard, tmp_path: Path) -> None:
    path = shard("a", [(0, 0), (0, 1)])
    content = bytearray(path.read_bytes())
    content[len(content) // 2 - 40] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"of identity 0 .*is damaged"):
        pack([path], tmp_path / "d", PackRecipe(), 0)


def test_too_few_pictures_for_anybody_is_said(shard: Shard, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of 2 identities none has 3 pictures"):
        pack([shard("a", [(0, 0), (1, 0)])], tmp_path / "d", PackRecipe(min_images=3), 0)


def test_a_picture_too_large_for_a_record_is_refused_by_name(synthface: Run, tmp_path: Path) -> None:
    folder = tmp_path / "people/ada"
    folder.mkdir(parents=True)
    (folder / "0.jpg").write_bytes(jpeg(0))
    with open(folder / "1.jpg", "wb") as file:  # sparse
        file.truncate(600 << 20)
    done = synthface("pack", tmp_path / "people", "--out", tmp_path / "d")
    assert (done.code, done.out) == (1, "")
    assert f"{folder / '1.jpg'} is too large: it has 629,145,600 bytes" in done.err
    assert "536,870,887" in done.err  # 2²⁹ − 1, less a header of 24 bytes
    assert [entry.name for entry in tmp_path.iterdir()] == ["people"]
    os.truncate(folder / "1.jpg", 536_870_888)
    assert "is too large" in synthface("pack", tmp_path / "people", "--out", tmp_path / "d").err


@pytest.mark.parametrize("kind", ["records", "shards", "class folders"])
def test_a_source_without_pictures_is_told_as_such(synthface: Run, shard: Shard, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "shards"
    if kind == "records":
        source.mkdir()
        (source / "train.rec").write_bytes(b"")
        (source / "train.idx").write_bytes(b"")
    elif kind == "shards":
        shard("0", [])
        shard("1", [])
    else:
        (source / "ada").mkdir(parents=True)
    done = synthface("pack", source, "--out", tmp_path / "d")
    assert (done.code, done.out) == (1, "")
    assert "There is nothing to pack: no picture is in" in done.err
    assert str(source) in done.err
    assert "min_images" not in done.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["shards"]


def test_an_existing_folder_is_replaced_only_when_asked_and_when_it_is_a_dataset(
    shard: Shard, dataset: Pack, tmp_path: Path
) -> None:
    path, shards = dataset(), [shard("b", [(9, 0)])]
    before = (path / "train.rec").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        pack(shards, path, PackRecipe(), 0)
    assert (path / "train.rec").read_bytes() == before
    pack(shards, path, PackRecipe(), 0, overwrite=True)
    assert len(open_dataset(path)) == 1
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.tex").write_text("x")
    with pytest.raises(OutputError, match="something else"):
        pack(shards, tmp_path / "thesis", PackRecipe(), 0, overwrite=True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["dataset", "shards", "thesis"]


def test_a_failing_shard_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="device lost"), ShardWriter(tmp_path / "0") as writer:
        writer.write(jpeg(0), row(0, 0))
        raise RuntimeError("device lost")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_shard_is_a_dataset_of_nothing(shard: Shard, tmp_path: Path) -> None:
    assert len(open_dataset(shard("a", []))) == 0
    packed = pack([shard("a2", []), shard("b", [(4, 0)])], tmp_path / "d", PackRecipe(), 0)
    assert packed.images == 1


def test_the_command_packs_shards_and_says_what_it_did(synthface: Run, shard: Shard, tmp_path: Path) -> None:
    for name, pictures in (("00000", [(0, 0), (0, 1)]), ("00001", [(1, 0)])):
        shard(name, pictures)
    shard("00002", [(2, 0)]).with_suffix(".parquet").unlink()  # a shard whose writer was killed before its last rename
    done = synthface("pack", tmp_path / "shards", "--out", tmp_path / "d", "--json", "--set", "pack.min_images=2")
    assert done.json == {
        "path": str(tmp_path / "d"),
        "images": 2,
        "identities": 1,
        "height": 24,
        "width": 24,
        "bytes": (tmp_path / "d/train.rec").stat().st_size,
        "order": "identity",
        "copies": 0,
        "dropped_identities": 1,
        "dropped_images": 1,
        "beyond_identities": 0,
        "beyond_images": 0,
    }
    again = synthface("pack", tmp_path / "shards", "--out", tmp_path / "d")
    assert (again.code, again.out) == (1, "")
    assert "--overwrite" in again.err
    assert "1 identities with too few" in synthface(
        "pack", tmp_path / "shards", "--out", tmp_path / "d", "--overwrite", "--min-images", 2
    ).out  # fmt: skip


def test_windows_and_row_groups_do_not_show_in_the_result(
    shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = np.random.default_rng(0).permutation([(identity, index) for identity in range(11) for index in range(4)])
    shards = [shard(f"{n}", [tuple(p) for p in pictures[n::3].tolist()]) for n in range(3)]
    settings = PackRecipe(order="shuffled", extra_center_copies=1)
    pack(shards, tmp_path / "large", settings, 0)
    monkeypatch.setattr("synthface.dataset.packing._WINDOW_PICTURES", 5)
    monkeypatch.setattr(manifest, "ROW_GROUP", 7)
    pack(shards, tmp_path / "small", settings, 0)
    for name in FILES - {"manifest.parquet"}:
        assert (tmp_path / "large" / name).read_bytes() == (tmp_path / "small" / name).read_bytes(), name
    tables = [manifest.read(tmp_path / name / "manifest.parquet") for name in ("large", "small")]
    assert tables[0].equals(tables[1])
    assert len(tables[0]) == 55
