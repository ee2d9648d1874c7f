"""Devices, precisions, and what to say when the memory ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from synthface.devices import is_out_of_memory, parse
from synthface.errors import ResourceError, SynthfaceError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str | None) -> torch.device:
    """The device `name`; `auto` and None are the first GPU, or the CPU.

    Raises UsageError for what names no device, ResourceError for a GPU that is not there.
    """
    if name is None or name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    parse(name)
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ResourceError(f"The device {name} was asked for and CUDA is not available here.", "Use `cpu`.")
        if (device.index or 0) >= torch.cuda.device_count():
            raise ResourceError(
                f"There is no device {name}: this machine has {torch.cuda.device_count()}.", "Use cuda:0."
            )
    return device


def choose_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The precision `name`; `auto` is bfloat16 where the device computes in it, else float32."""
    if isinstance(name, torch.dtype):
        return name
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if device.type == "cpu" and cpu_has_bfloat16() else torch.float32


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX); without, bfloat16 is slower than float32."""
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check and check())


def channels_last_helps(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether convolutions are faster with the channels last: in float32 on a CPU, in half precision on a GPU."""
    return dtype == torch.float32 if device.type == "cpu" else dtype != torch.float32


def is_compile_failure(error: BaseException) -> bool:
    """Whether torch.compile, not the network, failed."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


def compile_failed(what: str, setting: str, error: BaseException) -> SynthfaceError:
    """The error to raise then. what: the network; setting: the recipe key that asks for compiling."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return SynthfaceError(
        f"torch.compile failed on {what}: {reason}",
        f"It needs a C++ compiler (and Triton on CUDA); or --set {setting}=false.",
    )


def out_of_memory(
    batch: int, attempt: Callable[[int], Any], where: torch.device, setting: str, what: str
) -> ResourceError:
    """The error to raise after `batch` pictures did not fit: halves the batch until `attempt(smaller)` succeeds.

    setting: the recipe key that the batch comes from. what: who needed the memory.
    """
    smaller = batch // 2
    while smaller:
        if where.type == "cuda":
            torch.cuda.empty_cache()
        try:
            attempt(smaller)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            smaller //= 2
        else:
            return ResourceError(
                f"{what}: a batch of {batch} pictures does not fit into the memory of {where}; {smaller} fits.",
                f"Use --set {setting}={smaller}.",
            )
    return ResourceError(
        f"{what}: not even one picture fits into the memory of {where}.",
        "Close other programs, compute in half precision, or use another device.",
    )
