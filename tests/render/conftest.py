"""A world without networks: a prior, sampled people, a recipe of the dry generator; commands in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from render_run import Command, dataset_of

from synthface.cli import cli

PEOPLE, DIMENSION = 60, 64


def recipe_of(prior_file: Path, /, **sections: dict[str, Any]) -> dict[str, Any]:
    """A recipe in which about one picture in seven is refused at its first attempt."""
    content: dict[str, Any] = {
        "name": "rehearsal",
        "encoder": {"model": "dry", "verifier": "dry"},
        "generator": {"model": "dry", "batch_size": 8},
        "prior": {"file": str(prior_file)},
        "identities": {"count": PEOPLE, "threshold": 0.5},
        "crop": {"size": 48},
        "gate": {"min_center_similarity": 0.68, "min_reference_similarity": 0.6, "max_duplicate_similarity": 0.9},
        "render": {"ids": 20, "per_id": 6, "shard_images": 24},
    }
    for name, values in sections.items():
        content[name] = {**content.get(name, {}), **values}
    return content


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with people.npz, prior.safetensors and identities.safetensors."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    center = rng.standard_normal((400, DIMENSION)) * np.linspace(1.3, 0.5, DIMENSION) + 0.15
    rows = np.repeat(center, 3, axis=0) + rng.standard_normal((1_200, DIMENSION)) * 0.4
    np.savez(folder / "people.npz", embeddings=rows.astype(np.float16), labels=np.arange(1_200) // 3)
    prior = folder / "prior.safetensors"
    assert cli.run(["fit-prior", str(folder / "people.npz"), "--out", str(prior)]) == 0
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(recipe_of(prior)))
    assert cli.run(["sample-ids", "--recipe", str(recipe), "--run", str(folder / "run")]) == 0
    shutil.copy(folder / "run" / "identities.safetensors", folder)
    return folder


@pytest.fixture(scope="session")
def expected(world: Path) -> str:
    """The hash of the dataset that one process makes, uninterrupted, in one shard."""
    run = world / "expected"
    run.mkdir()
    shutil.copy(world / "identities.safetensors", run)
    recipe = recipe_of(world / "prior.safetensors", render={"shard_images": 1_000})
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert cli.run(["render", "--run", str(run)]) == 0
    assert len(list((run / "shards").glob("*.rec"))) == 1
    return dataset_of(run)


@pytest.fixture
def make_run(world: Path, tmp_path: Path) -> Callable[..., Path]:
    """A new run directory with the sampled people; `sections` change the recipe that lies in it."""

    def make(name: str = "run", **sections: dict[str, Any]) -> Path:
        run = tmp_path / name
        run.mkdir(parents=True)
        shutil.copy(world / "identities.safetensors", run)
        (run / "recipe.yaml").write_text(yaml.safe_dump(recipe_of(world / "prior.safetensors", **sections)))
        return run

    return make


@pytest.fixture(autouse=True)
def _inside_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Command]]:
    """Starts commands; those that still run at the end of the test are killed."""
    begun: list[Command] = []
    compiled = request.config.cache.mkdir("render-bytecode")  # type: ignore[union-attr]

    def begin(*arguments: object, env: dict[str, str] | None = None, prefix: tuple[str, ...] = ()) -> Command:
        words = [*prefix, sys.executable, "-m", "synthface", *(str(argument) for argument in arguments)]
        surroundings = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled), **(env or {})}
        surroundings.pop("PYTHONDONTWRITEBYTECODE", None)
        begun.append(
            Command(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings, cwd=os.getcwd())
        )
        return begun[-1]

    yield begin
    for command in begun:
        if command.poll() is None:
            command.kill()
            command.communicate()
