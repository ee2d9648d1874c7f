"""Names of devices, onnxruntime's words for them, cores, and how it is told that memory has ended. Imports no torch."""

from __future__ import annotations

import os
import re
from typing import Any

from synthface.errors import ResourceError, UsageError

# PyTorch, onnxruntime and numpy share no class for it; the messages of their allocators tell
_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad allocation",
    "bad_alloc",
)


def parse(name: str) -> tuple[str, int | None]:
    """`auto`, `cpu` or `cuda`, and the number of `cuda:N`. Raises UsageError for what names no device."""
    match = re.fullmatch(r"(auto|cpu|cuda)|cuda:([0-9]+)", name)
    if match is None:
        raise UsageError(f"There is no device '{name}'.", "Choose auto, cpu, cuda or cuda:N.")
    return (match[1], None) if match[1] else ("cuda", int(match[2]))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def onnx_providers(name: str = "auto") -> list[Any]:
    """onnxruntime's words for a device; `auto` is a GPU where onnxruntime has CUDA, which is a package of its own.

    Raises UsageError for names of no device, ResourceError for a GPU of which onnxruntime knows nothing.
    """
    import onnxruntime

    kind, index = parse(name)
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if kind == "cuda" and not has_cuda:
        raise ResourceError(
            f"The device '{name}' was asked for, and onnxruntime has no CUDA here.",
            "Install onnxruntime-gpu in place of onnxruntime, or choose --device cpu.",
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
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is PyTorch's
        return True
    return any(words in str(error).lower() for words in _MEMORY)
