"""`.lst` files of both dialects: read, and compared with the records' labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_samples import jpeg

from synthface.dataset import listing, open_dataset
from synthface.dataset.record_writer import RecordWriter
from synthface.errors import InputError


def test_lists_of_both_dialects_are_read(golden: Path, tmp_path: Path) -> None:
    classic = listing.read(golden / "recordio/classic/train.lst")
    assert (classic.dialect, classic.keys, classic.labels) == (
        "face2rec2",
        [*range(1, 21)],
        [n // 5 for n in range(20)],
    )
    assert classic.paths[:2] == ["id00/img00.png", "id00/img01.png"]
    im2rec = listing.read(golden / "recordio/im2rec/train.lst")
    told = np.load(golden / "recordio/im2rec/expected.npz")
    assert (im2rec.dialect, im2rec.keys, im2rec.labels) == ("im2rec", told["key"].tolist(), told["label"].tolist())
    (tmp_path / "a.lst").write_text("1\ta.jpg\t0\n1\tb.jpg\n")
    with pytest.raises(InputError, match=r"a\.lst, line 2"):
        listing.read(tmp_path / "a.lst")
    (tmp_path / "b.lst").write_text("hello\n")
    with pytest.raises(InputError, match="neither"):
        listing.read(tmp_path / "b.lst")
    for path in (tmp_path / "a.lst", tmp_path / "b.lst"):
        with pytest.raises(InputError):
            listing.read_labels(path)


@pytest.mark.parametrize(
    "content",
    [
        "1\ta.jpg\t0\n0\tb c.jpg\t1\n",
        "7\t1.000000\ta.jpg\r\n3\t0.5\tb.jpg\r\n",
        "0\t4.0\t5.0\t6.0\ta.jpg\n1\t7.0\t8.0\t9.0\tb.jpg",
        "0\t4.0\t5.0\ta.jpg\n1\t7.0\tb.jpg\n",
        '1\t"a.jpg\t2\n1\tb".jpg\t3\n',
        "",
    ],
)
def test_keys_and_labels_of_a_list_are_read_quickly_as_they_are_read_slowly(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.lst"
    path.write_bytes(content.encode())
    told = listing.read(path)
    key_M, label_M = listing.read_labels(path)
    assert (key_M.tolist(), label_M.tolist()) == (told.keys, told.labels)


def test_a_list_may_name_files_in_any_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.lst").write_bytes(b"1\t\xe5sa.jpg\t0\n1\t\xff.jpg\t4\n")
    key_M, label_M = listing.read_labels(tmp_path / "a.lst")
    assert (key_M.tolist(), label_M.tolist()) == ([1, 2], [0, 4])


@pytest.mark.parametrize("dialect", ["face2rec2", "im2rec"])
def test_labels_that_contradict_the_list_are_refused_where_there_is_no_manifest(tmp_path: Path, dialect: str) -> None:
    classic = dialect == "face2rec2"
    lines = [listing.face2rec2_line(f"{n}.jpg", n % 3) if classic else listing.im2rec_line(n, n % 3, f"{n}.jpg") for n in range(6)]  # fmt: skip
    with RecordWriter(tmp_path / "train.rec", tmp_path / "train.idx") as writer:
        for number in range(6):
            writer.write(number + classic, number % 3, jpeg(number))
    assert open_dataset(tmp_path).labels_N.tolist() == [0, 1, 2, 0, 1, 2]
    (tmp_path / "train.lst").write_text("".join(lines))
    assert open_dataset(tmp_path).labels_N.tolist() == [0, 1, 2, 0, 1, 2]
    (tmp_path / "train.lst").write_text("".join(lines[:5]))  # a list of other pictures
    assert open_dataset(tmp_path).labels_N.tolist() == [0, 1, 2, 0, 1, 2]
    lines[4] = listing.face2rec2_line("4.jpg", 2) if classic else listing.im2rec_line(4, 2, "4.jpg")
    (tmp_path / "train.lst").write_text("".join(lines))
    with pytest.raises(InputError, match=rf"Picture {4 + classic} of .* has label 1 in its record and another one in train\.lst"):  # fmt: skip
        _ = open_dataset(tmp_path).labels_N
