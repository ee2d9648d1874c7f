"""`train-fr --dry-run`: the cost of a training is told without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fr_train import rehearsal
from synthface import recipe as recipes

Command = Callable[..., Any]


def test_the_recogniser_of_the_paper_costs_what_adaface_states() -> None:
    assert rehearsal.cost("ir_se_50", 512) == (43_808_320, pytest.approx(6.297e9, rel=0.01))


@pytest.mark.parametrize("name", ["pit_ti_224", "cait_xxs24_224", "tnt_s_patch16_224"])
def test_networks_with_parameters_among_their_inputs_are_counted_too(name: str) -> None:
    parameters, multiplications = rehearsal.cost(f"timm/{name}", 64)
    assert parameters > 1e6
    assert multiplications > 1e8


@pytest.mark.parametrize(
    ("name", "people", "pictures"),
    [
        ("arc2face-0.5m", 10_000, 500_000),
        ("arc2face-1.2m", 60_000, 1_200_000),
        ("dcface-style", 10_000, 550_000),
        ("arc2face-fast", 10_000, 500_000),
    ],
)
def test_a_recipe_is_reckoned_before_its_dataset_is_rendered(name: str, people: int, pictures: int) -> None:
    recipe = recipes.load(name)
    assert rehearsal.expected(recipe.render, recipe.pack) == (people, pictures)


def test_the_time_is_told_from_a_given_speed(synthface: Command, tmp_path: Path) -> None:
    options = ("--recipe", "arc2face-0.5m", "--backbone", "small", "--run", tmp_path / "run", "--dry-run")
    told = synthface("train-fr", *options, "--images-per-second", 1_000, "--json")
    assert told.code == 0
    content = told.json
    assert content["steps"] == 40 * (500_000 // 512)
    assert content["images"] == content["steps"] * 512
    assert content["seconds"] == pytest.approx(content["images"] / 1_000, abs=0.1)
    assert not (tmp_path / "run").exists()
    text = synthface("train-fr", *options)
    assert text.code == 0
    assert "to be rendered: 500,000 pictures of 10,000 people" in text.out


def test_data_that_are_missing_are_named(synthface: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--recipe", "casia-control", "--dry-run", "--images-per-second", 2_600)
    content = synthface("train-fr", *options, "--json").json
    assert content["missing"] == ["faces_webface_112x112"]
    assert content["pictures"] is None
    assert content["parameters"] == 43_808_320
    assert content["seconds_per_million"] == pytest.approx(10_000)
    assert (content["steps"], content["steps_per_million"]) == (None, round(26e6 / 512))
    assert content["images_per_million"] == 26_000_000
    text = synthface("train-fr", *options).out
    assert "time: 2 h 47 min on one device for every million pictures" in text
    assert "for every million pictures in the data: 26 epochs, 50,781 steps of 512" in text
    assert "told when these data are here, or of others by --data DIR" in text


def test_a_speed_without_a_dry_run_is_refused(synthface: Command) -> None:
    assert synthface("train-fr", "--images-per-second", 5).code == 2
