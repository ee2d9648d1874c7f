"""docs/how-to/extend.md: its examples run as they stand there, and what they change stands where they say."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fr_train import backbones
from synthface.dataset import pack
from synthface.dataset.export import FORMATS, Format, export
from synthface.identity import sphere, variations
from synthface.identity.prior import Prior
from synthface.recipe.pictures import PackRecipe

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/how-to/extend.md").read_text(encoding="utf-8")


def example(word: str) -> str:
    """The page's only block of Python that holds `word`."""
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if word in block]
    return code


def test_the_lines_to_be_changed_stand_where_the_page_says() -> None:
    blocks = re.findall(r"```diff\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        for path, change in re.findall(r"\+\+\+ (\S+)\n(.*?)(?=\+\+\+ |\Z)", block, re.DOTALL):
            lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
            for line in change.splitlines():
                assert line[0] == "+" or line[1:] in lines, f"{path}: {line[1:]}"


def test_the_perturbation_reaches_its_target() -> None:
    rng = np.random.default_rng(0)
    component, _ = np.linalg.qr(rng.standard_normal((24, 24)))
    eigenvalue = np.linspace(2, 0.1, 24, dtype=np.float32) / 24
    prior = Prior(np.zeros(24, np.float32), component.astype(np.float32), eigenvalue, float(eigenvalue.sum()), None)
    names = dict(vars(variations))
    exec(example("def towards_others"), names)
    move = names["towards_others"](variations.World(prior, 3), 0.8)
    center = sphere.normalize(rng.standard_normal((4_000, 24)) * np.sqrt(eigenvalue) @ component)
    point = sphere.normalize(np.stack([move.apply(row.astype(np.float64), rng) for row in center]))
    assert np.einsum("nd,nd->n", point, center).mean() == pytest.approx(0.8, abs=0.01)


def test_the_backbone_is_built_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    module = ModuleType("fr_train.backbones.plain")
    exec(example("class Plain"), vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(backbones.NETWORKS, "plain", ("plain", "Plain"))
    assert backbones.build("plain", 64)(torch.zeros(2, 3, 112, 112)).shape == (2, 64)


def test_the_export_writes_pictures_and_their_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import simplejpeg

    for person, picture in np.ndindex(2, 3):
        path = tmp_path / f"people/{person}/{picture}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(simplejpeg.encode_jpeg(np.full((16, 16, 3), 40 * person + picture, np.uint8)))
    pack([tmp_path / "people"], tmp_path / "dataset", PackRecipe(), 0)
    names: dict[str, object] = {}
    exec(example("def write("), names)
    monkeypatch.setitem(FORMATS, "csv", Format(names["write"], "train.csv", ""))  # type: ignore[arg-type]
    assert export(tmp_path / "dataset", "csv", tmp_path / "out", seed=0) == 6
    with open(tmp_path / "out/train.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == list("000111")
    assert (tmp_path / "out" / rows[4]["file"]).read_bytes() == (tmp_path / "people/1/1.jpg").read_bytes()
