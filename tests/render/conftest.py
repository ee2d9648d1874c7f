"""A world without networks: a prior, sampled people, a recipe of the dry generator; commands in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

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


class Command(subprocess.Popen[str]):
    """`synthface ARGS...` in a process of its own."""

    def result(self, timeout: float = 240) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        out, err = self.communicate(timeout=timeout)
        return self.returncode, out, err

    def json(self) -> dict[str, Any]:
        code, out, err = self.result()
        assert code in (0, 3), err
        content: dict[str, Any] = json.loads(out)
        return content


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


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Waits for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def rows_of(dataset: Path) -> list[dict[str, Any]]:
    """The manifest, row by row."""
    from synthface.dataset import open_dataset

    table = open_dataset(dataset).manifest()
    assert table is not None
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def dataset_of(run: Path) -> str:
    """Hash over the bytes of the dataset's files."""
    from synthface.render.finish import dataset_files, dataset_hash

    hashes = dataset_files(run / "dataset")
    assert len(hashes) == 5
    return dataset_hash(hashes)


def settled(run: Path) -> int:
    """Shards of a run that have a marker."""
    return sum(1 for path in (run / "shards").glob("?????.json"))
