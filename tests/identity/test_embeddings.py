"""Embedding files: three formats, one stream of unit rows, errors that name file and row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synthface.errors import InputError
from synthface.identity.embeddings import open_embeddings

FORMATS = ["a.npy", "a.npz", "a-compressed.npz", "a.safetensors"]
Save = Callable[..., Path]


def rows(count: int, dimension: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension)) * 3


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_every_format_gives_unit_float32_rows(save: Save, name: str, dtype: str) -> None:
    x = rows(3_000).astype(dtype)
    opened = open_embeddings([save(name, x)])
    loaded = opened.load()
    assert loaded.dtype == np.float32
    assert (len(opened), opened.dimension) == x.shape
    np.testing.assert_allclose(loaded, unit(x.astype(np.float64)), atol=2e-7)


@pytest.mark.parametrize("chunk", [1, 7, 1_024, 1_500, 10_000])
def test_chunks_do_not_depend_on_how_rows_lie_in_files(save: Save, chunk: int) -> None:
    x = rows(2_500).astype(np.float32)
    one = open_embeddings([save("one.npy", x)])
    several = open_embeddings([save("p.npy", x[:3]), save("q.npz", x[3:1_800]), save("r.safetensors", x[1_800:])])
    for whole, cut in zip(one.chunks(chunk), several.chunks(chunk), strict=True):
        assert whole.start == cut.start
        np.testing.assert_array_equal(whole.embedding_BD, cut.embedding_BD)
    assert one.fingerprint() == several.fingerprint()


def test_labels_of_several_files_are_joined(save: Save) -> None:
    x = rows(10).astype(np.float32)
    both = open_embeddings([save("a.npz", x[:4], np.arange(4)), save("b.safetensors", x[4:], np.arange(4, 10))])
    np.testing.assert_array_equal(both.labels_N, np.arange(10))
    assert [chunk.label_B.tolist() for chunk in both.chunks(6)] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]


def test_rows_whose_squares_overflow_float32_still_have_a_direction(save: Save) -> None:
    x = np.array([[3e30, 4e30], [3e-30, 4e-30], [3, 4]], np.float32)
    np.testing.assert_allclose(open_embeddings([save("a.npy", x)]).load(), [[0.6, 0.8]] * 3, rtol=1e-6)


def test_a_reused_chunk_holds_the_same_rows(save: Save) -> None:
    opened = open_embeddings([save("a.npy", rows(100).astype(np.float32))])
    fresh = [chunk.embedding_BD for chunk in opened.chunks(30)]
    for kept, chunk in zip(fresh, opened.chunks(30, reuse=True), strict=True):
        np.testing.assert_array_equal(kept, chunk.embedding_BD)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("value", "words"), [(np.nan, "NaN"), (np.inf, "infinity"), (0.0, "all zeros")])
def test_a_faulty_row_is_named_with_its_file(save: Save, name: str, value: float, words: str) -> None:
    x = rows(2_000).astype(np.float32)
    x[1_234] = value
    good = save("good.npy", rows(50))
    with pytest.raises(InputError, match=rf"{name}: row 1234 .*{words}"):
        open_embeddings([good, save(name, x)]).load()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*none\.npy"):
        open_embeddings([tmp_path / "none.npy"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npy", b"\x93NUMPY garbage", "cannot be read"),
        ("a.npz", b"PK\x03\x04 half", "cannot be read"),
        ("a.safetensors", b"\xff" * 40, "cannot be read"),
        ("a.csv", b"1,2,3", "not an embedding file"),
        ("a.npy", b"", "cannot be read"),
    ],
)
def test_damaged_and_foreign_files_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        open_embeddings([tmp_path / name])


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}, None], object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", embeddings=np.array([[object()]], object))
    for name in ("a.npy", "b.npz"):
        with pytest.raises(InputError):
            open_embeddings([tmp_path / name])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((2, 3, 4)), "shape"),
        (np.zeros((0, 8)), "no embeddings"),
        (np.ones((4, 3), int), "not float16"),
    ],
)
def test_arrays_of_another_kind_are_refused(save: Save, array: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_embeddings([save("a.npy", array)])


def test_files_that_contradict_each_other_are_refused(save: Save) -> None:
    with pytest.raises(InputError, match=r"dimension 8; .*is 7"):
        open_embeddings([save("a.npy", rows(5)), save("b.npy", rows(5, 8))])
    with pytest.raises(InputError, match="the encoder's is 512"):
        open_embeddings([save("a.npy", rows(5))], dimension=512)
    with pytest.raises(InputError, match=r"c\.npz has labels and .*a\.npy has none"):
        open_embeddings([save("a.npy", rows(5)), save("c.npz", rows(5), np.arange(5))])


def test_labels_of_another_length_or_kind_are_refused(save: Save) -> None:
    with pytest.raises(InputError, match="4 labels for 5 embeddings"):
        open_embeddings([save("a.npz", rows(5), np.arange(4))])
    with pytest.raises(InputError, match="whole numbers"):
        open_embeddings([save("b.npz", rows(5), np.linspace(0, 1, 5))])


def test_a_file_without_the_array_says_what_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=rows(3))
    with pytest.raises(InputError, match="no array `embeddings`; it has features"):
        open_embeddings([tmp_path / "a.npz"])
