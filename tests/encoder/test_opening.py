"""Names and files → encoders, through entry points too."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from encoder_samples import crop

from synthface.encoder import Provenance, open_detector, open_encoder
from synthface.encoder import open as opening
from synthface.errors import InputError, MissingPackageError, MissingWeightsError
from synthface.recipe.people import EncoderRecipe
from synthface.zoo import shipped


class Registered:
    """An encoder of another package."""

    dimension, image_size, provenance = 4, 112, Provenance("registered", "0" * 64)

    def __init__(self, path: Path, device: str | None) -> None:
        self.path, self.device = path, device


def register(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry = metadata.EntryPoint("safetensors", value, opening.ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] if group == opening.ENTRY_POINTS else [])


def test_other_files_are_opened_by_the_package_that_offers_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, f"{__name__}:Registered")
    path = tmp_path / "recogniser.safetensors"
    path.touch()
    found: Any = open_encoder(path, device="cpu")
    assert (found.path, found.device) == (path, "cpu")


def test_the_shipped_encoder_is_a_file_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, f"{__name__}:Registered")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(MissingWeightsError, match=r"'embedded' that ships with synthface.*install synthface again"):
        open_encoder("embedded")
    for name, file in shipped.ENCODERS.items():
        (tmp_path / file).touch()
        found: Any = open_encoder(name)
        assert found.path == tmp_path / file


def test_unknown_names_and_kinds_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError, match=r"There is no model named 'arcfase' and no such file\. Did you mean 'arcface'\?"
    ):
        open_encoder("arcfase")
    with pytest.raises(InputError, match="is a folder where a network was expected"):
        open_encoder(tmp_path)
    foreign = tmp_path / "weights.tflite"
    foreign.touch()
    register(monkeypatch, f"{__name__}:Registered")
    with pytest.raises(InputError, match=r"\.onnx, \.safetensors can\. Export the recogniser as ONNX"):
        open_encoder(foreign)


def test_a_package_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "no_such_package:open")
    path = tmp_path / "recogniser.safetensors"
    path.touch()
    with pytest.raises(
        MissingPackageError, match="needs a package that is not there: No module named 'no_such_package'"
    ):
        open_encoder(path)


def test_a_public_model_that_was_not_pulled_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHFACE_MODELS", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="synthface models pull arcface"):
        open_encoder("arcface")
    with pytest.raises(MissingWeightsError, match="synthface models pull scrfd"):
        open_detector(EncoderRecipe(detector="scrfd"))
    assert open_detector(EncoderRecipe(detector=None)) is None


@pytest.mark.parametrize(
    ("checkpoint", "as_onnx"),
    [
        ("adaface/backbone/irse_narrow.ckpt", False),
        ("insightface/mbf_narrow.pt", False),
        ("insightface/mbf_narrow.pt", True),
    ],
)
def test_a_pytorch_recogniser_and_its_onnx_are_encoders(
    golden: Path, tmp_path: Path, checkpoint: str, as_onnx: bool
) -> None:
    """Checkpoints of AdaFace and insightface, with few channels, through the recipe's value and the installed entry point."""
    from fr_train import models
    from synthface.encoder.embedding import embed

    path = golden / checkpoint
    model = models.open_model(path, device="cpu")
    images = np.stack([crop(number, model.image_size) for number in range(3)])
    for number, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image[..., ::-1])
    if as_onnx:
        path = tmp_path / "recogniser.onnx"
        models.export_onnx(model, path)
    embed(sorted(tmp_path.glob("*.png")), tmp_path / "emb.npz", EncoderRecipe(model=str(path)), device="cpu")
    np.testing.assert_allclose(np.load(tmp_path / "emb.npz")["embeddings"], model(images), rtol=1e-4, atol=1e-4)
