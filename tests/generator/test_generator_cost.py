"""`train-generator --dry-run`: the cost of a training is told without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthface import recipe as recipes
from synthface.errors import RecipeError
from synthface.generator.training import rehearsal

Command = Callable[..., Any]


def test_latents_of_a_picture_at_512_pixels_take_64_kilobytes_a_view() -> None:
    settings = recipes.load("train-arc2face").train_generator
    assert rehearsal.cached_bytes(settings) == 2 * 64 * 1024
    assert rehearsal.cached_bytes(settings.model_copy(update={"mirror": False})) == 64 * 1024
    assert rehearsal.cached_bytes(settings.model_copy(update={"cache_latents": False})) == 0


def test_the_time_of_every_process_counts(synthface: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "8")
    options = ("--data", "faces", "--embeddings", "pairs.npz", "--recipe", "train-arc2face", "--steps", 1_000)
    content = synthface("train-generator", *options, "--dry-run", "--images-per-second", 2, "--json").json
    assert content["missing"] == ["faces", "pairs.npz"]
    assert content["pictures_seen"] == 1_000 * 4 * 8
    assert content["seconds"] == pytest.approx(32_000 / 16)
    assert content["device_hours"] == pytest.approx(32_000 / 2 / 3_600)
    assert not list(tmp_path.iterdir())


def test_a_recipe_alone_tells_the_cost(synthface: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--recipe", "train-arc2face", "--dry-run", "--images-per-second", 2)
    told = synthface("train-generator", *options, "--json")
    assert told.code == 0, told.err
    content = told.json
    assert (content["missing"], content["pictures"], content["bytes_of_cache"]) == ([], None, None)
    assert content["bytes_of_cache_per_million"] == 1_000_000 * 2 * 64 * 1024
    assert content["seconds"] == pytest.approx(content["pictures_seen"] / 2)
    assert (
        "disk: 131.07 GB of cache for every million pictures in the data" in synthface("train-generator", *options).out
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("given", "lacking"), [((), "--data"), (("--data", "faces"), "--embeddings")])
def test_a_training_without_pairs_is_refused(
    synthface: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], lacking: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = synthface("train-generator", *given)
    assert refused.code == 2
    assert f"There is nothing to train on without {lacking}. Give both" in refused.err
    assert not list(tmp_path.iterdir())


def test_the_decoders_stage_is_told_and_refused_where_no_decoder_would_learn() -> None:
    settings = {"train_generator.mode": "scratch", "train_generator.decoder.steps": 30}
    content = rehearsal.rehearse(recipes.build({}, settings), "nowhere", ["nowhere.npz"])
    assert (content["decoder_steps"], content["decoder_pictures_seen"]) == (30, 30 * 16)
    assert "decoder: 30 steps, 480 pictures seen" in rehearsal.told(content)
    for other in ({"train_generator.mode": "finetune"}, {"train_generator.space": "pixel"}):
        with pytest.raises(RecipeError, match="its steps need mode scratch and space latent"):
            recipes.build({}, {**settings, **other})
