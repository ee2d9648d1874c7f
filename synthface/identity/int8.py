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
_SLACK = 1e-5  # covers the rounding of the scales, of δ and of row lengths that are one within 1e-6


class Queries:
    """Candidates, as unsigned 8-bit rows around 128 with one scale a row; `error_B` are their δ."""

    def __init__(self, row_BD: Floats) -> None:
        self.row_BD = row_BD
        self.scale_B = np.abs(row_BD).max(axis=1) / 127
        level_BD = np.rint(row_BD * (1 / self.scale_B)[:, None])
        self.error_B = _length(row_BD - level_BD * self.scale_B[:, None])
        self.level_BD = (level_BD + 128).astype(np.uint8)

    def take(self, chosen_B: NDArray[np.bool_]) -> Queries:
        """The chosen rows only."""
        part = Queries.__new__(Queries)
        part.row_BD, part.scale_B = self.row_BD[chosen_B], self.scale_B[chosen_B]
        part.error_B, part.level_BD = self.error_B[chosen_B], self.level_BD[chosen_B]
        return part


class Tile:
    """Up to `capacity` rows of the index, as signed 7-bit columns with one scale for all."""

    GROUP = 32  # rows whose largest product is reported together

    def __init__(self, dimension: int, capacity: int) -> None:
        self.rows = 0
        self.error = 0.0
        self.row_MD = np.empty((capacity, dimension), np.float32)
        self._level_DM = np.zeros((dimension, capacity), np.int8)
        self._scale = 0.0

    @property
    def full(self) -> bool:
        return self.rows == len(self.row_MD)

    def add(self, row_MD: Floats) -> int:
        """Takes as many of the rows as fit; gives their number.

        The first rows fix the scale. A later row that exceeds it is clipped, which only widens the tile's bound.
        """
        row_MD = row_MD[: len(self.row_MD) - self.rows]
        if not len(row_MD):
            return 0
        if not self._scale:
            self._scale = float(np.abs(row_MD).max()) / 63
        level_MD = np.clip(np.rint(row_MD * (1 / self._scale)), -63, 63)
        self.error = max(self.error, float(_length(row_MD - level_MD * np.float32(self._scale)).max()))
        self.row_MD[self.rows : self.rows + len(row_MD)] = row_MD
        self._level_DM[:, self.rows : self.rows + len(row_MD)] = level_MD.T.astype(np.int8)
        self.rows += len(row_MD)
        return len(row_MD)

    def group(self, number: int) -> Floats:
        """The float32 rows of one group."""
        return self.row_MD[number * self.GROUP : min((number + 1) * self.GROUP, self.rows)]

    def suspects(
        self, queries: Queries, least: float, rows: int | None = None
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(query, group) pairs in which some row may have a similarity of `least` or more; all others have not.

        Only the first `rows` are looked at (rounded up to a group), all of them by default.
        """
        groups = -(-(self.rows if rows is None else min(rows, self.rows)) // self.GROUP)
        shape = np.array([len(queries.row_BD), groups, self.GROUP])
        columns = np.ascontiguousarray(self._level_DM[:, : groups * self.GROUP])
        (best_BG,) = _products(len(columns)).run(None, {"q": queries.level_BD, "t": columns, "shape": shape})
        bound_B = queries.error_B + (1 + queries.error_B) * self.error + _SLACK
        least_B = np.floor((least - bound_B) / (queries.scale_B * self._scale))
        query_P, group_P = np.nonzero(best_BG >= least_B[:, None])
        return query_P, group_P


def _length(row_BD: Floats) -> Floats:
    return np.sqrt(np.einsum("bd,bd->b", row_BD, row_BD))


@functools.lru_cache(maxsize=4)
def _products(dimension: int) -> Any:
    """An onnxruntime session: integer product of (B, d) and (d, M), largest value of each group of columns."""
    import onnxruntime
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("MatMulInteger", ["q", "t", "zero"], ["product"]),
            helper.make_node("Reshape", ["product", "shape"], ["grouped"]),
            helper.make_node("ReduceMax", ["grouped"], ["best"], axes=[2], keepdims=0),
        ],
        "largest_products",
        [
            helper.make_tensor_value_info("q", TensorProto.UINT8, [None, dimension]),
            helper.make_tensor_value_info("t", TensorProto.INT8, [dimension, None]),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [3]),
        ],
        [helper.make_tensor_value_info("best", TensorProto.INT32, None)],
        initializer=[helper.make_tensor("zero", TensorProto.UINT8, [], [128])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # whoever asks has threads of its own
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
