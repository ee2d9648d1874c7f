"""The golden checkpoint, whole and in copies that a test may break; embeddings; a Stable Diffusion folder made of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_samples import GOLDEN, patterns, write_patch_encoder, write_people

from synthface.generator import Arc2Face


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tiny networks are slower on two threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def generator() -> Arc2Face:
    """64-pixel pictures of nothing, from 512-d embeddings. Tests must not change it."""
    return Arc2Face.from_pretrained(GOLDEN / "checkpoint", dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def embedding_5D() -> np.ndarray:
    with np.load(GOLDEN / "expected.npz") as file:
        return file["embeddings"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of the golden checkpoint, to be broken."""
    target = tmp_path / "checkpoint"
    shutil.copytree(GOLDEN / "checkpoint", target)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


@pytest.fixture
def stable_diffusion(checkpoint: Path) -> Path:
    """The same networks in the layout of Stable Diffusion 1.5."""
    target = checkpoint.with_name("stable-diffusion")
    shutil.copytree(checkpoint / "base", target)
    shutil.copytree(checkpoint / "arc2face", target / "unet")
    shutil.copytree(checkpoint / "encoder", target / "text_encoder")
    return target


@pytest.fixture
def controlnet(tmp_path: Path, generator: Arc2Face) -> Path:
    """A folder with a ControlNet of the golden UNet's shape, all of whose weights are random: fresh ones answer zero."""
    import diffusers

    torch.manual_seed(4)
    network = diffusers.ControlNetModel.from_unet(generator.unet, conditioning_embedding_out_channels=(8, 16, 16, 16))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    network.save_pretrained(tmp_path / "controlnet")
    return tmp_path / "controlnet"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`faces/` with eight people, `encoder.onnx`, and `faces.npz`, which `synthface embed` made of them."""
    from synthface.cli import cli

    place = tmp_path_factory.mktemp("world")
    write_people(place / "faces", patterns(8))
    encoder = write_patch_encoder(place / "encoder.onnx")
    command = ["embed", place / "faces", "--encoder", encoder, "--aligned", "--out", place / "faces.npz"]
    assert cli.run([*map(str, command), "--run", str(place / "run")]) == 0
    return place
