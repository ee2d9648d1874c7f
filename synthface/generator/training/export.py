"""The result in the official layout (see `generator.layout`), which `Arc2Face.from_pretrained` reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from synthface import files
from synthface.generator.pixels import PixelAutoencoder


def export(
    target: Path,
    *,
    unet: Any,
    conditioner: Any,
    vae: Any,
    schedule: dict[str, Any],
    tokenizer: Path | None,
    facts: dict[str, Any],
    dtype: torch.dtype,
    part_megabytes: int | None = None,
) -> None:
    """Writes the folder `target`, whole or not at all; one that is there is replaced.

    tokenizer: folder whose files are copied, None for an MLP. facts: content of synthface.json, with `dimension`.
    part_megabytes: a UNet or autoencoder larger than this is written in parts of at most this size, with an index.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    files.make_directory(target.parent)
    with files.writing(target):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        _diffusers_part(temporary / "arc2face", unet, dtype, part_megabytes)
        _conditioner(temporary / "encoder", conditioner, dtype)
        if isinstance(vae, PixelAutoencoder):
            files.write_json(temporary / "vae" / "config.json", {"_class_name": PixelAutoencoder.__name__})
        else:
            _diffusers_part(temporary / "vae", vae, dtype, part_megabytes)
        if tokenizer is not None:
            shutil.copytree(tokenizer, temporary / "tokenizer")
        files.write_json(temporary / "scheduler" / "scheduler_config.json", schedule)
        files.write_json(temporary / "synthface.json", facts)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
        files.fsync_directory(target.parent)


def _diffusers_part(folder: Path, network: Any, dtype: torch.dtype, part_megabytes: int | None) -> None:
    network.save_config(str(folder))
    if part_megabytes is None:
        _save(network, folder / "diffusion_pytorch_model.safetensors", dtype)
        return
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(
        _tensors(network, dtype),
        folder,
        filename_pattern="diffusion_pytorch_model{suffix}.safetensors",
        max_shard_size=part_megabytes * 10**6,
    )


def _conditioner(folder: Path, conditioner: Any, dtype: torch.dtype) -> None:
    if conditioner.kind == "mlp":
        files.write_json(folder / "config.json", {"model_type": "mlp", **conditioner.config})
        _save(conditioner, folder / "model.safetensors", dtype)
        return
    config = {**conditioner.text_encoder.config.to_dict(), "architectures": ["CLIPTextModel"]}
    files.write_json(folder / "config.json", {key: value for key, value in config.items() if _plain(value)})
    _save(conditioner.text_encoder, folder / "model.safetensors", dtype, prefix="text_model.")


def _save(network: torch.nn.Module, path: Path, dtype: torch.dtype, prefix: str = "") -> None:
    from safetensors.torch import save_file

    files.make_directory(path.parent)
    with files.atomic_path(path) as temporary:
        save_file(_tensors(network, dtype, prefix), temporary, metadata={"format": "pt"})


def _tensors(network: torch.nn.Module, dtype: torch.dtype, prefix: str = "") -> dict[str, torch.Tensor]:
    return {
        prefix + key.removeprefix(prefix): value.detach().to("cpu", dtype).contiguous()
        for key, value in network.state_dict().items()
        if not key.endswith(".position_ids")
    }


def _plain(value: Any) -> bool:
    """Whether JSON can say it: some versions of transformers keep a torch.dtype in the config."""
    return value is None or isinstance(value, str | int | float | bool | list | dict)
