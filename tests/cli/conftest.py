"""Embeddings of a small world on disk, and a prior fitted on them by the command itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthface.cli import cli


@pytest.fixture(scope="session")
def people_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 people × 3 photographs, d = 64."""
    rng = np.random.default_rng(0)
    center = rng.standard_normal((400, 64)) * np.linspace(1.3, 0.5, 64) + 0.15
    rows = np.repeat(center, 3, axis=0) + rng.standard_normal((1_200, 64)) * 0.4
    path = tmp_path_factory.mktemp("people") / "people.npz"
    np.savez(path, embeddings=rows.astype(np.float16), labels=np.arange(1_200) // 3)
    return path


@pytest.fixture(scope="session")
def prior_file(people_file: Path) -> Path:
    path = people_file.with_name("prior.safetensors")
    assert cli.run(["fit-prior", str(people_file), "--out", str(path)]) == 0
    return path


@pytest.fixture(autouse=True)
def _inside_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
