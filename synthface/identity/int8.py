"""An 8-bit screen for similar rows, with a proven error bound (ours).

A unit row x is replaced by q·s with small integers q and a scale s; δ = |x − q·s| is known exactly. For rows a and b

    a·b ≤ (q_a·s_a)·(q_b·s_b) + δ_a + (1 + δ_a)·δ_b                      (Cauchy-Schwarz, |a| = |b| = 1)

so a pair whose integer product lies below `threshold − bound` is certainly below the threshold. Integer products are
exact. Rows of the index use 7 bits: sums of two 8-bit × 7-bit products fit 16 bits, which processors without VNNI need.

onnxruntime computes the products. It rearranges the rows of a tile for every product, which takes as long as the product
itself on processors with AMX, unless they are a constant of the session: that is what `Tile.pack` is for.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Numbers = NDArray[np.intp]
_SLAB = 512  # rows quantised at once: the passes over them stay in the cache
_NEARLY_FULL = 7 / 8  # a packed tile with this share of its rows takes no more: they would have it packed again
_SLACK = 1e-5  # covers the rounding of the scales, of δ and of row lengths that are one within 1e-6


class Queries:
    """Candidates, as unsigned 8-bit rows around 128 with one scale a row; `error_B` are their δ."""

    def __init__(self, row_BD: Floats) -> None:
        self.scale_B = np.maximum(row_BD.max(axis=1), -row_BD.min(axis=1)) / 127
        lost_BD = row_BD * (1 / self.scale_B)[:, None]
        np.rint(lost_BD, out=lost_BD)
        self.level_BD = lost_BD.astype(np.int8).view(np.uint8) ^ np.uint8(128)  # + 128
        lost_BD *= self.scale_B[:, None]
        self.error_B = _length(np.subtract(row_BD, lost_BD, out=lost_BD))

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
        self._packed: Any = None

    def add(self, row_MD: Floats) -> None:
        """Takes rows, no more than fit.

        The first rows fix the scale. A later row that exceeds it is clipped, which only widens the tile's bound.
        """
        if not len(row_MD):
            return
        self._packed = None
        if not self._scale:
            self._scale = float(np.abs(row_MD).max()) / 63
        for start in range(0, len(row_MD), _SLAB):
            slab_MD = row_MD[start : start + _SLAB]
            level_MD = np.rint(slab_MD * np.float32(1 / self._scale))
            np.clip(level_MD, -63, 63, out=level_MD)
            self._level_DM[:, self.rows : self.rows + len(slab_MD)] = level_MD.astype(np.int8).T
            self.rows += len(slab_MD)
            level_MD *= np.float32(self._scale)
            self.error = max(self.error, float(_length(np.subtract(slab_MD, level_MD, out=level_MD)).max()))

    def pack(self) -> None:
        """Makes products with this tile twice as fast, at the cost of three products with 512 queries and 1.5 KiB a row.

        A nearly full tile is then closed: its capacity becomes what it holds.
        """
        if self._packed is not None or not self.rows:
            return
        self._packed = _session(len(self._level_DM), np.ascontiguousarray(self._level_DM[:, : self.rows]))
        if self.rows >= _NEARLY_FULL * self.capacity:
            self.capacity = self.rows
            self._level_DM = self._level_DM[:, :0].copy()  # the packed form alone is needed

    def suspects(
        self, queries: Queries, least: float | NDArray[np.float64], own: int | None = None
    ) -> tuple[Numbers, Numbers]:
        """(query, row) pairs whose similarity may be `least` or more; all others are below.

        least: one for all queries, or one each. own: the queries are rows `own`, `own` + 1, … themselves, and only the rows
        before each are meant.
        """
        rows = self.rows if own is None else min(self.rows, own + len(queries))
        if not rows:
            return np.empty(0, np.intp), np.empty(0, np.intp)
        bound_B = queries.error_B + (1 + queries.error_B) * self.error + _SLACK
        least_B = np.floor((least - bound_B) / (queries.scale_B * self._scale)).astype(np.int64)
        with self._products(queries, rows) as product_BM:
            if own is not None:
                among_BB = product_BM[:, own:]
                query_B, row_B = np.arange(among_BB.shape[0]), np.arange(among_BB.shape[1])
                np.copyto(among_BB, np.iinfo(np.int32).min, where=row_B >= query_B[:, None])
            asked_K = np.flatnonzero(product_BM.max(axis=1) >= least_B)
            suspect_KM = product_BM[asked_K] >= least_B[asked_K].astype(np.int32)[:, None]
        query_P, row_P = np.divmod(np.flatnonzero(suspect_KM), rows)
        return asked_K[query_P], row_P

    @contextlib.contextmanager
    def _products(self, queries: Queries, rows: int) -> Iterator[Integers]:
        """Integer products with the first `rows` rows, valid and writable inside the `with` block."""
        inputs: dict[str, NDArray[Any]] = {"q": queries.level_BD}
        if self._packed is not None:
            session, columns = self._packed, self.rows
        else:
            session, columns = _unpacked(len(self._level_DM)), rows
            inputs["t"] = np.ascontiguousarray(self._level_DM[:, :rows])
        with _run(session, (len(queries), columns), inputs) as product_BM:
            yield product_BM[:, :rows]


def _length(row_BD: Floats) -> Floats:
    return np.sqrt(np.einsum("bd,bd->b", row_BD, row_BD))


@functools.lru_cache(maxsize=4)
def _unpacked(dimension: int) -> Any:
    """A session that takes the queries and the rows."""
    return _session(dimension)


def _session(dimension: int, columns: NDArray[np.int8] | None = None) -> Any:
    """An onnxruntime session: the integer product of "q" (B, d) and "t" (d, M), which may be constant."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    inputs = [helper.make_tensor_value_info("q", TensorProto.UINT8, [None, dimension])]
    constants = [helper.make_tensor("zero", TensorProto.UINT8, [], [128])]
    if columns is None:
        inputs.append(helper.make_tensor_value_info("t", TensorProto.INT8, [dimension, None]))
    else:
        constants.append(numpy_helper.from_array(columns, "t"))
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["q", "t", "zero"], ["product"])],
        "products",
        inputs,
        [helper.make_tensor_value_info("product", TensorProto.INT32, None)],
        initializer=constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # whoever asks has threads of its own
    options.enable_cpu_mem_arena = False  # there is a session for every packed tile, and products lie in `_free`
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


_free: list[Integers] = []  # memory for products that no thread uses now: fresh memory takes as long as a product


@contextlib.contextmanager
def _run(session: Any, shape: tuple[int, int], inputs: dict[str, NDArray[Any]]) -> Iterator[Integers]:
    """The product of a session, (B, M), in memory that is used again after the `with` block."""
    size = shape[0] * shape[1]
    try:
        memory = _free.pop()
    except IndexError:
        memory = _aligned(size)
    if len(memory) < size:
        memory = _aligned(size)
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output("product", "cpu", 0, np.int32, shape, memory.ctypes.data)
    session.run_with_iobinding(binding)
    yield memory[:size].reshape(shape)
    _free.append(memory)


def _aligned(size: int) -> Integers:
    """Memory that begins at a cache line; elsewhere the product takes half as long again."""
    memory = np.empty(4 * size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 4 * size].view(np.int32)
