"""ONNX networks: recognisers of every export, devices, and memory that ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoder_samples import DIMENSION, crop, write_detector, write_encoder

from synthface.encoder import open_encoder
from synthface.encoder.network import Network
from synthface.encoder.recognise import OnnxEncoder
from synthface.errors import InputError, ResourceError

CROPS = np.stack([crop(number) for number in range(5)])


def test_an_encoder_gives_a_row_a_crop_and_tells_what_it_is(networks: Path) -> None:
    encoder = open_encoder(networks / "encoder.onnx", device="cpu")
    assert (encoder.dimension, encoder.image_size) == (DIMENSION, 112)
    rows = encoder.embed(CROPS)
    assert rows.shape == (5, DIMENSION)
    assert rows.dtype == np.float32
    assert encoder.provenance.facts()["name"] == str(networks / "encoder.onnx")
    assert len(encoder.provenance.sha256) == 64
    assert encoder.embed(CROPS[:0]).shape == (0, DIMENSION)


def test_an_embedding_does_not_depend_on_its_batch_on_a_cpu(networks: Path) -> None:
    encoder = open_encoder(networks / "encoder.onnx", device="cpu", batch_size=2)
    together = encoder.embed(CROPS)
    for number in range(5):
        np.testing.assert_array_equal(encoder.embed(CROPS[number : number + 1])[0], together[number])


def test_where_batches_are_computed_at_once_they_are_of_one_size(networks: Path) -> None:
    encoder = OnnxEncoder(Network(networks / "encoder.onnx", "cpu", batched=True), batch_size=4)
    sizes = []
    run = encoder.network._run
    encoder.network._run = lambda image_BCHW: sizes.append(len(image_BCHW)) or run(image_BCHW)  # type: ignore[method-assign,func-returns-value]
    together = encoder.embed(CROPS)
    for number in range(5):
        np.testing.assert_array_equal(encoder.embed(CROPS[number : number + 1])[0], together[number])
    assert set(sizes) == {4}


@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("batched", [False, True])
def test_exports_with_a_fixed_batch_take_any(tmp_path: Path, networks: Path, batch: Any, batched: bool) -> None:
    path = write_encoder(tmp_path / "fixed.onnx", batch=batch)
    rows = OnnxEncoder(Network(path, "cpu", batched), batch_size=3).embed(CROPS)
    np.testing.assert_allclose(rows, open_encoder(networks / "encoder.onnx").embed(CROPS), rtol=1e-4, atol=1e-4)


def test_pixels_are_scaled_once_also_where_the_graph_does_it(tmp_path: Path, networks: Path) -> None:
    old = open_encoder(write_encoder(tmp_path / "old.onnx", normalises=True))
    np.testing.assert_allclose(
        old.embed(CROPS), open_encoder(networks / "encoder.onnx").embed(CROPS), rtol=1e-4, atol=1e-4
    )


def test_the_first_channel_is_red(networks: Path) -> None:
    encoder = open_encoder(networks / "encoder.onnx")
    red, blue = np.zeros((2, 1, 112, 112, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    weight = np.random.default_rng(0).standard_normal((3 * 49, DIMENSION)).astype(np.float32)
    expected = (np.repeat([1.0, -1.0, -1.0], 49)[None] @ weight)[0]
    np.testing.assert_allclose(encoder.embed(red)[0], expected, rtol=1e-3, atol=1e-3)
    assert np.abs(encoder.embed(blue)[0] - expected).max() > 1


def test_crops_of_another_size_are_resized(networks: Path) -> None:
    encoder = open_encoder(networks / "encoder.onnx")
    large = np.stack([crop(number, 224) for number in range(3)])
    cosine = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in zip(encoder.embed(large), encoder.embed(CROPS), strict=False)
    ]
    assert min(cosine) > 0.99


@pytest.mark.parametrize("wrong", [np.zeros((112, 112, 3), np.uint8), np.zeros((1, 112, 112, 3), np.float32)])
def test_crops_of_another_kind_are_refused(networks: Path, wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="An encoder reads uint8"):
        open_encoder(networks / "encoder.onnx").embed(wrong)


def test_a_detector_is_no_recogniser(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a face recogniser.*A recogniser reads \(n, 3, 112, 112\)"):
        open_encoder(write_detector(tmp_path / "detector.onnx"))


@pytest.mark.parametrize("batched", [False, True])
def test_half_a_network_is_refused_in_one_sentence(networks: Path, tmp_path: Path, batched: bool) -> None:
    half = tmp_path / "half.onnx"
    half.write_bytes((networks / "encoder.onnx").read_bytes()[:-2_000])
    with pytest.raises(InputError, match=r"half\.onnx cannot be opened as an ONNX network.*export it again"):
        Network(half, "cpu", batched)
    with pytest.raises(InputError, match="There is no network"):
        Network(tmp_path / "none.onnx", "cpu", batched)


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.usefixtures("onnxruntime_claims_cuda")
def test_a_gpu_that_cannot_be_used_is_an_error_where_it_was_asked_for(
    networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ResourceError, match="its CUDA libraries did not load"):
        Network(networks / "encoder.onnx", "cuda")  # this onnxruntime falls back to the CPU, which is not what was said
    unasked = Network(networks / "encoder.onnx")
    assert (unasked.on_gpu, unasked.batched) == (False, False)
    assert "found no GPU that it can use: encoder.onnx runs on the CPU" in capsys.readouterr().err


class Small:
    """A session whose device holds `fits` pictures."""

    def __init__(self, session: Any, fits: int) -> None:
        self.session, self.fits = session, fits

    def run(self, outputs: Any, feeds: dict[str, np.ndarray]) -> Any:
        if max(len(array) for array in feeds.values()) > self.fits:
            raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9")
        return self.session.run(outputs, feeds)


@pytest.mark.parametrize(("fits", "words"), [(3, "A batch of 64 pictures does not fit .* 2 fits. Use --set encoder.batch_size=2"),
                                             (0, "Not even one picture fits")])  # fmt: skip
def test_when_memory_ends_the_batch_that_fits_is_told(networks: Path, fits: int, words: str) -> None:
    encoder = OnnxEncoder(Network(networks / "encoder.onnx", "cpu", batched=True))
    encoder.network._session = Small(encoder.network._session, fits)
    with pytest.raises(ResourceError, match=words):
        encoder.embed(CROPS)


@pytest.mark.gpu
def test_a_gpu_gives_nearly_the_same(networks: Path) -> None:
    on_gpu = open_encoder(networks / "encoder.onnx", device="cuda").embed(CROPS)
    np.testing.assert_allclose(on_gpu, open_encoder(networks / "encoder.onnx", device="cpu").embed(CROPS), atol=1e-2)
