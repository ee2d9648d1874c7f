"""Pictures and networks so small that every test makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import simplejpeg
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def write_encoder(path: Path, dimension: int = 16) -> Path:
    """A recogniser: means of 7 × 7 patches times a fixed random matrix."""
    weight = np.random.default_rng(0).standard_normal((147, dimension)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["data"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "eye",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dimension])],
        [numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def crop(person: int, number: int, side: int = 112) -> NDArray[np.uint8]:
    """A coloured crop: waves of the person's own, moved and darkened a little from picture to picture."""
    own, this = np.random.default_rng(person), np.random.default_rng(1_000 * person + number)
    y, x = np.mgrid[:side, :side] / side
    waves = []
    for _ in range(3):
        slope_y, slope_x, phase = own.uniform(1, 12), own.uniform(1, 12), own.uniform(0, 6)
        waves.append(np.sin(slope_x * x + slope_y * y + phase + this.normal(0, 0.2)))
    return (this.uniform(0.7, 1.0) * (127.5 + 120 * np.stack(waves, axis=-1))).astype(np.uint8)


def jpeg(image_HWC: NDArray[np.uint8]) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image_HWC), 95, "RGB", "444")
    return encoded


def write_people(root: Path, people: int, each: int, first: int = 0) -> Path:
    """root/person_000/0.jpg …"""
    for person in range(first, first + people):
        folder = root / f"person_{person:03}"
        folder.mkdir(parents=True)
        for number in range(each):
            (folder / f"{number}.jpg").write_bytes(jpeg(crop(person, number)))
    return root
