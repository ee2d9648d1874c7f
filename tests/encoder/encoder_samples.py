"""Pictures, and networks so small that every test makes them: a recogniser, and a detector of bright squares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import simplejpeg
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

DIMENSION = 16
DETECTOR_SIZE = 64
STRIDES = (8, 16, 32)
LANDMARKS = [-0.5, -0.5, 0.5, -0.5, 0.0, 0.0, -0.4, 0.5, 0.4, 0.5]  # x, y of eyes, nose, corners of the mouth, in cells


def write_encoder(
    path: Path, batch: int | str = "n", scale: float = 1.0, normalises: bool = False, size: int = 112
) -> Path:
    """A recogniser: means of 7 × 7 patches times a fixed random matrix, (n, 16)."""
    weight = np.random.default_rng(0).standard_normal((3 * (size // 16) ** 2, DIMENSION)).astype(np.float32) * scale
    nodes = [
        helper.make_node("AveragePool", ["body"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["embedding"]),
    ]
    constants = [numpy_helper.from_array(weight, "weight")]
    if normalises:  # as exports of the MXNet time do
        nodes[:0] = [
            helper.make_node("Sub", ["data", "mean"], ["centred"], name="_minusscalar0"),
            helper.make_node("Mul", ["centred", "factor"], ["body"], name="_mulscalar0"),
        ]
        constants += [
            numpy_helper.from_array(np.array(127.5, np.float32), "mean"),
            numpy_helper.from_array(np.array(1 / 127.5, np.float32), "factor"),
        ]
    else:
        nodes.insert(0, helper.make_node("Identity", ["data"], ["body"]))
    return _save(path, nodes, constants, [batch, 3, size, size], [("embedding", [batch, DIMENSION])])


def write_detector(path: Path, layout: str = "rows", batch: int | str = 1) -> Path:
    """A detector in SCRFD's form, of a 64-pixel square: bright cells of 8, 16 and 32 pixels are faces.

    A face's box is a cell and a half around the cell's corner, its nose is that corner, the other landmarks lie around. layout: how a batch's rows are
    ordered in the outputs, `rows` (picture by picture) or `interleaved` (cell by cell).
    """
    nodes: list[Any] = []
    constants = [numpy_helper.from_array(np.array([-1, 1], np.int64), "one_column")]
    names: dict[str, list[str]] = {"score": [], "box": [], "landmark": []}
    order = [0, 2, 3, 1] if layout == "rows" else [2, 3, 0, 1]
    for stride in STRIDES:
        s = str(stride)
        nodes += [
            helper.make_node("AveragePool", ["data"], [f"cell{s}"], kernel_shape=[stride] * 2, strides=[stride] * 2),
            helper.make_node("ReduceMean", [f"cell{s}"], [f"mean{s}"], axes=[1], keepdims=1),
            helper.make_node("Concat", [f"mean{s}", f"mean{s}"], [f"anchors{s}"], axis=1),
            helper.make_node("Transpose", [f"anchors{s}"], [f"ordered{s}"], perm=order),
            helper.make_node("Reshape", [f"ordered{s}", "one_column"], [f"score{s}"]),
        ]
        for kind, values in (("box", [0.75] * 4), ("landmark", LANDMARKS)):
            constants += [
                numpy_helper.from_array(np.zeros((1, len(values)), np.float32), f"zero_{kind}{s}"),
                numpy_helper.from_array(np.array([values], np.float32), f"value_{kind}{s}"),
            ]
            nodes += [
                helper.make_node("MatMul", [f"score{s}", f"zero_{kind}{s}"], [f"blank_{kind}{s}"]),
                helper.make_node("Add", [f"blank_{kind}{s}", f"value_{kind}{s}"], [f"{kind}{s}"]),
            ]
        for kind, found in names.items():
            found.append(f"{kind}{s}")
    columns = {"score": 1, "box": 4, "landmark": 10}
    outputs = [(name, [f"rows_{name}", columns[kind]]) for kind, found in names.items() for name in found]
    return _save(path, nodes, constants, [batch, 3, DETECTOR_SIZE, DETECTOR_SIZE], outputs, opset=13)


def _save(
    path: Path, nodes: list[Any], constants: list[Any], shape: list[Any], outputs: list[Any], opset: int = 17
) -> Path:
    graph = helper.make_graph(
        nodes,
        "sample",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def crop(number: int, side: int = 112) -> NDArray[np.uint8]:
    """A smooth colourful square, another for each number."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side] / side
    wave = [np.sin(rng.uniform(1, 9) * x + rng.uniform(1, 9) * y + rng.uniform(0, 6)) for _ in range(3)]
    return (127.5 + 120 * np.stack(wave, axis=-1)).astype(np.uint8)


def dark_with_squares(squares: list[tuple[int, int, int]], side: int = DETECTOR_SIZE) -> NDArray[np.uint8]:
    """A black picture with white squares (left, top, side)."""
    picture = np.zeros((side, side, 3), np.uint8)
    for left, top, size in squares:
        picture[top : top + size, left : left + size] = 255
    return picture


def jpeg(image_HWC: NDArray[np.uint8], quality: int = 95) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image_HWC), quality, "RGB", "444")
    return encoded


def write_jpeg(path: Path, image_HWC: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(image_HWC))
    return path


def class_folders(root: Path, people: int, each: int) -> Path:
    """root/person_00/0.jpg …, aligned crops."""
    for person in range(people):
        for number in range(each):
            write_jpeg(root / f"person_{person:02}" / f"{number}.jpg", crop(100 * person + number))
    return root


def record_folder(root: Path, labels: list[int], damaged: int | None = None) -> Path:
    """A RecordIO dataset of aligned crops, one for each label; `damaged`: the record whose JPEG ends early."""
    from synthface.dataset import Row, ShardWriter, pack
    from synthface.recipe.pictures import PackRecipe

    with ShardWriter(root / "shards" / "0") as shard:
        for number, label in enumerate(labels):
            index = labels[:number].count(label)
            data = jpeg(crop(100 * label + index))
            shard.write(
                data[:-200] if number == damaged else data, Row(identity=label, index=index, seed=number, attempt=0)
            )
    pack([root / "shards" / "0.rec"], root / "dataset", PackRecipe(), seed=0)
    return root / "dataset"
