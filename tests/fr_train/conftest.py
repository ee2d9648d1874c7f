"""Small worlds on disk, and networks that are quick on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from small_world import face, jpeg, write_people
from torch import nn

from fr_train import backbones, bins
from fr_train.backbones.iresnet import IResNet, IResNetConfig
from fr_train.backbones.mobilefacenet import MobileFaceNet


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
    """Networks of each family that are quick on a CPU: `adaface`, `insightface`, `mobilefacenet`, `small`, `small_deep`."""

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
        return backbones.build(family, 16)

    return build


@pytest.fixture(scope="session")
def records(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`people` as a RecordIO folder in insightface's layout; read only."""
    from synthface.dataset import pack
    from synthface.recipe.pictures import PackRecipe

    folder = tmp_path_factory.mktemp("data") / "records"
    pack([people], folder, PackRecipe(), seed=0)
    return folder
