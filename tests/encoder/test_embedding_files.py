"""Embedding files that grow in place: every reader sees the rows, and equal rows are equal bytes."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthface.encoder import formats
from synthface.encoder.store import Store
from synthface.errors import InputError, RunConflictError, UsageError
from synthface.identity import average
from synthface.identity.embeddings import open_embeddings

FACTS = {"encoder": "mine", "größe": 1}


def written(path: Path, row_ND: np.ndarray, columns: dict[str, np.ndarray]) -> Path:
    layout = formats.format_of(path, row_ND.shape[1], str(row_ND.dtype))
    with open(path, "w+b") as file:
        file.truncate(layout.head)
        file.seek(layout.head)
        file.write(row_ND.tobytes())
        layout.finish(file, len(row_ND), columns, FACTS)
    return path


def rows(count: int, dimension: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, dimension)).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(2, 9), st.sampled_from(["float32", "float16"]), st.sampled_from(formats.SUFFIXES)
)
def test_rows_and_columns_come_back(
    tmp_path_factory: pytest.TempPathFactory, count: int, dimension: int, dtype: str, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("file") / f"emb{suffix}"
    row_ND, label_N = rows(count, dimension, dtype), np.arange(count) // 3
    written(path, row_ND, {"labels": label_N, "indices": np.arange(count) * 2})
    found = open_embeddings([path])
    unit_ND = row_ND / np.linalg.norm(row_ND.astype(np.float64), axis=1, keepdims=True)
    np.testing.assert_allclose(found.load(), unit_ND, atol=1e-3 if dtype == "float16" else 1e-6)
    if suffix == ".npy":
        assert found.labels_N is None
        np.testing.assert_array_equal(np.load(path), row_ND)
        assert formats.read_facts(path) is None
    else:
        assert found.labels_N is not None
        np.testing.assert_array_equal(found.labels_N, label_N)
        assert formats.read_facts(path) == FACTS


def test_an_npz_is_a_sound_zip_file_that_numpy_reads(tmp_path: Path) -> None:
    path = written(tmp_path / "emb.npz", rows(5, 3, "float32"), {"labels": np.arange(5)})
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["embeddings.npy", "labels.npy", "metadata.npy"]
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["embeddings"], rows(5, 3, "float32"))
        assert json.loads(str(file["metadata"])) == FACTS


def test_the_head_has_room_for_any_number_of_rows() -> None:
    for count in (0, 1, 42_000_000, 10**12):
        head = formats.npy_head((count, 512), np.dtype("<f4"))
        assert len(head) == 128
        file = io.BytesIO(head)
        np.lib.format.read_magic(file)
        assert np.lib.format.read_array_header_1_0(file) == ((count, 512), False, np.dtype("<f4"))


def test_an_npz_of_more_than_4_gib_has_zip64_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are lowered instead of 4 GiB written."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1_000)
    row_ND = rows(200, 4, "float32")
    path = written(tmp_path / "emb.npz", row_ND, {"labels": np.arange(200)})
    monkeypatch.undo()
    assert zipfile.ZipFile(path).getinfo("labels.npy").header_offset > 3_000
    np.testing.assert_array_equal(np.load(path)["embeddings"], row_ND)
    np.testing.assert_array_equal(np.load(path)["labels"], np.arange(200))


def test_facts_of_foreign_files_are_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", embeddings=rows(3, 4, "float32"))
    (tmp_path / "b.npz").write_bytes(b"PK nothing")
    (tmp_path / "c.safetensors").write_bytes(b"12345678{}")
    assert [formats.read_facts(tmp_path / name) for name in ("a.npz", "b.npz", "c.safetensors")] == [None] * 3


def test_another_ending_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Its name ends in \.npz, \.npy or \.safetensors"):
        formats.check_name(Path("emb.pkl"))


TASK = {"pictures": 9, "encoder": "a"}


def store(folder: Path, task: dict[str, object] = TASK) -> Store:
    return Store(folder, dict(task), formats.format_of(Path("x.npz"), 4, "float32"))


def add(target: Store, count: int) -> None:
    start = target.tally.rows
    number_N = np.arange(start, start + count)
    target.append(
        np.repeat(number_N[:, None], 4, 1).astype(np.float32), number_N * 10, number_N, [("a\tb\nc", "no face")]
    )
    target.tally.rows += count
    target.tally.seen += count
    target.tally.skipped["no face"] += 1


def test_what_came_after_the_last_mark_is_forgotten(tmp_path: Path) -> None:
    begun = store(tmp_path / "part")
    add(begun, 3)
    begun.mark()
    add(begun, 2)  # killed in the middle of this block
    begun.save()
    begun.close()
    again = store(tmp_path / "part")
    assert (again.tally.rows, again.tally.skipped["no face"]) == (3, 1)
    add(again, 4)
    again.mark()
    again.save()
    assert again.rows()[:, 0].tolist() == list(range(7))
    assert again.column("labels").tolist() == [10 * k for k in range(7)]
    assert (tmp_path / "part" / "skipped").read_text() == "a b c\tno face\n" * 2


def test_a_beginning_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    begun = store(tmp_path / "part")
    begun.mark()
    begun.save()
    with pytest.raises(RunConflictError, match=r"(?s)beginning of another embedding:\n  encoder: a there, b now"):
        store(tmp_path / "part", {**TASK, "encoder": "b"})


def test_a_beginning_that_lost_rows_is_not_filled_with_zeros(tmp_path: Path) -> None:
    begun = store(tmp_path / "part")
    add(begun, 3)
    begun.mark()
    begun.save()
    begun.close()
    with open(tmp_path / "part" / "rows", "r+b") as file:
        file.truncate(50)
    with pytest.raises(InputError, match="shorter than what was saved"):
        store(tmp_path / "part")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(1, 50))
def test_the_average_is_the_mean_direction_of_each_person(labels: list[int], chunk: int) -> None:
    label_N, row_ND = np.array(labels, np.int64), rows(len(labels), 5, "float32")
    parts = list(average.by_person(row_ND, label_N, chunk))
    unit_ND = row_ND / np.linalg.norm(row_ND, axis=1, keepdims=True)
    found = np.concatenate([part.label_P for part in parts])
    assert found.tolist() == sorted(set(labels))
    for label, mean, count in zip(
        found, np.concatenate([p.mean_PD for p in parts]), np.concatenate([p.count_P for p in parts]), strict=True
    ):
        np.testing.assert_allclose(mean, unit_ND[label_N == label].mean(axis=0), atol=1e-6)
        assert count == labels.count(int(label))
