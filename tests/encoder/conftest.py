"""Tiny networks on disk, and an empty directory to work in."""

from __future__ import annotations

from pathlib import Path

import pytest
from encoder_samples import write_detector, write_encoder


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with encoder.onnx (16-d) and detector.onnx (bright squares in 64 pixels)."""
    folder = tmp_path_factory.mktemp("networks")
    write_encoder(folder / "encoder.onnx")
    write_detector(folder / "detector.onnx")
    return folder


@pytest.fixture(autouse=True)
def _inside_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
