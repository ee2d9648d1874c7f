"""`render --dry-run`: what a dataset would cost, whether or not its weights are here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthface import recipe as recipes
from synthface.render import measure
from synthface.render.people import images_of

Run = Callable[..., Any]
MakeRun = Callable[..., Path]


def listing(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


# recipes of a training alone → the command that tells their cost
TRAININGS = {
    "casia-control": "train-fr",
    "embedded-encoder": "train-fr",
    "embedded-verifier": "train-fr",
    "embedded-generator": "train-generator",
    "train-arc2face": "train-generator",
}


@pytest.mark.parametrize("name", sorted(set(recipes.available()) - set(TRAININGS)))
def test_every_shipped_recipe_that_renders_tells_its_cost_without_weights_and_people(
    synthface: Run, tmp_path: Path, name: str
) -> None:
    told = synthface("render", "--recipe", name, "--run", "none", "--dry-run", "--images-per-second", 4, "--json")
    assert told.code == 0, told.err
    content, wanted = told.json, int(images_of(recipes.load(name).render).sum())
    assert content["images"] == content["images_remaining"] == wanted
    assert content["gpu_hours"] == content["device_hours"] == pytest.approx(wanted / 4 / 3_600, abs=1e-3)
    assert content["seconds"] == pytest.approx(wanted / 4)
    assert content["shards_remaining"] == content["shards"] >= wanted / (4 * 60 * 5)
    assert content["bytes_of_shards"] == content["bytes_of_dataset"] > 5_000 * wanted
    assert any(lack.startswith("people: ") for lack in content["missing"])
    assert listing(tmp_path) == []


@pytest.mark.parametrize(("name", "command"), TRAININGS.items())
def test_a_recipe_of_a_training_alone_is_pointed_to_its_own_rehearsal(
    synthface: Run, tmp_path: Path, name: str, command: str
) -> None:
    refused = synthface("render", "--recipe", name, "--run", "none", "--dry-run")
    assert refused.code == 2
    assert f"The recipe {name} renders nothing" in refused.err
    assert f"`synthface {command} --dry-run`" in refused.err
    told = synthface("render", "--recipe", name, "--run", "none", "--dry-run", "--ids", 5, "--per-id", 2, "--json")
    assert told.json["images"] == 10
    assert listing(tmp_path) == []


def test_the_published_sets_are_told_in_gpu_hours(synthface: Run) -> None:
    told = synthface("render", "--recipe", "arc2face-1.2m", "--run", "none", "--dry-run", "--images-per-second", 2.5,
                     "--devices", "cuda:0,cuda:1,cuda:2,cuda:3")  # fmt: skip
    assert told.code == 0, told.err
    assert "1,200,000 images of 60,000 identities" in told.out
    assert "33 h 20 min on 4 × cuda, at the given 2.5 images/s each; 133.33 GPU-hours" in told.out


def test_without_weights_and_speed_images_and_disk_are_told_and_what_is_missing(synthface: Run) -> None:
    told = synthface("render", "--recipe", "arc2face-0.5m", "--run", "none", "--dry-run")
    assert told.code == 0, told.err
    assert "500,000 images of 10,000 identities" in told.out
    assert "if a device makes 1 image/s" in told.out
    assert "time: to be measured once these are here, or told by --images-per-second X:" in told.out
    assert "synthface sample-ids --run none --ids 10000" in told.out
    content = synthface("render", "--recipe", "arc2face-0.5m", "--run", "none", "--dry-run", "--json").json
    assert content["measured"] is None
    assert "gpu_hours" not in content


def test_what_is_there_already_is_not_reckoned_again(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    assert synthface("render", "--run", run).code == 0
    (run / "shards" / "00002.json").unlink()
    content = synthface("render", "--run", run, "--dry-run", "--images-per-second", 2, "--json").json
    assert (content["shards"], content["shards_remaining"]) == (5, 1)
    assert (content["images"], content["images_remaining"]) == (120, 24)
    assert content["seconds"] == 12
    assert content["missing"] == []


def test_other_values_than_the_directorys_are_refused_by_a_rehearsal_too(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    assert synthface("render", "--run", run).code == 0
    refused = synthface("render", "--run", run, "--per-id", 7, "--dry-run", "--images-per-second", 2)
    assert refused.code == 2
    assert "render.per_id: 6 in the plan, 7 now" in refused.err


def test_a_given_speed_belongs_to_a_rehearsal(synthface: Run, make_run: MakeRun) -> None:
    refused = synthface("render", "--run", make_run(), "--images-per-second", 2)
    assert refused.code == 2
    assert "--images-per-second belongs to --dry-run" in refused.err


@given(st.integers(0, 10**7), st.floats(0.01, 1e4), st.integers(1, 64))
def test_more_devices_take_less_time_and_as_many_hours(images: int, speed: float, devices: int) -> None:
    one, many = (measure.cost(measure.given(speed, 112), images, count, gpus=True) for count in (1, devices))
    assert many["gpu_hours"] == one["gpu_hours"] == many["device_hours"]
    assert many["seconds"] == pytest.approx(one["seconds"] / devices, abs=0.2)
    assert measure.cost(measure.given(speed, 112), images, devices, gpus=False)["gpu_hours"] == 0
