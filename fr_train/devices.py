"""Which device a network runs on, and how it says that it is too small."""

from __future__ import annotations

from synthface.errors import ResourceError, UsageError


def choose(name: str = "auto") -> str:
    """`auto` is a GPU where there is one, else the CPU; `cpu`, `cuda` and `cuda:N` are what they say.

    Raises ResourceError when a CUDA device is asked for and absent, UsageError for other names.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdigit()):
        raise UsageError(f"There is no device '{name}'.", "Choose auto, cpu, cuda or cuda:N.")
    if not torch.cuda.is_available():
        raise ResourceError(
            f"The device '{name}' was asked for, and PyTorch sees no CUDA device.", "Choose auto or cpu."
        )
    if index and int(index) >= torch.cuda.device_count():
        raise ResourceError(
            f"The device '{name}' was asked for, and there are {torch.cuda.device_count()} CUDA devices.",
            f"The last one is cuda:{torch.cuda.device_count() - 1}.",
        )
    return name


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a RuntimeError of PyTorch means that a device, or the machine, has too little memory."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
