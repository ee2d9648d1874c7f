"""Names and files → encoders, through entry points too."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

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
