"""Low-rank updates merged into the UNet: W ← W + scale · (α / r) · B A (Hu et al. 2021). LCM-LoRA is one.

Merging costs nothing at each step and needs no further package. The three ways of naming the matrices are read:
    lora_unet_down_blocks_0_…_to_q.lora_down.weight, .lora_up.weight, .alpha     kohya, LCM-LoRA
    unet.down_blocks.0.….to_q.lora_A.weight, .lora_B.weight                      PEFT, diffusers today
    unet.down_blocks.0.….to_q.lora.down.weight, .lora.up.weight                  diffusers before
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from synthface import zoo
from synthface.errors import InputError
from synthface.generator import weights

_STEMS = ("pytorch_lora_weights",)
_MATRIX = re.compile(
    r"^(?P<layer>.+?)(?:_lora|\.lora)?[._](?P<matrix>lora_down|lora_up|lora_A|lora_B|down|up)(?:\.default)?\.weight$"
)


def lora_file(name: str | Path) -> Path:
    """The weight file behind a file, a folder, a public model's name or a hub id."""
    place = zoo.find(name, "lora")
    return place if place.is_file() else weights.find_weights(place, _STEMS)


def merge_lora(unet: Any, path: Path, scale: float = 1.0) -> int:
    """Adds the update of `path` to `unet` in place; gives the number of changed layers.

    Raises InputError when a layer of the file is not in the UNet, is not of its shape, or has only one matrix.
    """
    modules = {name: module for name, module in unet.named_modules() if hasattr(module, "weight")}
    spelled = {name.replace(".", "_"): module for name, module in modules.items()}
    layers, alphas = _read(path)
    for layer, pair in layers.items():
        module = spelled.get(layer)
        if module is None:
            raise InputError(f"{path} changes the layer {layer}, which this UNet has not.", "Use a LoRA for SD 1.5.")
        if set(pair) != {"down", "up"}:
            raise InputError(
                f"{path} is half a LoRA: {layer} has no {'up' if 'down' in pair else 'down'} matrix.",
                "Copy or download the file again.",
            )
        down, up = pair["down"].float(), pair["up"].float()
        rank = down.shape[0]
        if min(down.ndim, up.ndim) < 2 or rank == 0 or up.shape[1] != rank or up[0, 0].numel() != 1:
            raise InputError(
                f"{path}: the matrices of {layer} do not fit together: {tuple(up.shape)} and {tuple(down.shape)}.",
                "Copy or download the file again.",
            )
        update = scale * alphas.get(layer, rank) / rank * _product(up, down)
        if update.numel() != module.weight.numel() or update.shape[:2] != module.weight.shape[:2]:
            raise InputError(
                f"{path}: {layer} is {tuple(update.shape)}, the UNet's {tuple(module.weight.shape)}.",
                "Use a LoRA for SD 1.5.",
            )
        with torch.no_grad():
            merged = module.weight.float() + update.reshape(module.weight.shape).to(module.weight.device)
            module.weight.copy_(merged.to(module.weight.dtype))
    return len(layers)


def _product(up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """B A for matrices; for convolutions A has the kernel and B is 1×1."""
    product = up.flatten(1) @ down.flatten(1)
    return product.reshape(up.shape[0], *down.shape[1:])


def _read(path: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, float]]:
    layers: dict[str, dict[str, torch.Tensor]] = {}
    alphas: dict[str, float] = {}
    for key, value in weights.read_state_dict(path).items():
        name = key.removeprefix("unet.").removeprefix("lora_unet_").replace(".processor.", ".")
        if name.endswith(".alpha"):
            if value.numel() != 1:
                raise InputError(f"{path}: {key} is {tuple(value.shape)} in place of one number.", "Give another file.")
            alphas[name.removesuffix(".alpha").replace(".", "_")] = float(value)
            continue
        match = _MATRIX.match(name)
        if match is None:
            raise InputError(f"{path} has the tensor {key}, which belongs to no LoRA of a UNet.", "Give another file.")
        matrix = "down" if match["matrix"] in ("lora_down", "lora_A", "down") else "up"
        layer = match["layer"].replace(".", "_")
        if layer.endswith("_to_out"):  # diffusers before named the module, not its first layer
            layer += "_0"
        layers.setdefault(layer, {})[matrix] = value
    if not layers:
        raise InputError(f"{path} holds no LoRA.", "Give another file.")
    return layers, alphas
