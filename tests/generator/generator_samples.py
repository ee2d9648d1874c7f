"""The golden checkpoint's place, people made of colours, and a recogniser that tells them apart."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent.parent / "golden" / "arc2face"


def write_patch_encoder(path: Path, side: int = 32, dimension: int = 16) -> Path:
    """A recogniser in ONNX: means of patches of 8 × 8 pixels times a fixed random matrix, (n, 3, side, side) → (n, d)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).standard_normal((3 * (side // 8) ** 2, dimension)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["data"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "patches",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dimension])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def patterns(people: int, side: int = 32) -> np.ndarray:
    """People as the simplest thing that differs: smooth random colours, (people, side, side, 3) uint8."""
    import cv2

    coarse = np.random.default_rng(1).uniform(0, 255, (people, 4, 4, 3)).astype(np.float32)
    return (
        np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in coarse])
        .clip(0, 255)
        .astype(np.uint8)
    )


def write_people(folder: Path, picture_NHWC: np.ndarray, each: int = 1) -> Path:
    """Class folders with `each` copies of every person's picture, as PNG."""
    import cv2

    for person, picture in enumerate(picture_NHWC):
        (folder / f"{person:03d}").mkdir(parents=True)
        for copy in range(each):
            cv2.imwrite(str(folder / f"{person:03d}" / f"{copy}.png"), picture[..., ::-1])
    return folder


def pulled(monkeypatch: pytest.MonkeyPatch, root: Path, **folders: Path) -> None:
    """Makes `root` the folder of the public weights, in which those named are copies of small networks."""
    from synthface.zoo.catalogue import CATALOGUE

    monkeypatch.setenv("SYNTHFACE_MODELS", str(root))
    for name, folder in folders.items():
        model = CATALOGUE[name]
        shutil.copytree(folder, root / name / (model.weights or ""))
        monkeypatch.setitem(CATALOGUE, name, replace(model, files=()))  # so that none is of another size


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every weight of an exported generator."""
    from safetensors.torch import load_file

    return {
        f"{file.parent.name}/{key}": value
        for file in sorted(folder.rglob("*.safetensors"))
        for key, value in load_file(file).items()
    }


def mean_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Mean |a − b| over all weights.

    AdamW's first steps are nearly the gradient's sign: where a gradient is zero but for rounding, single weights of two
    equal trainings differ by a whole step, and only the mean tells whether the trainings were equal.
    """
    assert set(a) == set(b)
    return float(torch.cat([(a[key] - b[key]).abs().flatten() for key in a]).mean())
