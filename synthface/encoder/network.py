"""ONNX networks through onnxruntime: whole batches on a GPU, one picture a thread on the CPU.

On a CPU the threads of one operator wait for each other; pictures do not. One single-threaded run a picture on as many
threads as there are cores was 1.5 to 1.7 times as fast as onnxruntime's own threading (docs/encoder.md), and what a
picture gives then depends, in no bit, on the batch it came in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from synthface.devices import cores, is_out_of_memory, onnx_providers
from synthface.errors import InputError, ResourceError
from synthface.progress import say

Array = NDArray[Any]
_In = TypeVar("_In")
_Out = TypeVar("_Out")
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Network:
    """One ONNX network with one input of pictures (B, 3, H, W).

    device: `cpu`, `cuda`, `cuda:1`; None takes a GPU where onnxruntime can use one. batched: True runs a batch at once,
    False one picture a thread; None decides by the device.
    Attributes: `path`, `input_shape`, `output_shapes`, `batched`, `batch_setting` (the recipe key named in errors).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        device: str | None = None,
        batched: bool | None = None,
        batch_setting: str = "encoder.batch_size",
    ) -> None:
        self.path, self.batch_setting = Path(path), batch_setting
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="encoder")
        self._open(onnx_providers(device or "auto"), batched)
        if self.on_gpu and "CUDAExecutionProvider" not in self._session.get_providers():
            if device not in (None, "auto"):
                raise ResourceError(
                    f"onnxruntime cannot use the GPU for {self.path}: its CUDA libraries did not load, or there is none.",
                    "Install the CUDA and cuDNN versions that your onnxruntime-gpu needs, or choose --device cpu.",
                )
            say(f"onnxruntime found no GPU that it can use: {self.path.name} runs on the CPU.")
            self._open(["CPUExecutionProvider"], batched)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            raise InputError(
                f"{self.path} is not a network that reads pictures: its inputs are "
                f"{[(value.name, value.shape, value.type) for value in inputs]}.",
                "A detector or recogniser takes float pictures (n, 3, height, width).",
            )
        self._input, self._dtype = inputs[0].name, _TYPES[inputs[0].type]
        self.input_shape = list(inputs[0].shape)
        self.output_shapes = [list(output.shape) for output in self._session.get_outputs()]

    def _open(self, providers: list[Any], batched: bool | None) -> None:
        self.on_gpu = providers[0] != "CPUExecutionProvider"
        self.batched = self.on_gpu if batched is None else batched
        content = _any_batch(self.path) if self.batched else str(self.path)
        self._session = _open_session(self.path, content, providers, single_thread=not self.batched)

    def run(self, image_BCHW: NDArray[np.float32]) -> list[Array]:
        """All outputs, each with the pictures' rows one after another along the first axis.

        Raises ResourceError when the batch does not fit into the memory, with the batch that does.
        """
        try:
            return self._run(image_BCHW)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise self._out_of_memory(image_BCHW) from error

    def run_one(self, image_1CHW: NDArray[np.float32]) -> list[Array]:
        """The outputs for one picture, on the caller's thread."""
        try:
            return list(self._session.run(None, {self._input: np.ascontiguousarray(image_1CHW, dtype=self._dtype)}))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise self._too_little() from error

    def map(self, function: Callable[[_In], _Out], values: Sequence[_In]) -> list[_Out]:
        """`function` of each value, on the network's threads: for the work before and after the network."""
        return list(self._pool.map(function, values))

    def _run(self, image_BCHW: NDArray[np.float32]) -> list[Array]:
        image_BCHW = np.ascontiguousarray(image_BCHW, dtype=self._dtype)
        if self.batched:
            return list(self._session.run(None, {self._input: image_BCHW}))
        rows = [image_BCHW[k : k + 1] for k in range(len(image_BCHW))]
        parts: list[list[Array]] = self.map(lambda row: self._session.run(None, {self._input: row}), rows)
        return [parts[0][k] if len(parts) == 1 else np.concatenate([p[k] for p in parts]) for k in range(len(parts[0]))]

    def _out_of_memory(self, image_BCHW: NDArray[np.float32]) -> ResourceError:
        """What to tell the user: halves the batch until it fits."""
        smaller = len(image_BCHW) // 2
        while smaller:
            try:
                self._run(image_BCHW[:smaller])
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                smaller //= 2
            else:
                return ResourceError(
                    f"A batch of {len(image_BCHW)} pictures does not fit into the memory for {self.path.name}; "
                    f"{smaller} fits.",
                    f"Use --set {self.batch_setting}={smaller}.",
                )
        return self._too_little()

    def _too_little(self) -> ResourceError:
        return ResourceError(
            f"Not even one picture fits into the memory for {self.path.name}.",
            "Close other programs, or choose another device with --device.",
        )


def _open_session(path: Path, content: str | bytes, providers: list[Any], single_thread: bool) -> Any:
    import onnxruntime

    if not path.is_file():
        raise InputError(f"There is no network {path}.", "Check the path, or see `synthface models list`.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if single_thread:
        options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no class
        if is_out_of_memory(error):
            raise ResourceError(f"{path} does not fit into the memory of the device.", "Choose another.") from error
        raise _not_onnx(path, error) from error


def _any_batch(path: Path) -> bytes:
    """The network with its first dimension set free: exports often fix it to 1 though the graph would take any."""
    import onnx

    if not path.is_file():
        raise InputError(f"There is no network {path}.", "Check the path, or see `synthface models list`.")
    try:
        model = onnx.load(str(path))
    except Exception as error:
        raise _not_onnx(path, error) from error
    for value in [*model.graph.input, *model.graph.output]:
        if len(value.type.tensor_type.shape.dim) > 2:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]  # shapes inferred for a batch of one
    content: bytes = model.SerializeToString()
    return content


def _not_onnx(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be opened as an ONNX network: {(str(error) or type(error).__name__).splitlines()[0]}.",
        "The file is damaged, cut off or of another kind; download or export it again.",
    )
