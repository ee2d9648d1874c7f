"""Which device a network runs on, and how it says that it is too small."""

from __future__ import annotations

import re
from typing import Any

from synthface.errors import ResourceError, UsageError

# PyTorch and onnxruntime have no class that all their allocators raise; the messages tell
_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad allocation",
    "bad_alloc",
)


def choose(name: str = "auto") -> str:
    """`auto` is a GPU where there is one, else the CPU; `cpu`, `cuda` and `cuda:N` are what they say.

    Raises ResourceError when a CUDA device is asked for and absent, UsageError for other names.
    """
    import torch

    kind, index = _parsed(name)
    if kind == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu":
        return name
    if not torch.cuda.is_available():
        raise ResourceError(
            f"The device '{name}' was asked for, and PyTorch sees no CUDA device.", "Choose auto or cpu."
        )
    if index is not None and index >= torch.cuda.device_count():
        raise ResourceError(
            f"The device '{name}' was asked for, and there are {torch.cuda.device_count()} CUDA devices.",
            f"The last one is cuda:{torch.cuda.device_count() - 1}.",
        )
    return name


def onnx_providers(name: str = "auto") -> list[Any]:
    """onnxruntime's words for a device; `auto` is a GPU where onnxruntime has CUDA, which is a package of its own.

    Raises UsageError for names of no device, ResourceError for a GPU of which onnxruntime knows nothing.
    """
    import onnxruntime

    kind, index = _parsed(name)
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if kind == "cuda" and not has_cuda:
        raise ResourceError(
            f"The device '{name}' was asked for, and onnxruntime has no CUDA provider.",
            "Install onnxruntime-gpu in place of onnxruntime, or choose cpu.",
        )
    if kind == "cpu" or not has_cuda:
        return ["CPUExecutionProvider"]
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds the CUDA libraries that PyTorch brought along
    # not the exhaustive search, which times kernels and takes another one today than yesterday
    options = {"device_id": index or 0, "cudnn_conv_algo_search": "HEURISTIC"}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch, onnxruntime or numpy means that a device, or the machine, has too little memory."""
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _MEMORY):
        return True
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def _parsed(name: str) -> tuple[str, int | None]:
    """auto, cpu or cuda, and the number behind the latter."""
    match = re.fullmatch(r"(auto|cpu|cuda)|cuda:([0-9]+)", name)
    if match is None:
        raise UsageError(f"There is no device '{name}'.", "Choose auto, cpu, cuda or cuda:N.")
    return (match.group(1), None) if match.group(1) else ("cuda", int(match.group(2)))
