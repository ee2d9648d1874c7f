"""Device, processes and precision by accelerate; and what to say when memory runs out."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any

import torch

from fr_train import devices
from synthface.devices import is_out_of_memory
from synthface.errors import ResourceError, UsageError
from synthface.recipe.recognition import TrainRecipe

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def accelerator(recipe: TrainRecipe) -> Any:
    """The accelerate.Accelerator of this process.

    Raises ResourceError when the device is absent, UsageError when its name or the precision cannot be meant.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedDataParallelKwargs

    device = devices.choose(recipe.device).partition(":")[0]
    precision = precision_of(recipe.precision, device)
    AcceleratorState._reset_state()  # it is one a process, and would keep an earlier training's precision
    with _told_device(recipe.device):
        made: Any = Accelerator(
            cpu=device == "cpu",
            mixed_precision=precision,
            kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
        )
    return made


def keep_freed_memory(device: torch.device) -> None:
    """On a CPU, what a step frees stays with the process, so that the next one has it without a page fault for each 4 KiB.

    Does something where the C library is glibc. There a freed tensor of more than 32 MiB goes back to the system, as a
    stage of a backbone at 112 pixels has a dozen; a step of ir_se_50 in bfloat16 takes an eighth less without that.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if device.type == "cpu" and mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def keep_own_buffers(model: Any) -> None:
    """Every process keeps its own running statistics, as AdaFace's and insightface's DDP does in effect: the checkpoint
    is process 0's. Does nothing where there is one process.

    Set on the wrapped model: as an argument of DDP, `broadcast_buffers=False` is deprecated since PyTorch 2.13, and its
    successor unknown to older ones and to accelerate.
    """
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        model.broadcast_buffers = False


def precision_of(asked: str, device: str) -> str:
    """`no`, `bf16` or `fp16`; auto is bf16 where the device multiplies it faster than float32."""
    if asked == "fp16" and device == "cpu":
        raise UsageError("fp16 needs a CUDA device.", "Set train.precision to auto, bf16 or no.")
    if asked != "auto":
        return asked
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if cpu_multiplies_bf16() else "no"


def cpu_multiplies_bf16() -> bool:
    """Whether the CPU has bfloat16 products (AMX or AVX-512 BF16); without them bf16 only costs."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


@contextlib.contextmanager
def _told_device(name: str) -> Iterator[None]:
    """accelerate reads the device of a single process from this variable."""
    if not name.startswith("cuda:"):
        yield
        return
    os.environ["ACCELERATE_TORCH_DEVICE"] = name
    try:
        yield
    finally:
        del os.environ["ACCELERATE_TORCH_DEVICE"]


@contextlib.contextmanager
def explaining_out_of_memory(batch_size: int, device: torch.device, restart: bool = False) -> Iterator[None]:
    """Turns an out-of-memory error of the block into a ResourceError that names a batch size to try.

    `restart`: there is a checkpoint, which goes on with no other batch size.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"A batch of {batch_size} does not fit into the memory of {device}{_size(device)}.",
            f"Try --batch-size {max(2, batch_size // 2)}{' --restart' if restart else ''}, and scale train.learning_rate "
            "with it.",
        ) from error


def _size(device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    return f" ({torch.cuda.get_device_properties(device).total_memory / 2**30:.0f} GiB)"
