"""The real MXNet 1.9.1 reads what we write, and we read what it writes, to the byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthface.dataset import Row, ShardWriter, irheader, open_dataset, pack
from synthface.dataset.export import export
from synthface.dataset.record_file import open_records
from synthface.dataset.record_writer import RecordWriter
from synthface.recipe.pictures import PackRecipe

Peer = Callable[..., Any]
pytestmark = pytest.mark.interop
MAGIC = (0xCED7230A).to_bytes(4, "little")


def digest(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()


def picture(number: int, side: int = 112) -> bytes:
    """A JPEG: noise of low frequency, coloured."""
    import cv2
    import simplejpeg

    rng = np.random.default_rng(number)
    image = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    encoded = bytes(simplejpeg.encode_jpeg(image, quality=95))
    if number % 5 == 0:  # a comment that makes the record one of several parts
        comment = bytes(number % 4) + MAGIC * 3
        encoded = encoded[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + encoded[2:]
    return encoded


def magical(count: int) -> list[dict[str, Any]]:
    """Records full of magics, raw and with headers of every kind."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(count):
        pieces = [MAGIC, MAGIC[:2], MAGIC[1:], rng.bytes(int(rng.integers(0, 9))), b"", MAGIC * 2]
        payload = b"".join(pieces[piece] for piece in rng.integers(0, len(pieces), int(rng.integers(0, 30))))
        labels = [float(value) for value in np.float32(rng.normal(size=int(rng.integers(1, 8))))]
        magic_label = float(np.frombuffer(MAGIC, "<f4")[0])
        label = [labels, labels[0], magic_label, [magic_label] * 3][number % 4]
        ids = [int(rng.integers(0, 2**63)), 2**64 - 1, int.from_bytes(MAGIC * 2, "little")]
        rows.append(
            {"key": number * 3, "raw": number % 6 == 0, "label": label, "id": ids[number % 3], "id2": ids[(number + 1) % 3],
             "payload": payload.hex()}
        )  # fmt: skip
    return rows


def record_of(row: dict[str, Any]) -> bytes:
    payload = bytes.fromhex(row["payload"])
    return payload if row["raw"] else irheader.pack(row["label"], row["id"], payload, row["id2"])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the datasets `identity`, `shuffled` and `dali` of the same 40 pictures of 8 people."""
    folder = tmp_path_factory.mktemp("ours")
    with ShardWriter(folder / "0") as shard:
        for number in range(40):
            shard.write(picture(number), Row(identity=number // 5 * 2, index=number % 5))
    for order in ("identity", "shuffled"):
        pack([folder / "0.rec"], folder / order, PackRecipe(order=order), seed=1)
    export(folder / "identity", "dali", folder / "dali", seed=1)
    return folder


def test_mxnet_reads_records_full_of_magics_that_we_wrote(peer: Peer, tmp_path: Path) -> None:
    rows = magical(300)
    with RecordWriter(tmp_path / "a.rec", tmp_path / "a.idx") as writer:
        for row in rows:
            writer.write_record(row["key"], record_of(row))
    found = peer("mxnet_reads.py", tmp_path / "a", "raw")
    assert found["sequential"] == [digest(record_of(row)) for row in rows]
    assert {int(key): told["record"] for key, told in found["by_key"].items()} == {
        row["key"]: digest(record_of(row)) for row in rows
    }
    for row in rows:
        told = found["by_key"][str(row["key"])]
        if not row["raw"]:
            flag = len(row["label"]) if isinstance(row["label"], list) else 0
            assert (told["flag"], told["id"], told["id2"]) == (flag, row["id"], row["id2"])
            np.testing.assert_array_equal(np.float32(told["label"]), np.float32(row["label"]))
            assert told["payload"] == digest(bytes.fromhex(row["payload"]))


def test_we_read_what_mxnet_wrote_and_write_the_same_bytes(peer: Peer, tmp_path: Path) -> None:
    rows = magical(300)
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert peer("mxnet_writes.py", tmp_path / "rows.json", tmp_path / "theirs") == {"mxnet": "1.9.1"}
    file = open_records(tmp_path / "theirs.rec")
    assert not file.rebuilt
    assert [bytes(file.record(number)) for number in range(300)] == [record_of(row) for row in rows]
    assert not file.whole_R.all()
    with RecordWriter(tmp_path / "ours.rec", tmp_path / "ours.idx") as writer:
        for row in rows:
            writer.write_record(row["key"], record_of(row))
    for suffix in (".rec", ".idx"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"theirs{suffix}").read_bytes()


@pytest.mark.parametrize("order", ["identity", "shuffled"])
def test_mxnet_reads_our_dataset(peer: Peer, dataset: Path, order: str) -> None:
    found = peer("mxnet_reads.py", dataset / order / "train", "decode")
    ours = open_dataset(dataset / order)
    assert len(found["sequential"]) == 40 + 8 + 1
    for place, key in enumerate(ours.key_N.tolist()):
        told = found["by_key"][str(key)]
        assert (told["flag"], told["label"], told["id"]) == (0, place // 5, key)
        assert told["payload"] == digest(picture(place))
        assert told["pixels"] == digest(ours.image(place).tobytes())


@pytest.mark.parametrize("order", ["identity", "shuffled"])
def test_trainers_read_our_dataset(peer: Peer, dataset: Path, order: str) -> None:
    found = peer("trainers_read.py", dataset / order)
    ours = open_dataset(dataset / order)
    assert found["keys"] == list(range(1, 41))
    assert [sample["label"] for sample in found["samples"]] == ours.labels_N.tolist() == [n // 5 for n in range(40)]
    assert [sample["pixels"] for sample in found["samples"]] == [digest(ours.image(n).tobytes()) for n in range(40)]
    assert found["ranges"] == [[1 + 5 * person, 6 + 5 * person] for person in range(8)]


def test_sequential_readers_read_the_plain_records(peer: Peer, dataset: Path) -> None:
    found = peer("trainers_read.py", dataset / "dali", 112)
    ours = open_dataset(dataset / "dali")
    assert found["keys"] == list(range(40))
    assert [sample["label"] for sample in found["samples"]] == ours.labels_N.tolist()
    assert [sample["pixels"] for sample in found["samples"]] == [digest(ours.image(n).tobytes()) for n in range(40)]
    assert found["iterator_labels"] == ours.labels_N.tolist()
    assert found["ranges"] == []
