"""Which device PyTorch's networks run on."""

from __future__ import annotations

from synthface.devices import parse
from synthface.errors import ResourceError


def choose(name: str = "auto") -> str:
    """`auto` is a GPU where there is one, else the CPU; `cpu`, `cuda` and `cuda:N` are what they say.

    Raises ResourceError when a CUDA device is asked for and absent, UsageError for other names.
    """
    import torch

    kind, index = parse(name)
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
