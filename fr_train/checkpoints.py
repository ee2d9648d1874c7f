"""Checkpoints of recognisers: ours, and those of AdaFace, CVLface and insightface. Nothing inside a file is run.

Ours is a dict that torch.load(weights_only=True) reads: `format`, `backbone`, `embedding_size`, `color`, `image_size`,
`model` (the backbone's state dict), and whatever else the trainer needs to go on. A finished network alone may also be
a safetensors file that has those values in its metadata; see weights.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fr_train import backbones, lineages, torch_file
from synthface import files
from synthface.errors import InputError

FORMAT = "synthface.fr/1"
_STATE_KEYS = ("state_dict", "state_dict_backbone", "model", "backbone")  # where foreign files keep the weights


@dataclass(frozen=True)
class BackboneInfo:
    """What a checkpoint says, or its keys tell, of the network inside."""

    path: Path
    lineage: str  # synthface, adaface, cvlface or insightface
    backbone: str
    embedding_size: int
    color: str  # rgb or bgr: the channel order the network was trained with
    image_size: int


def save(path: str | Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint of ours, whole or not at all. `content` holds all keys but `format`."""
    missing = {"backbone", "embedding_size", "color", "model"} - content.keys()
    assert not missing, f"a checkpoint without {missing}"
    with files.atomic_path(path) as temporary:
        torch.save({"format": FORMAT, "image_size": backbones.IMAGE_SIZE, **content}, temporary)


def read(path: str | Path) -> dict[str, Any]:
    """The whole content of a checkpoint of ours. Raises InputError for any other file."""
    content = torch_file.read(path)
    if not _is_ours(content):
        raise InputError(
            f"{path} is not a checkpoint of synthface: it has no format '{FORMAT}'.",
            "Only such a checkpoint can be resumed; others can be evaluated.",
        )
    return dict(content)


def load_backbone(path: str | Path) -> tuple[nn.Module, BackboneInfo]:
    """The network of any known checkpoint, in eval mode with float32 weights on the CPU.

    Raises InputError when the file is absent, damaged or unsafe, of no known lineage, or does not fit its network; the
    latter lists what does not fit.
    """
    path = Path(path)
    content = torch_file.read(path)
    metadata = torch_file.metadata(path)
    if metadata.get("format") == FORMAT:
        content = {**metadata, "model": content}
    if _is_ours(content):
        return _load_ours(path, content)
    tensors = _tensors(path, content)
    try:
        adapted = lineages.adapt(tensors)
    except (KeyError, IndexError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"The network in {path} cannot be told from its weights: {reason}.") from error
    if adapted is None:
        raise InputError(
            f"{path} holds no network that is known here; its keys begin with {', '.join(list(tensors)[:3])}.",
            "Known are checkpoints of synthface, of AdaFace and CVLface (ir_*), and of insightface (r*, mbf). "
            "Export any other network to ONNX and evaluate that.",
        )
    _fill(path, adapted.module, adapted.state)
    size: Any = adapted.module.embedding_size
    side = getattr(adapted.module, "image_size", backbones.IMAGE_SIZE)
    info = BackboneInfo(path, adapted.lineage, adapted.backbone, size, adapted.color, side)
    return adapted.module.eval(), info


def _is_ours(content: Any) -> bool:
    return isinstance(content, dict) and content.get("format") == FORMAT


def _load_ours(path: Path, content: dict[str, Any]) -> tuple[nn.Module, BackboneInfo]:
    def damaged(what: str) -> InputError:
        return InputError(f"{path} is damaged: {what}.", "Use an older checkpoint.")

    try:
        name, size, color = content["backbone"], int(content["embedding_size"]), content["color"]
        state, image_size = content["model"], int(content["image_size"])
    except KeyError as error:
        raise damaged(f"it has no {error}") from error
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise damaged("its embedding_size or image_size is no number") from error
    if not isinstance(name, str):
        raise damaged(f"its backbone is a {type(name).__name__} instead of a name")
    if size < 1 or image_size != backbones.IMAGE_SIZE:
        raise damaged(f"its embeddings would have {size} dimensions, and its images {image_size} pixels a side")
    if color not in ("rgb", "bgr"):
        raise damaged("its color is neither rgb nor bgr")
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise damaged("its model is no dict of tensors")
    module = backbones.build(name, size)
    _fill(path, module, state)
    return module.eval(), BackboneInfo(path, "synthface", name, size, color, image_size)


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    """The flat dict of tensors inside a foreign checkpoint."""
    for key in _STATE_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    named = content.items() if isinstance(content, dict) else ()
    tensors = {key: value for key, value in named if isinstance(key, str) and isinstance(value, Tensor)}
    if not tensors:
        raise InputError(
            f"{path} holds no weights by name, but a {type(content).__name__}.",
            "Save the network's state_dict(), or export the network to ONNX.",
        )
    return tensors


def _fill(path: Path, module: nn.Module, state: dict[str, Tensor]) -> None:
    """Loads `state`, and says all that does not fit."""
    wanted = module.state_dict()
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}  # absent before PyTorch 0.4.1
    problems = [f"missing {key} {_shape(wanted[key])}" for key in wanted if key not in state and key not in optional]
    problems += [f"unknown {key} {_shape(state[key])}" for key in state if key not in wanted]
    problems += [
        f"{key} is {_shape(state[key])} where the network has {_shape(wanted[key])}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    if problems:
        shown = "".join(f"\n  {problem}" for problem in problems[:12])
        more = f"\n  and {len(problems) - 12} more" if len(problems) > 12 else ""
        raise InputError(
            f"{path} does not fit its network in {len(problems)} tensors:{shown}{more}",
            "\nCheck that the file is whole and of the lineage it seems to be.",
        )
    module.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in state.items()}, strict=False
    )


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"
