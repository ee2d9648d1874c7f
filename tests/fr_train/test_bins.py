"""insightface's `.bin` files: every vintage reads, malformed ones are a sentence, malicious ones leave no trace."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_train import bins
from synthface.errors import InputError

GOLDEN = Path(__file__).parent.parent / "golden" / "verification" / "bins"
GOOD = sorted(file.name for file in GOLDEN.glob("*.bin") if not file.name.startswith("malformed"))
MALICIOUS = sorted(file.name for file in (GOLDEN / "malicious").glob("*.bin"))


def test_there_are_golden_files_of_every_kind() -> None:
    assert len(GOOD) == 16
    assert len(MALICIOUS) == 11
    assert {name[:3] for name in GOOD} == {"py2", "py3", "nda"}


@pytest.mark.parametrize("name", GOOD)
def test_str_bytes_and_array_files_of_any_python_and_numpy_read_alike(name: str) -> None:
    found = bins.read(GOLDEN / name)
    with np.load(GOLDEN / "expected.npz") as expected:
        np.testing.assert_array_equal(found.issame_N, expected["issame"])
        whole = b"".join(bytes(image) for image in found.images)
        assert whole == expected["jpeg_bytes"].tobytes()
        assert np.cumsum([0, *map(len, found.images)]).tolist() == expected["jpeg_offsets"].tolist()
    assert (found.name, len(found)) == (Path(name).stem, 12)


def test_images_decode_to_rgb_as_mxnet_decodes_them() -> None:
    found = bins.read(GOLDEN / "py3_bytes_p4.bin")
    with np.load(GOLDEN / "expected.npz") as expected:
        decoded = np.concatenate(list(found.batches(5)))
        assert decoded.dtype == np.uint8
        difference = np.abs(decoded.astype(int) - expected["decoded_rgb"])
        assert difference.max() <= 3  # two versions of libjpeg
        swapped = np.abs(decoded[..., ::-1].astype(int) - expected["decoded_rgb"])
        assert swapped.mean() > 3 * difference.mean()


@pytest.mark.parametrize("name", MALICIOUS)
def test_malicious_files_are_refused_and_leave_no_trace(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        bins.read(GOLDEN / "malicious" / name)
    assert list(tmp_path.iterdir()) == []
    assert "refused" in str(caught.value) or "cannot be read" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("malformed_dict", "it holds a dict instead of a pair of lists"),
        ("malformed_odd_count", r"23 images \(an odd number\) cannot be 12 pairs"),
        ("malformed_truncated", "is truncated or damaged"),
    ],
)
def test_malformed_files_are_a_sentence(name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        bins.read(GOLDEN / f"{name}.bin")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (([b"a", b"b"], [True], 3), "holds a tuple instead of a pair of lists"),
        (("ab", [True]), "holds a str and a list instead of two lists"),
        (([b"a", 7], [True]), "image 1 is a int instead of an encoded image"),
        (([b"a", b"b"], [2]), "label 0 is a number other than 0 and 1"),
        (([b"a", b"b"], [10**6000]), "label 0 is a number other than 0 and 1"),
        (([b"a", b"b"], ["yes"]), "label 0 is a str instead of true or false"),
        (([], []), "it holds no pairs"),
        (([b"a"] * 4, [True]), "4 images cannot be 1 pairs"),
    ],
)
def test_other_content_is_named(tmp_path: Path, content: object, sentence: str) -> None:
    (tmp_path / "set.bin").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=sentence):
        bins.read(tmp_path / "set.bin")


def test_a_label_of_lists_within_lists_is_a_sentence(tmp_path: Path) -> None:
    deep = b"]" * 5_000 + b"a" * 4_999
    (tmp_path / "set.bin").write_bytes(b"\x80\x02](U\x01aU\x01be](" + deep + b"e\x86.")
    with pytest.raises(InputError, match="label 0 is a list instead of true or false"):
        bins.read(tmp_path / "set.bin")


def test_absent_files_and_folders_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no verification set"):
        bins.read(tmp_path / "absent.bin")
    with pytest.raises(InputError):
        bins.read(tmp_path)


def test_an_image_that_cannot_be_decoded_names_its_pair(tmp_path: Path) -> None:
    images = list(bins.read(GOLDEN / "py3_bytes_p4.bin").images)
    images[5] = b"no picture"
    bins.write(tmp_path / "bad.bin", images, [True] * 12)
    with pytest.raises(InputError, match=r"Image 5 \(pair 2\) of the verification set 'bad' cannot be decoded"):
        list(bins.read(tmp_path / "bad.bin").batches(8))


def test_writing_and_reading_is_the_identity_and_plain_pickle_reads_it_too(tmp_path: Path) -> None:
    images = list(bins.read(GOLDEN / "py3_bytes_p4.bin").images)
    same = np.arange(12) % 3 == 0
    bins.write(tmp_path / "a.bin", images, same)
    found = bins.read(tmp_path / "a.bin")
    assert list(found.images) == images
    np.testing.assert_array_equal(found.issame_N, same)
    assert pickle.loads((tmp_path / "a.bin").read_bytes()) == (images, same.tolist())


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(GOOD),
    changes=st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), min_size=1, max_size=4),
    front=st.booleans(),
)
def test_damaged_bytes_never_give_anything_but_a_set_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[int, int]], front: bool
) -> None:
    content = bytearray((GOLDEN / name).read_bytes())
    for place, value in changes:
        content[place % (400 if front else len(content))] = value
    path = tmp_path_factory.mktemp("fuzz") / "set.bin"
    path.write_bytes(content)
    try:
        found = bins.read(path)
    except InputError:
        return
    assert len(found.images) == 2 * len(found)
