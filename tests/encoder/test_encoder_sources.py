"""Arguments of a command → one numbered stream of pictures with people."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from encoder_samples import class_folders, crop, record_folder, write_jpeg

from synthface.dataset import open_dataset
from synthface.encoder.sources import INNER_FOLDER, Picture, open_sources
from synthface.errors import InputError, UsageError


def names(pictures: list[tuple[Picture, bool]]) -> list[str]:
    return [picture.name for picture, _ in pictures]


def labels(pictures: list[tuple[Picture, bool]]) -> list[int]:
    return [picture.label for picture, _ in pictures]


def test_photographs_and_flat_folders_have_no_people_and_keep_the_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg", "album/2.jpg", "album/1.PNG", "album/.hidden.jpg", "album/notes.txt"):
        write_jpeg(tmp_path / name, crop(0, 16))
    sources = open_sources([tmp_path / "b.jpg", tmp_path / "a.jpg", tmp_path / "album"])
    assert not sources.labelled
    assert [Path(name).name for name in names(sources.pictures(0, 4))] == ["b.jpg", "a.jpg", "1.PNG", "2.jpg"]
    assert labels(sources.pictures(0, 4)) == [0, 0, 1, 1]  # for --average: an argument is a person
    assert (len(sources), sources.people) == (4, 2)


def test_class_folders_are_people_numbered_as_in_a_dataset(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "faces", people=12, each=3)
    (root / "nobody").mkdir()
    (root / "README.txt").touch()
    sources, dataset = open_sources([root]), open_dataset(root)
    found = sources.pictures(0, len(sources))
    assert labels(found) == dataset.labels_N.tolist()
    assert names(found) == [dataset.key(index) for index in range(len(dataset))]
    assert sources.people == dataset.num_classes == 12
    assert sources.pictures(5, 20) == found[5:20]


def test_records_are_aligned_and_give_their_bytes_and_labels(tmp_path: Path) -> None:
    folder = record_folder(tmp_path, [0, 0, 1, 2, 2])
    dataset = open_dataset(folder)
    for path in (folder, folder / "train.rec"):
        found = open_sources([path]).pictures(1, 5)
        assert labels(found) == [0, 1, 2, 2]
        assert all(aligned for _, aligned in found)
        assert [bytes(picture.source) for picture, _ in found] == [bytes(p) for p in dataset.payloads(range(1, 5))]  # type: ignore[arg-type]


def test_people_and_pictures_of_several_sources_are_numbered_through(tmp_path: Path) -> None:
    first, second = class_folders(tmp_path / "a", 2, 2), class_folders(tmp_path / "b", 1, 1)
    sources = open_sources([first, record_folder(tmp_path / "c", [0, 1, 1]), second])
    assert labels(sources.pictures(0, 8)) == [0, 0, 1, 1, 2, 3, 3, 4]
    assert [aligned for _, aligned in sources.pictures(3, 8)] == [False, True, True, True, False]
    assert labels(sources.pictures(3, 5)) == [1, 2]


def test_sorted_and_unsorted_pictures_do_not_mix(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "faces", 2, 1)
    photo = write_jpeg(tmp_path / "photo.jpg", crop(0))
    with pytest.raises(UsageError, match=r"sorted by person and others are not.*Embed them into two files"):
        open_sources([root, photo])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: root / "nothing", "There is no picture, folder or dataset"),
        (lambda root: (root / "empty").mkdir() or root / "empty", "holds no pictures. Read are .jpg"),
        (
            lambda root: write_jpeg(class_folders(root / "both", 2, 1) / "x.jpg", crop(0)).parent,
            "holds 1 pictures and 2 folders: who is in which cannot be told",
        ),
        (lambda root: class_folders(root / "deep" / "train", 1, 1).parent.parent / "deep", "holds folders of folders"),
    ],
    ids=["absent", "empty", "both", "deep"],
)
def test_places_that_cannot_be_meant_are_told(tmp_path: Path, make: object, words: str) -> None:
    with pytest.raises(InputError) as caught:
        open_sources([make(tmp_path)])  # type: ignore[operator]
    assert words in str(caught.value)


def test_folders_inside_class_folders_are_counted(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "faces", 2, 1)
    write_jpeg(root / "person_00" / "older" / "x.jpg", crop(0))
    sources = open_sources([root])
    assert len(sources) == 2
    assert sources.skipped[INNER_FOLDER] == 1


def test_a_fingerprint_tells_pictures_apart_and_not_where_they_lie(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "here" / "faces", 3, 2)
    before = open_sources([root]).fingerprint()
    (tmp_path / "here").rename(tmp_path / "there")
    root = tmp_path / "there" / "faces"
    assert open_sources([root]).fingerprint() == before
    write_jpeg(root / "person_01" / "1.jpg", crop(77))
    changed = open_sources([root]).fingerprint()
    (root / "person_02").rename(root / "person_03")
    assert len({before, changed, open_sources([root]).fingerprint()}) == 3
    one, other = record_folder(tmp_path / "r", [0, 1, 1]), record_folder(tmp_path / "s", [0, 0, 1])
    assert open_sources([one]).fingerprint() != open_sources([other]).fingerprint()


@pytest.mark.parametrize("kind", ["photographs", "class folders", "records"])
def test_other_pictures_of_the_same_names_and_sizes_have_another_fingerprint(tmp_path: Path, kind: str) -> None:
    if kind == "records":
        place, file = (folder := record_folder(tmp_path, [0, 1])), folder / "train.rec"
    else:
        file = tmp_path / "faces" / ("a.bmp" if kind == "photographs" else "person/a.bmp")
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(40_000))
        place = tmp_path / "faces"
    before, written = open_sources([place]).fingerprint(), file.stat()
    assert open_sources([place]).fingerprint() == before
    file.write_bytes(file.read_bytes()[:-8] + b"another " if kind != "records" else file.read_bytes())
    os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns + 1))
    assert file.stat().st_size == written.st_size
    assert open_sources([place]).fingerprint() != before


def test_a_folder_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "faces", 2, 2)
    sources = open_sources([root])
    write_jpeg(root / "person_00" / "9.jpg", crop(0))
    with pytest.raises(InputError, match="held 2 pictures a moment ago and holds 3 now"):
        sources.pictures(0, 4)


def test_a_dataset_with_wrong_labels_is_refused(tmp_path: Path) -> None:
    folder = record_folder(tmp_path, [0, 1, 1])
    data = bytearray((folder / "train.rec").read_bytes())
    records = open_dataset(folder)
    place = int(records._start_N[1]) - 20  # type: ignore[union-attr]
    data[place : place + 4] = np.float32(7).tobytes()
    (folder / "train.rec").write_bytes(data)
    with pytest.raises(InputError, match="label"):
        open_sources([folder])
