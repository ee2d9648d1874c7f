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
    assert roles == {
        "generator",
        "base",
        "foundation",
        "encoder",
        "detector",
        "controlnet",
        "lora",
        "autoencoder",
        "metric",
    }


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


def fetched(cache: Path, repository: str) -> Path:
    """What `hf download` leaves in the hub's cache."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    return snapshot


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
        "train.data": ["faces"], "evaluate.benchmarks": "bins",
    })  # fmt: skip
    found = lacking(chosen)
    assert set(found) == {"mine.onnx", "someone/sd", "lora.safetensors", "prior.safetensors", "faces", "bins"}
    assert "check encoder.detector" in found["mine.onnx"].fix
    assert "`hf download someone/sd`" in found["someone/sd"].fix
    assert (found["faces"].why, found["bins"].why) == (
        "train.data names it; there is no such folder",
        "evaluate.benchmarks names it; there is no such folder",
    )
    for name in ("mine.onnx", "lora.safetensors", "prior.safetensors"):
        Path(name).touch()
    for name in ("faces", "bins"):
        Path(name).mkdir()
    fetched(tmp_path / "hub", "someone/sd")
    assert lacking(chosen) == {}


@pytest.mark.usefixtures("installed")
def test_what_trains_a_generator_is_wanted_too(tmp_path: Path) -> None:
    scratch = {"train_generator.mode": "scratch", "train_generator.resolution": 112}
    chosen = recipe(**scratch, **{
        "train_generator.vae": {"perceptual": "eye.safetensors"},
        "train_generator.identity_loss_weight": 1.0, "train_generator.identity_encoder": "judge.safetensors",
    })  # fmt: skip
    assert set(lacking(chosen)) == {"eye.safetensors", "judge.safetensors"}
    unused = {"train_generator.space": "pixel", "train_generator.identity_loss_weight": 0.0}
    assert lacking(chosen) != lacking(recipe(**scratch, **unused)) == {}


@pytest.mark.usefixtures("installed")
def test_a_hub_id_of_the_catalogue_is_the_model_at_its_pinned_revision() -> None:
    of_hub = recipe(**{
        "generator.model": "FoivosPar/Arc2Face", "generator.controlnet": "FoivosPar/Arc2Face",
        "train_generator.start_from": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    })  # fmt: skip
    named = recipe(**{
        "generator.model": "arc2face", "generator.controlnet": "arc2face-controlnet", "train_generator.start_from": "sd15",
    })  # fmt: skip
    assert zoo.models_of(of_hub) == zoo.models_of(named) == ["arc2face", "sd15-base", "arc2face-controlnet", "sd15"]
    assert lacking(of_hub) == lacking(named)


@pytest.mark.usefixtures("installed")
def test_the_recipes_of_real_faces_and_of_the_generators_training_lack_what_they_name() -> None:
    assert set(lacking(recipes.load("casia-control"))) == {"faces_webface_112x112"}
    assert set(lacking(recipes.load("train-arc2face"))) == {"arcface", "scrfd", "sd15", "sd15-base", "prior"}


def test_every_recipe_that_ships_is_understood() -> None:
    for name in recipes.available():
        for lack in zoo.missing_for(recipes.load(name)):
            assert all(lack), f"{name}: subject, reason and fix"
