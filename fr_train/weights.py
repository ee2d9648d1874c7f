"""A finished recogniser as one small file: float16 weights in safetensors, and what they are in its metadata.

Half precision rounds a weight by at most 2⁻¹¹ of itself, which moves embeddings less than JPEG moves the image; what
does not fit its range stays float32. Such a file is what the package ships, and what `evaluate`, `embed` and
`encoder.model` open.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fr_train import backbones
from fr_train.checkpoints import FORMAT
from synthface import files
from synthface.errors import UsageError


def save(
    path: str | Path,
    module: nn.Module,
    *,
    backbone: str,
    color: str,
    image_size: int = backbones.IMAGE_SIZE,
    facts: dict[str, str] | None = None,
) -> None:
    """Writes `module`, the backbone of that name; `facts` join the metadata (what it was trained on, its licence).

    Raises UsageError when `backbone` is no name by which the network can be built again, or `path` has another suffix.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise UsageError(f"{path} would hold safetensors.", f"Call it {path.with_suffix('.safetensors').name}.")
    if not backbones.is_known(backbone):
        raise UsageError(
            f"The network is of no backbone that is known by name, but {backbone}.", "Write it as ONNX: --onnx FILE."
        )
    size: Any = module.embedding_size
    metadata = {
        **(facts or {}),
        "format": FORMAT,
        "backbone": backbone,
        "embedding_size": str(size),
        "color": color,
        "image_size": str(image_size),
    }
    state = {key: _half(value) for key, value in module.state_dict().items() if not key.endswith("num_batches_tracked")}
    with files.atomic_path(path) as temporary:
        save_file(state, temporary, metadata)


def _half(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    half = value.half()
    return half if bool(torch.isfinite(half).all()) else value
