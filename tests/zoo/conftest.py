"""A hub with one small model on it, and an empty folder of models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import hub_server
import numpy as np
import pytest

from synthface.zoo import places
from synthface.zoo.catalogue import CATALOGUE, File, Model

REVISION = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = np.random.default_rng(0).bytes(300_000)
CONFIG = b'{"hidden_size": 8}\n'


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """`tiny`, in the catalogue of this test: a config without a known hash and weights with one."""
    tiny = Model(
        "tiny",
        "encoder",
        "A small model of the tests",
        "people/tiny",
        REVISION,
        (
            File("net/config.json", len(CONFIG)),
            File("net/weights.bin", len(WEIGHTS), exact=True, sha256=hashlib.sha256(WEIGHTS).hexdigest()),
        ),
        "MIT",
        "Do no harm with it.",
        weights="net",
    )
    monkeypatch.setitem(CATALOGUE, "tiny", tiny)
    return tiny


@pytest.fixture
def hub(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """The hub that HF_ENDPOINT names; it has the files of `tiny`."""
    with hub_server.running(REVISION) as running:
        running.files = {("people/tiny", "net/config.json"): CONFIG, ("people/tiny", "net/weights.bin"): WEIGHTS}
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


@pytest.fixture(autouse=True)
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"
