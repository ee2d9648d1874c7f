"""Arc2Face's golden checkpoint, recognisers of random weights, and a prior in 512 dimensions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

DIMENSION = 512


def write_recogniser(path: Path, seed: int, width: int = DIMENSION) -> Path:
    """An ONNX recogniser of 64-pixel crops: means of 8-pixel patches times a fixed random matrix, (n, width)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(seed).standard_normal((3 * 8 * 8, width)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["data"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "patches",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", width])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def arc2face_recipe(golden: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Recipe sections for the golden checkpoint; people512.npz and the prior are written into `folder`.

    The checkpoint draws nobody in particular, so that the conditioning encoder's gate is off, and the verifier's is set
    where it refuses some pictures.
    """
    from synthface.identity import fit
    from synthface.identity.embeddings import open_embeddings
    from synthface.recipe.people import PriorRecipe

    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, DIMENSION)).astype(np.float32)
    photographs = np.repeat(rows, 3, axis=0) + 0.3 * rng.standard_normal((120, DIMENSION)).astype(np.float32)
    np.savez(folder / "photographs.npz", embeddings=photographs, labels=np.arange(120) // 3)
    np.savez(folder / "people512.npz", embeddings=rows[:4])
    fit.fit_prior(open_embeddings([folder / "photographs.npz"]), PriorRecipe()).save(folder / "prior512.safetensors")
    return {
        "encoder": {
            "model": str(write_recogniser(folder / "encoder.onnx", 0)),
            "verifier": str(write_recogniser(folder / "verifier.onnx", 1, width=32)),
        },
        "generator": {"model": str(golden / "arc2face" / "checkpoint"), "num_inference_steps": 1, "batch_size": 8},
        "prior": {"file": str(folder / "prior512.safetensors")},
        "crop": {"size": 64},
        "gate": {
            "min_center_similarity": None,
            "nearest_center": False,
            "min_reference_similarity": 0.5,
            "max_duplicate_similarity": None,
            "max_attempts": 3,
        },
        "render": {"per_id": 4, "shard_images": 8},
    }
