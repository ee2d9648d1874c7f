"""Small worlds for training and measuring: faces of noise that a tiny network can tell apart, and sets made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from torch import nn

from fr_train import backbones, bins
from fr_train.backbones.iresnet import IResNet, IResNetConfig
from fr_train.backbones.mobilefacenet import MobileFaceNet

SIDE = 112


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def face(person: int, photo: int) -> np.ndarray:
    """image_HWC uint8, RGB: coarse colours that belong to the person, and noise that belongs to the photograph."""
    colours = np.random.default_rng(person).integers(30, 226, (4, 4, 3))
    noise = np.random.default_rng([person, photo, 1]).normal(0, 12, (SIDE, SIDE, 3))
    return np.clip(np.kron(colours, np.ones((SIDE // 4, SIDE // 4, 1))) + noise, 0, 255).astype(np.uint8)


def jpeg(image_HWC: np.ndarray, quality: int = 90) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image_HWC), quality, "RGB")


def write_people(folder: Path, people: int, photos: int, first: int = 0) -> Path:
    """`folder` with `people` class folders of `photos` JPEGs each."""
    for person in range(first, first + people):
        (folder / f"{person:04d}").mkdir(parents=True)
        for photo in range(photos):
            (folder / f"{person:04d}" / f"{photo}.jpg").write_bytes(jpeg(face(person, photo)))
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 people × 8 photographs in class folders; read only."""
    return write_people(tmp_path_factory.mktemp("data") / "people", 6, 8)


@pytest.fixture(scope="session")
def write_set() -> Callable[[Path, int], Path]:
    """Writes a `.bin` of so many pairs, same and different in turn, of people that `people` does not hold."""

    def write(path: Path, pairs: int, first: int = 100) -> Path:
        images, same = [], []
        for pair in range(pairs):
            images += [jpeg(face(first + pair, 0)), jpeg(face(first + pair + (pair % 2) * 500, 1))]
            same.append(pair % 2 == 0)
        bins.write(path, images, same)
        return path

    return write


@pytest.fixture
def narrow() -> Callable[[str], nn.Module]:
    """Networks of each family that are quick on a CPU: `adaface`, `insightface`, `mobilefacenet`, `small`."""

    def build(family: str) -> nn.Module:
        torch.manual_seed(0)
        widths = {"layers": (1, 1, 1, 1), "widths": (8, 16, 32, 64), "stem_width": 8}
        if family == "adaface":
            return IResNet(IResNetConfig(**widths, squeeze_excite=True), 16)
        if family == "insightface":
            return IResNet(
                IResNetConfig(**widths, project_always=True, dropout=0.0, final_bias=True, initial="normal"), 16
            )
        if family == "mobilefacenet":
            return MobileFaceNet(16, blocks=(1, 1, 1, 1), width=64)
        return backbones.build("small", 16)

    return build
