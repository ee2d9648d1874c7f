"""Reading `.pt`, `.pth`, `.ckpt` and `.safetensors` files without running anything that is inside them.

torch.load's `weights_only` reader builds tensors and plain containers and refuses the rest. Checkpoints of training
frameworks carry their own classes beside the weights (Lightning keys callbacks by class, an argument parser leaves its
Namespace); those are met with inert stand-ins, from a list of known frameworks, so that the weights can be read without
importing, let alone calling, any of that code. Everything else is refused.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from synthface.errors import InputError

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")

_FRAMEWORKS = (
    "pytorch_lightning.",
    "lightning.",
    "lightning_fabric.",
    "lightning_utilities.",
    "omegaconf.",
    "easydict.",
    "numpy.",
    "torch.optim.",
)
_PLAIN = {"argparse.Namespace", "typing.Any", "collections.defaultdict", "pathlib.PosixPath", "builtins.dict", "dict"}


def read(path: str | Path) -> Any:
    """The file's content, tensors on the CPU. Raises InputError: absent, damaged, or with objects that are refused."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory where a checkpoint was expected.", "Name a file inside it.")
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}.", "Check the path; `synthface train-fr` writes run/fr/.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals(_stand_ins(path)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is refused: {_first_line(error)}",
            "It holds more than weights; a file that needs code to be read is not opened. "
            "Ask its author for the state dict alone.",
        ) from error
    except Exception as error:  # zip, pickle and safetensors each raise a dozen kinds on damaged files
        raise InputError(
            f"{path} cannot be read as a checkpoint: {_first_line(error)}",
            "The file is damaged or of another kind; download or copy it again.",
        ) from error


def metadata(path: str | Path) -> dict[str, str]:
    """What a safetensors file that `read` has read says of itself; nothing for other files."""
    if Path(path).suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def _stand_ins(path: Path) -> list[Any]:
    """An inert class for each framework class that the file names, as (class, "module.name")."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # the format before PyTorch 1.6 is not a zip file; weights_only reads it as it is
        return []
    return [(type("Inert", (Inert,), {}), name) for name in named if name in _PLAIN or name.startswith(_FRAMEWORKS)]


class Inert(dict[Any, Any]):
    """Takes any arguments, state and items, and does nothing with them."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, _: Any) -> None:
        pass

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    for lead in ("Unsupported global: ", "Trying to load unsupported "):
        if lead in text:
            return text[text.index(lead) :].splitlines()[0].split(" was not an allowed")[0].rstrip(".") + "."
    return (text.splitlines() or [type(error).__name__])[0].rstrip(".") + "."
