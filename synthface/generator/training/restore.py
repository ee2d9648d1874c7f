"""The preparation of section 3.3: 112-pixel crops enlarged by a face restoration network, given as ONNX.

GFPGAN's interface: one input (B, 3, S, S) float32 RGB in [-1, 1], one output of the same range, usually S = 512.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.errors import InputError
from synthface.generator.training.pictures import Picture, resize

_BATCH = 8
_FIX = "Give a network of GFPGAN's interface: (B, 3, S, S) float32 RGB in [-1, 1], the same out."


class OnnxRestorer:
    """Enlarges pictures by the network in `path`; batched where the network's first axis is free."""

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        import onnxruntime

        if not Path(path).is_file():
            raise InputError(f"There is no restoration network {path}.", "Check train_generator.upscaler.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=_providers(onnxruntime.get_available_providers())
            )
        except Exception as error:  # onnxruntime's exceptions share no base of its own
            raise InputError(f"{path} is no ONNX network that can be read.", _FIX) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        if (
            len(inputs) != 1
            or len(shape) != 4
            or shape[1] != 3
            or shape[2] != shape[3]
            or inputs[0].type != "tensor(float)"
        ):
            raise InputError(f"{path} reads {shape} {inputs[0].type}, not square RGB pictures.", _FIX)
        self.path, self.sha256 = Path(path), files.sha256_file(path)
        self.side = shape[2] if isinstance(shape[2], int) else 512
        self._batch = shape[0] if isinstance(shape[0], int) else _BATCH
        self._names = inputs[0].name, outputs[0].name

    def __call__(self, pictures: list[Picture]) -> list[Picture]:
        """(S, S, 3) uint8 RGB for each picture, whatever its size."""
        restored: list[Picture] = []
        for start in range(0, len(pictures), self._batch):
            part = pictures[start : start + self._batch]
            filled = part + part[-1:] * (self._batch - len(part))
            restored += self._run(np.stack([resize(picture, self.side) for picture in filled]))[: len(part)]
        return restored

    def _run(self, picture_BHWC: NDArray[np.uint8]) -> list[Picture]:
        input_BCHW = np.ascontiguousarray(picture_BHWC.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1
        output_BCHW = self._session.run([self._names[1]], {self._names[0]: input_BCHW})[0]
        if output_BCHW.ndim != 4 or output_BCHW.shape[1] != 3 or len(output_BCHW) != len(input_BCHW):
            raise InputError(f"{self.path} answers with shape {output_BCHW.shape}.", _FIX)
        pixel_BCHW = np.clip((output_BCHW + 1) * 127.5, 0, 255).round().astype(np.uint8)
        return list(np.ascontiguousarray(pixel_BCHW.transpose(0, 2, 3, 1)))


def _providers(available: list[str]) -> list[str]:
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
