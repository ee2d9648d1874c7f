"""An 8-bit screen for similar rows, with a proven error bound (ours).

A unit row x is replaced by q·s with small integers q and a scale s; δ = |x − q·s| is known exactly. For rows a and b

    a·b ≤ (q_a·s_a)·(q_b·s_b) + δ_a + (1 + δ_a)·δ_b                      (Cauchy-Schwarz, |a| = |b| = 1)

so a pair whose integer product lies below `threshold − bound` is certainly below the threshold. Integer products are
exact. Rows of the index use 7 bits: sums of two 8-bit × 7-bit products fit 16 bits, which processors without VNNI need.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[np.intp]
_SLAB = 512  # rows quantised at once: the passes over them stay in the cache
_SLACK = 1e-5  # covers the rounding of the scales, of δ and of row lengths that are one within 1e-6


class Queries:
    """Candidates, as unsigned 8-bit rows around 128 with one scale a row; `error_B` are their δ."""

    def __init__(self, row_BD: Floats) -> None:
        self.scale_B = np.abs(row_BD).max(axis=1) / 127
        level_BD = np.rint(row_BD * (1 / self.scale_B)[:, None])
        self.error_B = _length(row_BD - level_BD * self.scale_B[:, None])
        level_BD += 128
        self.level_BD = level_BD.astype(np.uint8)

    def __len__(self) -> int:
        return len(self.level_BD)

    def take(self, chosen_B: NDArray[np.bool_]) -> Queries:
        """The chosen rows only."""
        part = Queries.__new__(Queries)
        part.scale_B, part.error_B = self.scale_B[chosen_B], self.error_B[chosen_B]
        part.level_BD = self.level_BD[chosen_B]
        return part


class Tile:
    """Up to `capacity` rows of the index, as signed 7-bit columns with one scale for all."""

    def __init__(self, dimension: int, capacity: int) -> None:
        self.rows = 0
        self.capacity = capacity
        self.error = 0.0
        self._level_DM = np.zeros((dimension, capacity), np.int8)
        self._scale = 0.0

    def add(self, row_MD: Floats) -> None:
        """Takes rows, no more than fit.

        The first rows fix the scale. A later row that exceeds it is clipped, which only widens the tile's bound.
        """
        if not self._scale and len(row_MD):
            self._scale = float(np.abs(row_MD).max()) / 63
        for start in range(0, len(row_MD), _SLAB):
            slab_MD = row_MD[start : start + _SLAB]
            level_MD = np.rint(slab_MD * np.float32(1 / self._scale))
            np.clip(level_MD, -63, 63, out=level_MD)
            self._level_DM[:, self.rows : self.rows + len(slab_MD)] = level_MD.astype(np.int8).T
            self.rows += len(slab_MD)
            level_MD *= np.float32(self._scale)
            self.error = max(self.error, float(_length(np.subtract(slab_MD, level_MD, out=level_MD)).max()))

    def suspects(
        self, queries: Queries, least: float | NDArray[np.float64], rows: int | None = None
    ) -> tuple[Numbers, Numbers]:
        """(query, row) pairs whose similarity may be `least` or more; all others are below. Of the first `rows` only.

        least: one for all queries, or one each.
        """
        rows = self.rows if rows is None else min(rows, self.rows)
        if not rows:
            return np.empty(0, np.intp), np.empty(0, np.intp)
        columns = np.ascontiguousarray(self._level_DM[:, :rows])
        (product_BM,) = _products(len(columns)).run(None, {"q": queries.level_BD, "t": columns})
        bound_B = queries.error_B + (1 + queries.error_B) * self.error + _SLACK
        least_B = np.floor((least - bound_B) / (queries.scale_B * self._scale)).astype(np.int64)
        asked_K = np.flatnonzero(product_BM.max(axis=1) >= least_B)
        suspect_KM = product_BM[asked_K] >= least_B[asked_K].astype(np.int32)[:, None]
        query_P, row_P = np.divmod(np.flatnonzero(suspect_KM), rows)
        return asked_K[query_P], row_P


def _length(row_BD: Floats) -> Floats:
    return np.sqrt(np.einsum("bd,bd->b", row_BD, row_BD))


@functools.lru_cache(maxsize=4)
def _products(dimension: int) -> Any:
    """An onnxruntime session: the integer product of (B, d) and (d, M)."""
    import onnxruntime
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["q", "t", "zero"], ["product"])],
        "products",
        [
            helper.make_tensor_value_info("q", TensorProto.UINT8, [None, dimension]),
            helper.make_tensor_value_info("t", TensorProto.INT8, [dimension, None]),
        ],
        [helper.make_tensor_value_info("product", TensorProto.INT32, None)],
        initializer=[helper.make_tensor("zero", TensorProto.UINT8, [], [128])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # whoever asks has threads of its own
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
