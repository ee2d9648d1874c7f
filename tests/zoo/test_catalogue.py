"""The catalogue, and what recipes lack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from synthface import recipe as recipes
from synthface import zoo
from synthface.errors import InputError
from synthface.recipe import Recipe
from synthface.zoo import needs, places, shipped
from synthface.zoo.catalogue import CATALOGUE


def test_every_model_states_source_revision_files_licence_and_terms() -> None:
    for name, model in CATALOGUE.items():
        assert model.name == name
        assert re.fullmatch(r"[0-9a-f]{40}", model.revision) or (model.url or "").startswith("https://")
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.repository)
        assert model.files
        assert model.licence
        assert model.terms.endswith(".")
        assert model.size
        assert model.weights is None or any(f.path.startswith(model.weights) for f in model.files)
        for file in model.files:
            whole = re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "") and file.exact
            named = model.url and file.path.endswith(f"-{file.sha256}.pth")
            assert file.sha256 is None or whole or named
    roles = {model.role for model in CATALOGUE.values()}
    assert roles == {"generator", "base", "encoder", "detector", "controlnet", "lora", "autoencoder", "metric"}


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(InputError, match=r"no public model 'arcfase'\. Did you mean 'arcface'\?"):
        zoo.entry("arcfase")


def fill(model: Any) -> None:
    """Puts files of the right size where the model's would be."""
    for file in model.files:
        place = places.place(model, file)
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "wb") as target:
            target.truncate(file.size or 1)  # sparse


def test_half_a_large_file_counts_as_missing_also_where_only_its_rounded_size_is_known() -> None:
    model = CATALOGUE["arcface"]
    fill(model)
    assert places.missing(model) == []
    with open(places.place(model, model.files[0]), "r+b") as file:
        file.truncate(200_000_000)
    assert [file.path for file in places.missing(model)] == ["arcface.onnx"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder with all the models that ship."""
    folder = tmp_path / "embedded"
    (folder / "generator").mkdir(parents=True)
    for name in (*shipped.ENCODERS.values(), shipped.PRIOR):
        (folder / name).touch()
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def recipe(**values: object) -> Recipe:
    return recipes.build({}, values)


def lacking(chosen: Recipe, prior: Path | None = None) -> dict[str, needs.Lack]:
    return {lack.subject: lack for lack in zoo.missing_for(chosen, prior)}


def test_the_demonstration_lacks_nothing_when_its_models_shipped(installed: Path) -> None:
    assert lacking(recipe()) == {}
    (installed / "verifier.safetensors").unlink()
    (installed / "prior.safetensors").unlink()
    (installed / "generator").rmdir()
    assert set(lacking(recipe())) == {
        "embedded/verifier.safetensors",
        "embedded/generator",
        "embedded/prior.safetensors",
    }


@pytest.mark.usefixtures("installed")
def test_a_recipe_of_public_models_lacks_them_and_a_prior(tmp_path: Path) -> None:
    chosen = recipe(**{
        "encoder.model": "arcface", "encoder.detector": "scrfd", "generator.model": "arc2face",
        "generator.lora": "lcm-lora", "generator.vae": "taesd",
    })  # fmt: skip
    found = lacking(chosen)
    assert set(found) == {"arcface", "scrfd", "arc2face", "sd15-base", "lcm-lora", "taesd", "prior"}
    assert found["scrfd"].why == "encoder.detector wants it; missing: scrfd_10g_bnkps.onnx"
    assert found["scrfd"].fix == "synthface models pull scrfd"
    assert "fit-prior" in found["prior"].fix
    assert zoo.models_of(chosen) == ["arcface", "scrfd", "arc2face", "sd15-base", "lcm-lora", "taesd"]
    fill(CATALOGUE["scrfd"])
    own = tmp_path / "prior.safetensors"
    own.touch()
    assert set(lacking(chosen, own)) == {"arcface", "arc2face", "sd15-base", "lcm-lora", "taesd"}


@pytest.mark.usefixtures("installed")
def test_files_folders_and_hub_ids_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    chosen = recipe(**{
        "encoder.detector": "mine.onnx", "generator.base": "someone/sd", "generator.lora": "lora.safetensors",
        "prior.file": "prior.safetensors",
    })  # fmt: skip
    found = lacking(chosen)
    assert set(found) == {"mine.onnx", "someone/sd", "lora.safetensors", "prior.safetensors"}
    assert "check encoder.detector" in found["mine.onnx"].fix
    assert "fetched from the hub when first used" in found["someone/sd"].fix
    for name in ("mine.onnx", "lora.safetensors", "prior.safetensors"):
        Path(name).touch()
    (tmp_path / "hub" / "models--someone--sd" / "snapshots" / "abc").mkdir(parents=True)
    assert lacking(chosen) == {}


def test_every_recipe_that_ships_is_understood() -> None:
    for name in recipes.available():
        for lack in zoo.missing_for(recipes.load(name)):
            assert all(lack), f"{name}: subject, reason and fix"
