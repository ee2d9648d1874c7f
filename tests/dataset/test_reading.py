"""Reading by key, in batches, in other processes, with an index that is missing, unsorted or of another file."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from dataset_samples import Pack, jpeg, picture_number

from synthface.dataset import irheader, layout, open_dataset, recordio
from synthface.dataset.record_file import RecordFile, open_records
from synthface.dataset.record_writer import RecordWriter
from synthface.dataset.records import RecordDataset
from synthface.errors import InputError


def expected(people: int, per_id: int) -> list[bytes]:
    return [jpeg(picture_number(identity, index)) for identity in range(people) for index in range(per_id)]


def opened(path: Path) -> RecordDataset:
    dataset = open_dataset(path)
    assert isinstance(dataset, RecordDataset)
    return dataset


def read_all(dataset: RecordDataset) -> list[bytes]:
    return [bytes(payload) for payload in dataset.payloads(range(len(dataset)))]


def test_whole_payloads_are_slices_of_the_file_and_not_copies(dataset: Pack) -> None:
    data = opened(dataset())
    payload = data.payloads([3])[0]
    assert isinstance(payload, memoryview)
    assert payload.obj is data.file.view.obj
    assert payload.readonly


def test_a_batch_comes_in_the_order_of_the_indices_with_repetitions(dataset: Pack) -> None:
    data = opened(dataset(people=5, per_id=4))
    truth = expected(5, 4)
    order = np.random.default_rng(0).integers(0, 20, 50)
    assert [bytes(payload) for payload in data.payloads(order)] == [truth[place] for place in order]
    assert data.payloads([]) == []
    assert data.payloads([-1])[0] == truth[-1]
    with pytest.raises(IndexError):
        data.payloads([20])


@pytest.mark.parametrize("keys", [[1, 2, 3, 0], [5, 10**15, 7, 10**12], [0, 4, 2, 6]])
def test_records_are_found_by_keys_dense_or_far_apart(tmp_path: Path, keys: list[int]) -> None:
    with RecordWriter(tmp_path / "a.rec", tmp_path / "a.idx") as writer:
        for key in keys:
            writer.write(key, key % 7, jpeg(key % 1_000))
    file = open_records(tmp_path / "a.rec")
    assert file.rows(sorted(keys)).tolist() == [keys.index(key) for key in sorted(keys)]
    for key in keys:
        header, payload = file.read(key)
        assert (header.id, header.label, bytes(payload)) == (key, key % 7, jpeg(key % 1_000))
    for wrong in (-1, 99, 10**17):
        with pytest.raises(InputError, match=f"no record with key {wrong}"):
            file.rows([keys[0], wrong])


@pytest.mark.parametrize("keys", [[1, 2, 3, 4, 0], [5, 10**15, 7, 10**12, 11], [9, 4, 2, 6, 3]])
def test_many_records_are_read_by_their_keys(tmp_path: Path, keys: list[int]) -> None:
    """Dense keys, keys far apart, and keys in another order than the records; two records are of several parts."""
    payloads = {key: jpeg(key % 1_000) for key in keys}
    payloads[keys[1]] += b"x" * (-len(payloads[keys[1]]) % 4) + recordio.MAGIC_BYTES * 2 + b"tail"
    payloads[keys[3]] = recordio.MAGIC_BYTES
    labels = {key: number % 3 if number else (4, 7, 9) for number, key in enumerate(keys)}  # the first one has an array
    with RecordWriter(tmp_path / "a.rec", tmp_path / "a.idx") as writer:
        for key in keys:
            writer.write(key, labels[key], payloads[key], id2=key % 5)
    lines = (tmp_path / "a.idx").read_text().splitlines(keepends=True)
    (tmp_path / "a.idx").write_text("".join(np.random.default_rng(0).permutation(lines)))
    file = open_records(tmp_path / "a.rec")
    assert not file.rebuilt
    assert sorted(file.whole_R.tolist()) == [False, False, True, True, True]
    wanted = [keys[4], keys[1], keys[0], keys[1], keys[3], keys[4]]
    headers, read = file.read_many(wanted)
    assert [bytes(payload) for payload in read] == [payloads[key] for key in wanted]
    assert headers.id_R.tolist() == wanted
    assert headers.id2_R.tolist() == [key % 5 for key in wanted]
    assert headers.flag_R.tolist() == [3 if key == keys[0] else 0 for key in wanted]
    assert headers.label_R.tolist() == [4 if key == keys[0] else labels[key] for key in wanted]
    assert np.isnan(headers.second_R).tolist() == [key != keys[0] for key in wanted]
    assert headers.payload_R.tolist() == [len(payloads[key]) for key in wanted]
    for key, payload in zip(wanted, read, strict=True):
        if key not in (keys[1], keys[3]):
            assert isinstance(payload, memoryview)
            assert payload.obj is file.view.obj  # a slice of the file
        assert bytes(file.read(key)[1]) == payload
    nothing, none = file.read_many([])
    assert (len(nothing.id_R), none) == (0, [])
    with pytest.raises(InputError, match=r"a\.rec has no record with key 99"):
        file.read_many([keys[0], 99, keys[1]])


def test_a_batch_names_the_key_of_a_record_that_is_too_short(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec", tmp_path / "a.idx") as writer:
        writer.write(3, 0, jpeg(3))
        writer.write_record(8, b"short")
    file = open_records(tmp_path / "a.rec")
    assert bytes(file.read_many([3, 3])[1][1]) == jpeg(3)
    with pytest.raises(InputError, match=r"record with key 8 of .* is too short for its header"):
        file.read_many([3, 8])


def test_an_unsorted_index_is_as_good(dataset: Pack) -> None:
    path = dataset()
    lines = (path / "train.idx").read_text().splitlines(keepends=True)
    (path / "train.idx").write_text("".join(np.random.default_rng(0).permutation(lines)))
    data = opened(path)
    assert not data.file.rebuilt
    assert read_all(data) == expected(5, 4)


@pytest.mark.parametrize("order", ["identity", "shuffled"])
@pytest.mark.parametrize("idx", ["missing", "empty", "cut", "other", "outside", "between words", "swapped", "noise"])
def test_a_bad_index_is_rebuilt_with_the_same_keys_and_said(
    dataset: Pack, capsys: pytest.CaptureFixture[str], order: str, idx: str
) -> None:
    path = dataset(order=order)
    file = path / "train.idx"
    good = file.read_text()
    lines = good.splitlines(keepends=True)
    bad = {
        "empty": "",
        "cut": good[: len(good) // 2],
        "other": "".join(f"{number}\t{number * 64}\n" for number in range(len(lines))),
        "outside": good.replace(lines[2], lines[2].rstrip() + "00000\n"),
        "between words": good.replace(lines[2], lines[2].rstrip()[:-1] + "3\n"),
        "swapped": good.replace(lines[2], f"77\t{lines[2].split()[1]}\n").replace(lines[3], lines[2]),
        "noise": "\x00\x01",
    }
    file.unlink() if idx == "missing" else file.write_text(bad[idx])
    data = opened(path)
    said = capsys.readouterr().err
    assert "rebuilt" in said
    assert "--repair" in said
    assert read_all(data) == expected(5, 4)
    assert data.key_N.tolist() == list(range(1, 21))
    assert data.labels_N.tolist() == np.repeat(np.arange(5), 4).tolist()
    assert data.file.rebuilt


def test_keys_are_numbered_by_order_where_ids_tell_nothing(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "train.rec", tmp_path / "train.idx") as writer:
        for label in (0, 0, 1):
            writer.write_record(9, irheader.pack(label, 0, jpeg(label)))
        writer.write_record(9, irheader.pack((1, 3), 0))
        writer.write_record(9, irheader.pack((3, 4), 0))
        writer.write_record(9, irheader.pack((4, 6), 0, b"", 1))
    file = open_records(tmp_path / "train.rec", quiet=True)
    assert file.key_R.tolist() == [1, 2, 3, 4, 5, 0]


def test_an_im2rec_file_without_its_index_gets_its_keys_from_the_ids(golden: Path, tmp_path: Path) -> None:
    told = np.load(golden / "recordio/im2rec/expected.npz")
    (tmp_path / "train.rec").write_bytes((golden / "recordio/im2rec/train.rec").read_bytes())
    data = opened(tmp_path)
    np.testing.assert_array_equal(data.key_N, told["key"])
    np.testing.assert_array_equal(data.labels_N, told["label"])


def _child(data: RecordDataset, order: list[int], pipe: object) -> None:
    pipe.send([bytes(payload) for payload in data.payloads(order)])  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_one_open_dataset(dataset: Pack, method: str) -> None:
    data = opened(dataset(people=6, per_id=5))
    data.payloads([0])
    context = multiprocessing.get_context(method)
    orders = [np.random.default_rng(seed).permutation(30).tolist() for seed in range(3)]
    pipes = [context.Pipe() for _ in orders]
    children = [context.Process(target=_child, args=(data, order, pipe[1])) for order, pipe in zip(orders, pipes, strict=True)]  # fmt: skip
    for child in children:
        child.start()
    truth = expected(6, 5)
    try:
        for order, (ours, _) in zip(orders, pipes, strict=True):
            assert ours.poll(120)
            assert ours.recv() == [truth[place] for place in order]
            assert read_all(data) == truth
    finally:
        for child in children:
            child.join()


def test_a_pickled_dataset_keeps_its_rebuilt_index_and_notices_another_file(dataset: Pack) -> None:
    path = dataset()
    (path / "train.idx").unlink()
    data = opened(path)
    packed = pickle.dumps(data)
    again = pickle.loads(packed)
    assert read_all(again) == read_all(data)
    assert again.labels_N.tolist() == data.labels_N.tolist()
    with open(path / "train.rec", "ab") as file:
        file.write(recordio.encode(b"another"))
    with pytest.raises(InputError, match="has changed"):
        pickle.loads(packed)


def test_a_packed_file_is_opened_without_reading_its_pictures(dataset: Pack) -> None:
    """The arrays that opening makes are of bytes a record, not of pictures."""
    data = opened(dataset(people=10, per_id=10))
    arrays = [value for holder in (data, data.file, data.headers) for value in vars(holder).values()]
    size = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray) and array is not data.file._words)
    assert size < 200 * len(data.file)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, float("nan")], r"label of key 3 .* is nan, no class number"),
        ([0, -1, 2], r"label of key 2 .* is -1"),
        ([0.5, 0.5, 2], r"is 0\.5, no class number; 1 more"),
        ([0, 1, 3e38], r"key 3"),
    ],
)
def test_labels_that_are_no_class_numbers_are_refused_when_asked_for(
    tmp_path: Path, labels: list[float], words: str
) -> None:
    with RecordWriter(tmp_path / "train.rec", tmp_path / "train.idx") as writer:
        for number, label in enumerate(labels):
            writer.write(number + 1, label, jpeg(number))
    data = opened(tmp_path)
    assert len(data.payloads(range(3))) == 3
    with pytest.raises(InputError, match=words):
        _ = data.labels_N


def test_labels_that_contradict_the_identity_records_are_refused(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "train.rec", tmp_path / "train.idx") as writer:
        for number, label in enumerate((0, 0, 0, 0)):  # a released dataset lost its labels like this
            writer.write(number + 1, label, jpeg(number))
        for key, label2, id2 in layout.special_records([(1, 3), (3, 5)], 4):
            writer.write(key, label2, id2=id2)
    with pytest.raises(InputError, match="2 people share the label 0"):
        _ = opened(tmp_path).labels_N


def test_labels_that_contradict_the_manifest_are_refused(dataset: Pack) -> None:
    path = dataset()
    file = open_records(path / "train.rec")
    content = bytearray((path / "train.rec").read_bytes())
    for key in range(1, 5):  # the first two people change places, identity records and all
        for one, two in ((key, key + 4),):
            a, b = (int(file.offset_R[file.rows(k)]) + 12 for k in (one, two))
            content[a : a + 4], content[b : b + 4] = content[b : b + 4], content[a : a + 4]
    (path / "train.rec").write_bytes(content)
    with pytest.raises(InputError, match=r"Picture 1 .* has label 1 in its record and 0 in the manifest; 8 differ"):
        _ = opened(path).labels_N


def test_a_manifest_of_another_dataset_is_refused(dataset: Pack) -> None:
    one, two = dataset(people=3, name="one"), dataset(people=4, name="two")
    (one / "manifest.parquet").write_bytes((two / "manifest.parquet").read_bytes())
    with pytest.raises(InputError, match="is of another dataset: it has 16 keys, the records 12"):
        opened(one).manifest()
    (one / "manifest.parquet").write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(InputError, match="cannot be read"):
        opened(one).manifest()


def test_classes_are_counted_by_header_then_property_then_labels(dataset: Pack, tmp_path: Path) -> None:
    path = dataset(people=5)
    (path / "property").write_text("9,24,24\n")
    assert open_dataset(path).num_classes == 5
    plain = tmp_path / "plain"
    plain.mkdir()
    with RecordWriter(plain / "train.rec", plain / "train.idx") as writer:
        writer.write(0, 2, jpeg(0))
    assert open_dataset(plain).num_classes == 3
    (plain / "property").write_text("9,24,24\n")
    assert open_dataset(plain).num_classes == 9


def test_a_rec_file_may_be_named_itself_and_several_must_be(dataset: Pack) -> None:
    path = dataset()
    assert len(open_dataset(path / "train.rec")) == 20
    (path / "train.rec").rename(path / "a.rec")
    (path / "train.idx").rename(path / "a.idx")
    assert len(open_dataset(path)) == 20
    (path / "b.rec").write_bytes(b"")
    with pytest.raises(InputError, match=r"2 \.rec files"):
        open_dataset(path)


def test_places_without_a_dataset_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no dataset"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"neither a \.rec file nor folders"):
        open_dataset(tmp_path)
    (tmp_path / "train.rec").write_bytes(b"")
    empty = open_dataset(tmp_path)
    assert (len(empty), empty.num_classes, empty.labels_N.tolist(), empty.payloads([])) == (0, 0, [], [])


def test_more_keys_than_float32_can_tell_apart_are_refused() -> None:
    pictures = layout.EXACT - 2
    assert len(list(layout.special_records([(1, pictures + 1)], pictures))) == 2
    with pytest.raises(InputError, match="16,777,216"):
        list(layout.special_records([(1, pictures + 2)], pictures + 1))


def test_a_label_that_float32_would_round_is_refused(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec", tmp_path / "a.idx") as writer:
        writer.write(0, layout.EXACT, b"")
        with pytest.raises(InputError, match="Label 16,777,217"):
            writer.write(1, layout.EXACT + 1, b"")


def test_opening_does_not_trust_a_length_before_it_has_seen_the_file(tmp_path: Path) -> None:
    (tmp_path / "train.rec").write_bytes(struct.pack("<II", recordio.MAGIC, recordio.MAX_RECORD - 1) + bytes(64))
    with pytest.raises(InputError, match=r"a chunk of 536,870,911 bytes begins, 64 are left"):
        open_dataset(tmp_path)


def test_a_record_of_half_a_gibibyte_is_read_without_a_copy(tmp_path: Path) -> None:
    length = recordio.MAX_RECORD - 4
    with open(tmp_path / "a.rec", "wb") as file:  # a sparse file
        file.write(struct.pack("<II", recordio.MAGIC, length))
        os.truncate(file.fileno(), 8 + length)
    (tmp_path / "a.idx").write_text("0\t0\n")
    record = open_records(tmp_path / "a.rec").record(0)
    assert isinstance(record, memoryview)
    assert len(record) == length


def test_a_record_file_is_not_opened_twice_by_its_workers(dataset: Pack) -> None:
    file = open_records(dataset() / "train.rec")
    again = pickle.loads(pickle.dumps(file))
    assert isinstance(again, RecordFile)
    np.testing.assert_array_equal(again.rows([3, 0, 7]), file.rows([3, 0, 7]))
