"""Files that MXNet 1.9.1 itself wrote: read to the byte, and written again to the byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from synthface.dataset import irheader, open_dataset, recordio
from synthface.dataset.record_file import RecordFile, map_file, open_records, scan
from synthface.dataset.record_writer import RecordWriter

FILES = ["classic/train", "im2rec/train", "edge/edge", "label3/label3"]


@pytest.fixture
def recordio_golden(golden: Path) -> Path:
    return golden / "recordio"


def opened(golden: Path, name: str) -> RecordFile:
    return open_records(golden / f"{name}.rec")


def sha256(payload: recordio.Buffer) -> str:
    return hashlib.sha256(payload).hexdigest()


@pytest.mark.parametrize("name", FILES)
def test_the_writer_gives_the_bytes_of_mxnet(recordio_golden: Path, tmp_path: Path, name: str) -> None:
    file = opened(recordio_golden, name)
    assert not file.rebuilt
    with RecordWriter(tmp_path / "w.rec", tmp_path / "w.idx") as writer:
        for row, key in enumerate(file.key_R.tolist()):
            writer.write_record(key, bytes(file.record(row)))
    for suffix in (".rec", ".idx"):
        assert (tmp_path / f"w{suffix}").read_bytes() == (recordio_golden / f"{name}{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["classic/train", "im2rec/train", "label3/label3"])
def test_headers_packed_again_give_the_bytes_of_mxnet(recordio_golden: Path, name: str) -> None:
    file = opened(recordio_golden, name)
    for row in range(len(file)):
        header, payload = irheader.unpack(file.record(row))
        assert irheader.pack(header.label, header.id, bytes(payload), header.id2) == bytes(file.record(row))


@pytest.mark.parametrize("name", ["classic", "im2rec", "label3"])
def test_headers_and_payloads_are_those_that_mxnet_returned(recordio_golden: Path, name: str) -> None:
    expected = np.load(recordio_golden / name / "expected.npz")
    file = opened(recordio_golden, {"label3": "label3/label3"}.get(name, f"{name}/train"))
    headers = file.headers()
    np.testing.assert_array_equal(file.key_R, expected["key"])
    np.testing.assert_array_equal(headers.flag_R, expected["flag"])
    np.testing.assert_array_equal(headers.id_R, expected["id"])
    np.testing.assert_array_equal(headers.id2_R, expected["id2"])
    label = expected["label"].reshape(len(file), -1)
    np.testing.assert_array_equal(headers.label_R, label[:, 0])
    if label.shape[1] > 1:
        np.testing.assert_array_equal(headers.second_R, label[:, 1])
    for row, key in enumerate(expected["key"]):
        header, payload = file.read(key)
        assert sha256(payload) == expected["payload_sha256"][row]
        assert header.id == expected["id"][row]
        found = np.atleast_1d(header.label)
        np.testing.assert_array_equal(found, label[row][: len(found)])


def test_edge_records_are_put_together_to_the_byte(recordio_golden: Path) -> None:
    file = opened(recordio_golden, "edge/edge")
    told = json.loads((recordio_golden / "edge/edge_layout.json").read_text())
    rows = np.load(recordio_golden / "edge/edge_payloads.npz")
    headers = file.headers()
    assert file.key_R.tolist() == told["file_order_keys"]
    assert file.key_R[~file.whole_R].tolist() == told["multi_part_keys"]
    for row, key in enumerate(rows["key"]):
        record = file.record(row)
        assert sha256(record) == told["records"][str(key)]["record_sha256"], rows["name"][row]
        payload = irheader.unpack(record)[1] if rows["has_header"][row] else record
        assert bytes(payload) == rows[f"p_{key}"].tobytes(), rows["name"][row]
        if rows["has_header"][row]:
            assert (headers.flag_R[row], headers.id_R[row], headers.id2_R[row]) == tuple(
                rows[name][row] for name in ("flag", "id", "id2")
            )
            assert headers.label_R[row].tobytes() == rows["label"][row, 0].tobytes()


def test_a_scan_finds_the_records_and_parts_that_mxnet_wrote(recordio_golden: Path) -> None:
    rows = np.load(recordio_golden / "edge/edge_payloads.npz")
    found, damage = scan(map_file(recordio_golden / "edge/edge.rec"))
    assert damage is None
    for name in ("offset", "record_len", "n_parts"):
        field = {"record_len": "length", "n_parts": "parts"}.get(name, name)
        assert [getattr(record, field) for record in found] == rows[name].tolist()


def test_the_classic_folder_opens_as_twenty_pictures_of_four_people(recordio_golden: Path) -> None:
    expected = np.load(recordio_golden / "classic/expected.npz")
    dataset = open_dataset(recordio_golden / "classic")
    assert (len(dataset), dataset.num_classes) == (20, 4)
    assert dataset.labels_N.dtype == np.int64
    np.testing.assert_array_equal(dataset.labels_N, np.repeat(np.arange(4), 5))
    np.testing.assert_array_equal(dataset.key_N, expected["image_keys"])
    assert [sha256(payload) for payload in dataset.payloads(range(20))] == expected["payload_sha256"][:20].tolist()
    assert dataset.manifest() is None


@pytest.mark.parametrize("name", ["classic", "label3"])
def test_pictures_decode_as_mxnet_decodes_them_red_first(recordio_golden: Path, name: str) -> None:
    expected = np.load(recordio_golden / name / "expected.npz")["decoded_rgb"]
    dataset = open_dataset(recordio_golden / name)
    assert len(dataset) == len(expected)
    for index, image_HWC in enumerate(expected):
        np.testing.assert_array_equal(dataset.image(index), image_HWC)


def test_an_im2rec_folder_keeps_the_order_of_its_index(recordio_golden: Path) -> None:
    expected = np.load(recordio_golden / "im2rec/expected.npz")
    dataset = open_dataset(recordio_golden / "im2rec")
    np.testing.assert_array_equal(dataset.key_N, expected["key"])
    np.testing.assert_array_equal(dataset.labels_N, expected["label"])
    assert dataset.num_classes == 3


def test_label_arrays_give_their_first_element_as_class(recordio_golden: Path) -> None:
    dataset = open_dataset(recordio_golden / "label3")
    np.testing.assert_array_equal(dataset.labels_N, np.repeat(np.arange(3), 3))
    assert dataset.num_classes == 3
