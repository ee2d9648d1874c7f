"""A small world in which everything a report tells of exists: people, pictures, shards, audit, recogniser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from report_samples import write_encoder, write_people

from synthface.cli import cli


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser in ONNX that sees colours of patches, 16-d."""
    return write_encoder(tmp_path_factory.mktemp("networks") / "eye.onnx")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders: 8 people × 5 coloured crops."""
    return write_people(tmp_path_factory.mktemp("people"), people=8, each=5)


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of six other people."""
    return write_people(tmp_path_factory.mktemp("strangers"), people=6, each=2, first=100)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory after sample-ids and render, by the generator without a network; not audited."""
    folder = tmp_path_factory.mktemp("rendered")
    rng = np.random.default_rng(0)
    center = rng.standard_normal((300, 64)) * np.linspace(1.3, 0.5, 64) + 0.15
    rows = np.repeat(center, 2, axis=0) + rng.standard_normal((600, 64)) * 0.4
    np.savez(folder / "emb.npz", embeddings=rows.astype(np.float16), labels=np.arange(600) // 2)
    prior = folder / "prior.safetensors"
    assert cli.run(["fit-prior", str(folder / "emb.npz"), "--out", str(prior)]) == 0
    recipe = {
        "name": "rehearsal",
        "description": "Without a network & <quickly>.",
        "encoder": {"model": "dry", "verifier": "dry"},
        "generator": {"model": "dry", "batch_size": 8},
        "prior": {"file": str(prior)},
        "identities": {"count": 20, "threshold": 0.5},
        "gate": {"min_center_similarity": 0.68, "min_reference_similarity": 0.6, "max_duplicate_similarity": 0.9},
        "render": {"ids": 10, "per_id": 4, "shard_images": 24},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run = folder / "run"
    assert cli.run(["sample-ids", "--recipe", str(folder / "recipe.yaml"), "--run", str(run)]) == 0
    assert cli.run(["render", "--run", str(run)]) in (0, 3)
    return run


@pytest.fixture(scope="session")
def given(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory whose people were given as embeddings, celebs.npz."""
    folder = tmp_path_factory.mktemp("given")
    np.savez(folder / "celebs.npz", embeddings=np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32))
    run, recipe = folder / "own", rendered.parent / "recipe.yaml"
    given = ["--identities", str(folder / "celebs.npz"), "--per-id", "3"]
    assert cli.run(["render", "--recipe", str(recipe), "--run", str(run), *given]) in (0, 3)
    return run


@pytest.fixture(scope="session")
def complete(rendered: Path, encoder: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with an audit against people, and the records of a trained and measured recogniser."""
    run = tmp_path_factory.mktemp("complete") / "run"
    shutil.copytree(rendered, run)
    code = cli.run(
        ["audit", str(run / "dataset"), "--encoder", str(encoder), "--reference", str(people), "--device", "cpu"]
    )
    assert code == 1  # patches of colour are alike: the gate of leakage is not passed
    write_recogniser(run / "fr")
    write_generator_log(run / "generator-training")
    return run


def write_generator_log(folder: Path) -> None:
    """log.jsonl as train-generator leaves it: two stages, the last line torn."""
    from synthface.generator.training.log import StageLog

    folder.mkdir()
    for stage, steps in (("autoencoder", 30), ("denoiser", 900)):
        with StageLog(folder / "log.jsonl", stage, 0) as log:
            for step in range(1, steps + 1):
                log.write(step, {"loss": 1 / step, "learning_rate": 1e-4, "images_per_second": 9.5})
    with open(folder / "log.jsonl", "a", encoding="utf-8") as file:
        file.write('{"stage": "denoiser", "st')


def write_recogniser(folder: Path) -> None:
    """result.json and log.jsonl as train-fr leaves them; the last line is torn."""
    folder.mkdir()
    curve = {"far": [0.001, 0.01, 0.1, 1.0], "tar": [0.2, 0.5, 0.8, 1.0]}
    sets: dict[str, Any] = {
        name: {"accuracy": value, "ci95": [value - 0.01, value + 0.01], "tar": {"1e-2": 0.5}, "roc": curve}
        for name, value in (("lfw", 0.9123), ("calfw", 0.7654))
    }
    facts = {"backbone": "small", "head": "adaface", "epochs": 2, "pictures": 40, "classes": 10, "seconds": 12.5,
             "device": "cpu", "model": "run/fr/model.pt"}  # fmt: skip
    evaluation = {"model": "model", "benchmarks": sets, "mean_accuracy": 0.83885, "absent": {}, "warnings": []}
    (folder / "result.json").write_text(json.dumps({"training": facts, "evaluation": evaluation}))
    lines = [json.dumps({"step": k, "loss": 20 - k / 100, "lr": 0.1, "epoch": 1}) for k in range(1, 1_001)]
    (folder / "log.jsonl").write_text("\n".join([*lines, '{"step": 1001, "lo']))


@pytest.fixture(autouse=True)
def _inside_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
