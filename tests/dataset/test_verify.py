"""`verify` names what is wrong, is silent about what is right, and mends what can be mended without guessing."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_samples import Pack, jpeg, row
from worker_work import failing, lethal

from synthface.dataset import ShardWriter, irheader, layout, open_dataset, pack
from synthface.dataset.record_file import map_file, open_records, scan
from synthface.dataset.record_writer import RecordWriter
from synthface.dataset.verify import Report, pictures, pool, verify
from synthface.dataset.verify.inspect import INSPECTED
from synthface.recipe.pictures import PackRecipe

Run = Callable[..., Any]


def names(report: Report) -> list[str]:
    return [finding.name for finding in report.findings]


def write(
    path: Path,
    labels: Sequence[float],
    payloads: Sequence[bytes] | None = None,
    header: bool = True,
    property: str | None = "auto",
) -> Path:
    """A dataset with these labels in insightface's layout, right or wrong."""
    path.mkdir()
    payloads = payloads or [jpeg(number) for number in range(len(labels))]
    bounds = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    ranges = [(a + 1, b + 1) for a, b in itertools.pairwise(bounds)]
    with RecordWriter(path / "train.rec", path / "train.idx") as writer:
        for number, (label, payload) in enumerate(zip(labels, payloads, strict=True)):
            writer.write(number + 1, label, payload)
        if header:
            for key, label2, id2 in layout.special_records(ranges, len(labels)):
                writer.write(key, label2, id2=id2)
    if property is not None:
        (path / "property").write_text(f"{len(ranges)},24,24\n" if property == "auto" else property)
    return path


@pytest.mark.parametrize("order", ["identity", "shuffled"])
def test_a_packed_dataset_is_clean(dataset: Pack, order: str) -> None:
    report = verify(dataset(people=6, per_id=3, order=order, extra_center_copies=2))
    assert names(report) == []
    assert report.ok
    assert (report.images, report.identities, report.records) == (30, 6, 37)
    assert (report.height, report.width) == (24, 24)
    assert report.images_per_identity == {"min": 5, "median": 5.0, "mean": 5.0, "max": 5}


@pytest.mark.parametrize(("name", "expected"), [("classic", []), ("im2rec", ["property missing"]), ("label3", ["property missing"])])  # fmt: skip
def test_datasets_that_mxnet_wrote_are_clean(golden: Path, name: str, expected: list[str]) -> None:
    report = verify(golden / "recordio" / name)
    assert report.ok
    assert names(report) == expected


def test_all_labels_equal_where_people_are_told_apart_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "d", [0, 0, 1, 1, 2, 2])
    content = bytearray((path / "train.rec").read_bytes())
    file = open_records(path / "train.rec")
    for offset in file.offset_R[:6].tolist():
        content[offset + 12 : offset + 16] = np.float32(0).tobytes()
    (path / "train.rec").write_bytes(content)
    report = verify(path)
    assert not report.ok
    assert {"all labels equal", "identity records"} <= set(names(report))


def test_one_person_is_a_warning_only(tmp_path: Path) -> None:
    report = verify(write(tmp_path / "d", [0, 0, 0]))
    assert report.ok
    assert names(report) == ["all labels equal"]


def test_labels_with_holes_are_counted(tmp_path: Path) -> None:
    report = verify(write(tmp_path / "d", [0, 0, 3, 3, 7], property="8,24,24\n"))
    found = next(finding for finding in report.findings if finding.name == "labels with holes")
    assert (found.level, found.count) == ("error", 5)
    assert "the first of them 1" in found.message
    assert {"label range", "property wrong"} <= set(names(report))


def test_labels_with_holes_are_mended_by_packing_again(tmp_path: Path) -> None:
    write(tmp_path / "d", [0, 0, 3, 3, 7])
    pack([tmp_path / "d"], tmp_path / "new", PackRecipe(), 0)
    assert verify(tmp_path / "new").ok
    assert open_dataset(tmp_path / "new").labels_N.tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), float("inf"), 3e9])
def test_labels_that_are_no_class_numbers(tmp_path: Path, label: float) -> None:
    report = verify(write(tmp_path / "d", [0.0, 0.0, label], header=False))
    found = next(finding for finding in report.findings if finding.name == "labels no class numbers")
    assert found.keys == (3,)


def test_missing_key_0_is_named_and_mended(tmp_path: Path) -> None:
    path = write(tmp_path / "d", [0, 0, 1, 2, 2], header=False, property="3,24,24\n")
    assert names(verify(path)) == ["missing key 0"]
    report = verify(path, repair=True)
    assert report.ok
    assert "header record at key 0" in report.repaired[0]
    whole = write(tmp_path / "whole", [0, 0, 1, 2, 2])
    for name in ("train.rec", "train.idx", "property"):
        assert (path / name).read_bytes() == (whole / name).read_bytes()
    assert verify(path, repair=True).repaired == []


@pytest.mark.parametrize("swap", [False, True])
def test_swapped_channels_are_suspected_from_blue_skin(tmp_path: Path, swap: bool) -> None:
    import simplejpeg

    rng = np.random.default_rng(0)
    skins = rng.uniform(0.4, 1.1, (12, 1, 1, 1)) * np.array([200, 150, 125]) + rng.normal(0, 8, (12, 24, 24, 1))
    images = skins.clip(0, 255).astype(np.uint8)[..., :: -1 if swap else 1]
    payloads = [simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=95) for image in images]
    report = verify(write(tmp_path / "d", [0] * 6 + [1] * 6, payloads))
    assert report.ok
    assert names(report) == (["channels swapped"] if swap else [])


def test_grey_pictures_are_not_suspected(tmp_path: Path) -> None:
    import simplejpeg

    rng = np.random.default_rng(0)
    payloads = [
        simplejpeg.encode_jpeg(np.repeat(rng.integers(0, 256, (24, 24, 1), np.uint8), 3, axis=2)) for _ in range(12)
    ]
    report = verify(write(tmp_path / "d", [0] * 6 + [1] * 6, payloads))
    assert names(report) == []
    assert report.grey_share == 1.0


@pytest.mark.real
def test_real_faces_are_not_suspected(real_data: Path, tmp_path: Path) -> None:
    import pickle

    payloads, _ = pickle.loads((real_data / "lfw_gray_dev.bin").read_bytes(), encoding="bytes")
    chosen = list(dict.fromkeys(bytes(payload) for payload in payloads[:200]))
    report = verify(write(tmp_path / "lfw", [0] * 50 + [1] * (len(chosen) - 50), chosen, property="2,112,112\n"))
    assert names(report) == []
    people = tmp_path / "tight"
    for number, file in enumerate(sorted((real_data / "tight").glob("*.jpg"))):
        (people / str(number % 2)).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, people / str(number % 2))
    pack([people], tmp_path / "packed", PackRecipe(), 0)
    assert names(verify(tmp_path / "packed")) == []


@pytest.mark.real
def test_real_colour_faces_are_told_from_swapped_ones() -> None:
    from pathlib import Path

    import insightface

    from synthface.dataset.decode import decode
    from synthface.dataset.verify.inspect import redness

    group = decode((Path(insightface.__file__).parent / "data/images/t1.jpg").read_bytes())
    for left, top, right, bottom in ((746, 339, 846, 481), (465, 265, 573, 416), (59, 263, 169, 396), (905, 54, 1013, 204)):  # fmt: skip
        face = group[top:bottom, left:right]
        assert redness(face)[0] > 20
        assert redness(face[..., ::-1])[0] < -20


def test_duplicates_are_told_within_and_across_labels_but_declared_copies_are_not(tmp_path: Path) -> None:
    a, b, c, d = (jpeg(number) for number in range(4))
    report = verify(write(tmp_path / "d", [0, 0, 0, 1, 1], [a, b, a, c, b]))
    found = {finding.name: finding for finding in report.findings}
    assert set(found) == {"duplicates", "duplicates across labels"}
    assert found["duplicates"].level == "warning"
    assert set(found["duplicates"].keys) == {1, 3}
    assert found["duplicates across labels"].level == "error"
    assert set(found["duplicates across labels"].keys) == {2, 5}
    with ShardWriter(tmp_path / "0") as writer:
        for index, payload in enumerate([a, b, c, d]):
            writer.write(payload, row(index // 2, index % 2))
    pack([tmp_path / "0.rec"], tmp_path / "copies", PackRecipe(extra_center_copies=4), 0)
    assert names(verify(tmp_path / "copies")) == []


def test_pictures_of_another_size_or_kind_and_no_pictures_are_told_by_key(tmp_path: Path) -> None:
    import io

    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(np.arange(24 * 24 * 3, dtype=np.uint8).reshape(24, 24, 3)).save(png, "png")
    payloads = [jpeg(0), jpeg(1, side=32), png.getvalue(), b"not a picture", jpeg(4)[:-200], b""]
    report = verify(write(tmp_path / "d", [0, 0, 0, 1, 1, 1], payloads))
    found = {finding.name: finding for finding in report.findings}
    assert set(found) == {"size differs", "no JPEG", "does not decode"}
    assert found["size differs"].keys == (2,)
    assert found["no JPEG"].keys == (3,)
    assert found["no JPEG"].level == "note"
    assert found["does not decode"].keys == (4, 5, 6)


def test_a_flipped_bit_in_a_picture_is_found_by_its_checksum(dataset: Pack) -> None:
    path = dataset()
    file = open_records(path / "train.rec")
    content = bytearray((path / "train.rec").read_bytes())
    content[int(file.offset_R[6]) + 8 + 24 + 100] ^= 16
    (path / "train.rec").write_bytes(content)
    report = verify(path)
    assert "checksum wrong" in names(report)
    assert next(finding for finding in report.findings if finding.name == "checksum wrong").keys == (7,)


def test_a_wrong_length_within_the_padding_is_noticed(tmp_path: Path) -> None:
    payload = jpeg(0)
    payload += b"\x01" * (-len(payload) % 4 + 3)  # a record that fills its last word but for one byte
    path = write(tmp_path / "d", [0, 1], [payload, jpeg(1)])
    content = bytearray((path / "train.rec").read_bytes())
    content[4] -= 1
    (path / "train.rec").write_bytes(content)
    assert "padding not empty" in names(verify(path))


@pytest.mark.parametrize(
    ("idx", "name"),
    [
        (None, "index missing"),
        ("key offset\n", "index damaged"),
        ("1\t0\n", "index stale"),
        ("".join(f"{key}\t{key * 4}\n" for key in range(25)), "index stale"),
        ("1\t99999999999\n", "index stale"),
    ],
)
def test_a_bad_index_is_named_and_written_anew(dataset: Pack, idx: str | None, name: str) -> None:
    path = dataset()
    before = (path / "train.idx").read_bytes()
    (path / "train.idx").unlink() if idx is None else (path / "train.idx").write_text(idx)
    assert names(verify(path)) == [name]
    report = verify(path, repair=True)
    assert report.ok
    assert report.repaired == ["wrote train.idx with 26 records"]
    assert (path / "train.idx").read_bytes() == before


def test_a_truncated_tail_is_cut_off_and_what_is_left_is_a_whole_dataset(dataset: Pack, tmp_path: Path) -> None:
    path = dataset(people=5, per_id=4)
    file = open_records(path / "train.rec")
    os.truncate(path / "train.rec", int(file.offset_R[14]) + 50)  # inside the third picture of person 3
    before = verify(path)
    assert not before.ok
    assert "truncated tail" in names(before)
    report = verify(path, repair=True)
    assert names(report) == []
    assert (report.images, report.identities) == (14, 4)
    data = open_dataset(path)
    assert data.labels_N.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 2
    assert data.num_classes == 4
    table = data.manifest()
    assert table is not None
    assert len(table) == 14
    assert len((path / "train.lst").read_text().splitlines()) == 14
    assert (path / "property").read_text() == "4,24,24\n"
    assert verify(path, repair=True).repaired == []


def test_a_tail_cut_between_records_is_told_by_the_index(dataset: Pack) -> None:
    path = dataset(people=5, per_id=4)
    os.truncate(path / "train.rec", int(open_records(path / "train.rec").offset_R[14]))
    assert "truncated tail" in names(verify(path))
    assert verify(path, repair=True).ok


def test_damage_in_the_middle_is_told_and_not_mended(dataset: Pack) -> None:
    path = dataset()
    content = bytearray((path / "train.rec").read_bytes())
    content[int(open_records(path / "train.rec").offset_R[9])] ^= 1
    (path / "train.rec").write_bytes(content)
    report = verify(path, repair=True)
    assert "damaged records" in names(report)
    assert report.repaired == []
    assert (path / "train.rec").read_bytes() == content


def test_property_and_list_are_compared_with_the_records(tmp_path: Path) -> None:
    path = write(tmp_path / "d", [0, 0, 1, 1], property="3,24,24\n")
    (path / "train.lst").write_text("1\ta\t0\n1\tb\t0\n1\tc\t1\n1\td\t0\n")
    found = {finding.name: finding for finding in verify(path).findings}
    assert set(found) == {"property wrong", "list wrong"}
    assert found["list wrong"].keys == (4,)
    (path / "property").write_text("many\n")
    assert "property wrong" in names(verify(path))


def test_a_header_record_that_lies_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "d", [0, 0, 1, 1])
    file = open_records(path / "train.rec")
    content = bytearray((path / "train.rec").read_bytes())
    content[int(file.offset_R[6]) + 8 + 24 : int(file.offset_R[6]) + 8 + 28] = np.float32(4).tobytes()
    (path / "train.rec").write_bytes(content)
    report = verify(path)
    assert "header record" in names(report)
    assert not report.ok


def test_an_empty_dataset_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "d", [], header=False, property=None)
    report = verify(path)
    assert "no pictures" in names(report)


def test_many_pictures_through_processes_give_what_one_process_gives(tmp_path: Path) -> None:
    payloads = [jpeg(number % 40) if number % 50 else b"broken" for number in range(1_200)]
    with ShardWriter(tmp_path / "0") as writer:
        for number, payload in enumerate(payloads):
            writer.write(payload, row(number // 10, number % 10))
    from synthface.dataset.verify.structure import examine

    structure = examine(tmp_path / "0.rec", Report("0"))
    several, alone = pictures.look(structure, workers=2), pictures.look(structure, workers=1)
    np.testing.assert_array_equal(several, alone)
    assert (alone["state"] != 0).sum() == 24


def test_killed_and_hanging_workers_lose_nothing_but_what_kills_them_twice(tmp_path: Path) -> None:
    done: dict[int, bool] = {}
    for start, stop, result in pool.run(lethal, (str(tmp_path),), 8, workers=2, slice_size=2, patience=2):
        assert result is None or result == list(range(start, stop))
        for number in range(start, stop):
            assert number not in done
            done[number] = result is not None
    assert sorted(done) == list(range(8))
    assert [number for number, good in done.items() if not good] == [3]


def test_what_a_worker_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="no such thing"):
        list(pool.run(failing, ("no such thing",), 10, workers=2, slice_size=5))


def test_the_command_exits_with_0_or_1_and_prints_json(synthface: Run, dataset: Pack) -> None:
    path = dataset()
    done = synthface("verify", path, "--json")
    assert done.code == 0
    assert done.json["ok"] is True
    assert done.json["findings"] == []
    assert "It can be trusted" in synthface("verify", path).out
    (path / "train.idx").unlink()
    done = synthface("verify", path, "--json")
    assert done.code == 1
    assert json.loads(done.out)["findings"][0]["name"] == "index missing"
    done = synthface("verify", path, "--repair")
    assert done.code == 0
    assert "repaired: wrote train.idx" in done.out
    assert synthface("verify", path / "nothing").code == 1


def test_a_row_of_inspection_is_small() -> None:
    """0.5M pictures are held as such rows."""
    assert INSPECTED.itemsize <= 40
    assert irheader.HEADER.size == 24


def test_a_scan_of_noise_ends_in_damage(tmp_path: Path) -> None:
    (tmp_path / "noise.rec").write_bytes(np.random.default_rng(0).bytes(10_000))
    found, damage = scan(map_file(tmp_path / "noise.rec"))
    assert (found, damage is not None) == ([], True)
    report = verify(tmp_path / "noise.rec")
    assert "damaged records" in names(report)
