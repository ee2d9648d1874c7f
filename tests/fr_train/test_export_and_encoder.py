"""A trained network leaves the house as ONNX for insightface and as an encoder of the pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from fr_train import export, weights
from fr_train.encoder import BATCH, RecogniserEncoder
from fr_train.models import OnnxEmbedder, TorchEmbedder, export_onnx, export_safetensors, open_model
from synthface.encoder import open_encoder
from synthface.errors import InputError, MissingWeightsError, ResourceError, UsageError

REAL_SESSION = onnxruntime.InferenceSession


def faces(number: int, size: int = 112) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, size, size, 3), dtype=np.uint8)


def settled(network: nn.Module) -> nn.Module:
    """The network with running statistics that some images left, so that evaluation mode means something."""
    network.train()
    with torch.no_grad():
        for seed in range(3):
            network(torch.rand(4, 3, 112, 112, generator=torch.Generator().manual_seed(seed)) * 2 - 1)
    return network.eval()


@pytest.mark.parametrize(
    ("family", "color"),
    [("adaface", "bgr"), ("insightface", "rgb"), ("mobilefacenet", "rgb"), ("small", "rgb"), ("small", "bgr")],
)
def test_insightface_loads_the_export_and_gives_the_same_embedding(
    narrow: Callable[[str], nn.Module], tmp_path: Path, family: str, color: str
) -> None:
    from insightface import model_zoo

    embedder = TorchEmbedder(settled(narrow(family)), "ours", color)
    export_onnx(embedder, tmp_path / "recogniser.onnx")
    recogniser: Any = model_zoo.get_model(str(tmp_path / "recogniser.onnx"), providers=["CPUExecutionProvider"])
    recogniser.prepare(ctx_id=-1)
    assert (recogniser.taskname, recogniser.input_size) == ("recognition", (112, 112))
    image_BHWC = faces(3)
    theirs_BD = recogniser.get_feat([image[..., ::-1] for image in image_BHWC])  # it takes OpenCV's BGR
    np.testing.assert_allclose(theirs_BD, embedder(image_BHWC), rtol=1e-3, atol=1e-4)
    again = OnnxEmbedder(tmp_path / "recogniser.onnx")
    np.testing.assert_allclose(again(image_BHWC), embedder(image_BHWC), rtol=1e-3, atol=1e-4)


def test_the_exported_network_is_left_as_it_was(narrow: Callable[[str], nn.Module], tmp_path: Path) -> None:
    network = narrow("small").train()
    export.to_onnx(network, tmp_path / "a.onnx")
    assert network.training


def test_image_sizes_that_insightface_would_mistake_are_refused(
    narrow: Callable[[str], nn.Module], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="takes no recogniser for images of 96×96"):
        export.to_onnx(narrow("small"), tmp_path / "a.onnx", image_size=96)
    assert not (tmp_path / "a.onnx").exists()


def test_what_is_onnx_already_is_not_written_again(narrow: Callable[[str], nn.Module], tmp_path: Path) -> None:
    export.to_onnx(narrow("small"), tmp_path / "a.onnx")
    model = open_model(tmp_path / "a.onnx", device="cpu")
    with pytest.raises(UsageError, match="is an ONNX network already"):
        export_onnx(model, tmp_path / "b.onnx")
    with pytest.raises(UsageError, match="Only checkpoints can be written"):
        export_safetensors(model, tmp_path / "b.safetensors")


def test_onnx_files_that_are_no_recognisers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(InputError, match="cannot be opened as an ONNX network"):
        open_model(tmp_path / "torn.onnx")
    with pytest.raises(InputError, match="There is no network"):
        open_model(tmp_path / "absent.onnx")
    torch.onnx.export(nn.Linear(3, 2), (torch.zeros(1, 3),), str(tmp_path / "flat.onnx"), dynamo=False)
    with pytest.raises(InputError, match="is not a face recogniser: its input is"):
        open_model(tmp_path / "flat.onnx")
    torch.onnx.export(nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 112, 112),), str(tmp_path / "map.onnx"), dynamo=False)
    with pytest.raises(InputError, match="is not a face recogniser: it has 1 outputs, the first of shape"):
        open_model(tmp_path / "map.onnx")


def test_a_graph_exported_for_one_image_at_a_time_takes_any_number(
    narrow: Callable[[str], nn.Module], tmp_path: Path
) -> None:
    network = settled(narrow("small"))
    torch.onnx.export(network, (torch.zeros(2, 3, 112, 112),), str(tmp_path / "fixed.onnx"), dynamo=False)
    fixed, free = OnnxEmbedder(tmp_path / "fixed.onnx"), TorchEmbedder(network, "free")
    image_BHWC = faces(5)
    np.testing.assert_allclose(fixed(image_BHWC), free(image_BHWC), rtol=1e-3, atol=1e-4)


@pytest.fixture
def onnx(narrow: Callable[[str], nn.Module], tmp_path: Path) -> Path:
    export.to_onnx(settled(narrow("small")), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


class Session:
    """An onnxruntime session whose CUDA cannot be used: it runs on the CPU instead, and prints so."""

    def __init__(self, content: str, options: Any, providers: list[Any]) -> None:
        self.session = REAL_SESSION(content, options, providers=["CPUExecutionProvider"])
        if len(providers) > 1:
            print("EP Error when using CUDAExecutionProvider")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


@pytest.mark.usefixtures("onnxruntime_claims_cuda")
def test_a_fall_back_to_the_cpu_does_not_go_unnoticed(
    onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    with pytest.raises(ResourceError, match=r"'cuda:1' was asked for, and onnxruntime cannot use it for .*small\.onnx"):
        open_model(onnx, device="cuda:1")
    assert open_model(onnx, device="auto")(faces(2)).shape == (2, 16)
    out, err = capsys.readouterr()
    assert out == ""  # where --json speaks
    assert "onnxruntime found no GPU that it can use: small.onnx runs on the CPU." in err
    open_model(onnx, device="cpu")
    assert capsys.readouterr().err == ""


def holding(fits: int, embed: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """`embed` on a device that has memory for so many images."""

    def run(*arguments: Any) -> Any:
        feeds = arguments[-1]
        images = next(iter(feeds.values())) if isinstance(feeds, dict) else feeds
        if len(images) > fits:
            raise error
        return embed(*arguments)

    return run


@pytest.mark.parametrize(
    ("device", "fits", "words"),
    [("cuda", 5, "cuda has no memory for a batch of 12 images; one of 3 fits. Use --set evaluate.batch_size=3."),
     ("cuda", 0, "cuda has no memory for even one image."),
     ("cpu", 0, "cpu has no memory for even one image.")],
)  # fmt: skip
def test_when_memory_ends_the_batch_that_fits_is_told_of_onnx_too(
    onnx: Path, device: str, fits: int, words: str
) -> None:
    model: Any = open_model(onnx, device="cpu")
    model.device = device  # a GPU computes a batch at once, a CPU one image a thread
    full = RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9")
    model._session = SimpleNamespace(run=holding(fits, model._session.run, full))
    with pytest.raises(ResourceError, match=re.escape(words)):
        model(faces(12))
    other = ValueError("of another kind")
    model._session = SimpleNamespace(run=holding(fits, model._session.run, other))
    with pytest.raises(ValueError, match="of another kind"):
        model(faces(12))


def test_on_a_cpu_an_embedding_depends_on_no_neighbour(onnx: Path) -> None:
    model, image_BHWC = open_model(onnx, device="cpu"), faces(5)
    alone = [model(image_BHWC[n : n + 1]) for n in range(5)]
    np.testing.assert_array_equal(model(image_BHWC), np.concatenate(alone))
    assert model(image_BHWC[:0]).shape == (0, alone[0].shape[1])


@pytest.fixture
def recogniser(narrow: Callable[[str], nn.Module], tmp_path: Path) -> Path:
    path = tmp_path / "recogniser.safetensors"
    weights.save(path, settled(narrow("small")), backbone="small", color="rgb")
    return path


def test_the_pipeline_opens_a_safetensors_recogniser_by_its_entry_point(recogniser: Path) -> None:
    encoder = open_encoder(recogniser, device="cpu")
    assert (encoder.dimension, encoder.image_size) == (16, 112)
    assert encoder.provenance.facts()["name"] == str(recogniser)
    assert len(encoder.provenance.facts()["sha256"]) == 64
    image_BHWC = faces(3)
    expected_BD = open_model(recogniser, device="cpu")(image_BHWC)
    np.testing.assert_allclose(encoder.embed(image_BHWC), expected_BD, rtol=1e-3, atol=1e-4)
    assert encoder.embed(image_BHWC[:0]).shape == (0, 16)


def test_foreign_checkpoints_are_encoders_too(golden: Path) -> None:
    image_BHWC = np.random.RandomState(7).randint(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    embedding_BD = open_encoder(golden / "insightface" / "mbf_narrow.pt", device="cpu").embed(image_BHWC)
    with np.load(golden / "insightface" / "mbf_narrow_io.npz") as numbers:
        np.testing.assert_allclose(embedding_BD, numbers["embedding"], rtol=1e-3, atol=1e-4)


def test_a_face_has_the_same_embedding_to_the_last_bit_in_any_company(recogniser: Path) -> None:
    encoder = open_encoder(recogniser, device="cpu")
    image_BHWC = faces(2 * BATCH["cpu"] + 3)
    together_BD = encoder.embed(image_BHWC)
    for index in (0, 5, BATCH["cpu"], len(image_BHWC) - 1):
        assert np.array_equal(encoder.embed(image_BHWC[index : index + 1])[0], together_BD[index])
    order = np.random.default_rng(0).permutation(len(image_BHWC))
    assert np.array_equal(encoder.embed(image_BHWC[order]), together_BD[order])


def test_crops_of_another_size_are_resized_and_other_arrays_refused(recogniser: Path) -> None:
    encoder = open_encoder(recogniser, device="cpu")
    assert encoder.embed(faces(2, 128)).shape == (2, 16)
    assert encoder.embed(faces(2, 64)).shape == (2, 16)
    with pytest.raises(InputError, match="The crops are float64"):
        encoder.embed(faces(2).astype(float))  # type: ignore[arg-type]


def test_when_memory_ends_an_encoder_names_the_recipes_value_for_it(
    recogniser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder: Any = open_encoder(recogniser, device="cpu")
    full = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
    monkeypatch.setattr(encoder.embedder.module, "forward", holding(3, encoder.embedder.module.forward, full))
    words = "cpu has no memory for a batch of 8 images; one of 2 fits. Use --set encoder.batch_size=2."
    with pytest.raises(ResourceError, match=re.escape(words)):
        encoder.embed(faces(4))


def test_the_recipes_batch_size_reaches_the_encoder(recogniser: Path) -> None:
    usual: Any = open_encoder(recogniser, device="cpu")
    fewer: Any = open_encoder(recogniser, device="cpu", batch_size=2)
    assert (usual.batch, fewer.batch) == (BATCH["cpu"], 2)
    np.testing.assert_allclose(fewer.embed(faces(5)), usual.embed(faces(5)), rtol=1e-3, atol=1e-4)
    on_gpu = RecogniserEncoder(SimpleNamespace(device="cuda:1", image_size=112), 16, usual.provenance, 32)  # type: ignore[arg-type]
    assert on_gpu.batch == 32


def test_a_name_that_is_no_file_says_so() -> None:
    with pytest.raises((InputError, MissingWeightsError), match="absent"):
        open_encoder("absent.safetensors")
