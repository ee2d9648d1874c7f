"""Device, processes and precision of a training, by accelerate."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from typing import Any

import torch

from synthface.errors import RecipeError
from synthface.generator.device import choose_device, cpu_has_bfloat16
from synthface.recipe.pictures import GeneratorTrainingRecipe

_PATIENCE = datetime.timedelta(days=2)  # the others wait while the first process encodes the latents of a whole dataset


def make_accelerator(recipe: GeneratorTrainingRecipe) -> Any:
    """The accelerate.Accelerator of this process, which may be one of several.

    Raises ResourceError when the device is absent, UsageError for what names none, RecipeError for a precision that it has
    not.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

    device = choose_device(recipe.device)
    AcceleratorState._reset_state()  # it is one a process, and would keep an earlier training's precision
    with _told_device(recipe.device):
        made: Any = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=precision_of(recipe.precision, device.type),
            kwargs_handlers=[
                DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True),
                InitProcessGroupKwargs(timeout=_PATIENCE),
            ],
        )
    return made


def precision_of(asked: str, device: str) -> str:
    """`no`, `bf16` or `fp16` for accelerate; `auto` is bf16 where the device multiplies it faster than float32."""
    if asked == "fp16" and device == "cpu":
        raise RecipeError("train_generator.precision: fp16 needs a CUDA device.", "Choose auto, bf16 or no.")
    if asked != "auto":
        return asked
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device == "cpu" and cpu_has_bfloat16() else "no"


@contextlib.contextmanager
def all_threads(accelerator: Any) -> Iterator[None]:
    """On a CPU, the first process computes with the threads of all while they wait for it."""
    if accelerator.device.type != "cpu" or not accelerator.is_main_process:
        yield
        return
    own = torch.get_num_threads()
    torch.set_num_threads(own * int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    try:
        yield
    finally:
        torch.set_num_threads(own)


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
