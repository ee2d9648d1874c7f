"""From folders to networks: UNet, autoencoder, ControlNet, text encoder and noise schedule.

The networks are made empty on the meta device from their config.json and then given every tensor by `weights.fill`.
No `from_pretrained` of another library is involved: what those leave unloaded, and in which precision they load,
differs between their versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from synthface import files
from synthface.errors import InputError
from synthface.generator import weights
from synthface.generator.pixels import PixelAutoencoder

_DIFFUSERS_STEMS = ("diffusion_pytorch_model",)
_TEXT_STEMS = ("model", "pytorch_model")
_PREDICTIONS = ("epsilon", "v_prediction", "sample")
_AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")


def load_unet(folder: Path, dtype: torch.dtype) -> Any:
    """The denoising network, in evaluation mode."""
    return _diffusers_network(folder, dtype, ("UNet2DConditionModel",), weights.same_names)


def load_controlnet(folder: Path, dtype: torch.dtype) -> Any:
    """The network that reads control images (Arc2Face, section 4.3)."""
    return _diffusers_network(folder, dtype, ("ControlNetModel",), weights.same_names)


def load_vae(folder: Path, dtype: torch.dtype) -> Any:
    """The autoencoder: Stable Diffusion's under its old or new key names, the tiny one, or the pixels themselves."""
    if weights.read_config(folder).get("_class_name") == PixelAutoencoder.__name__:
        return PixelAutoencoder()
    return _diffusers_network(folder, dtype, _AUTOENCODERS, weights.vae_names)


def load_text_encoder(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A CLIP text encoder. Its stored precision is not kept: a prompt costs little and every step reads it."""
    from transformers import CLIPTextConfig, CLIPTextModel

    stored = _without_bookkeeping(weights.read_config(folder))
    try:
        config = CLIPTextConfig(**stored)
        with _empty():
            network = CLIPTextModel(config)
    except Exception as error:  # each version of transformers validates in its own way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(
            f"{folder / 'config.json'} describes no CLIP text encoder: {reason}.",
            "Copy the checkpoint's encoder/ again.",
        ) from error
    weights.fill(network, weights.find_weights(folder, _TEXT_STEMS), dtype, weights.text_encoder_names)
    return network.eval().requires_grad_(False)


def load_schedule(folder: Path) -> dict[str, Any]:
    """The noise schedule's config exactly as on disk: writing it anew by another class adds that class's defaults."""
    path = folder / "scheduler_config.json"
    config = files.read_json(path)
    if not isinstance(config, dict) or "num_train_timesteps" not in config:
        raise InputError(f"{path} does not describe a noise schedule.", "Copy the checkpoint's scheduler/ again.")
    if config.get("prediction_type", "epsilon") not in _PREDICTIONS:
        raise InputError(
            f"{path} says prediction_type {config['prediction_type']!r}.", f"It is one of {', '.join(_PREDICTIONS)}."
        )
    return config


def _diffusers_network(folder: Path, dtype: torch.dtype, classes: tuple[str, ...], names: Any) -> Any:
    import diffusers

    config = weights.read_config(folder)
    name = config.get("_class_name", classes[0])
    if name not in classes:
        raise InputError(f"{folder} holds a {name} where {' or '.join(classes)} belongs.", "Give another folder.")
    network_class = getattr(diffusers, name)
    try:
        with _empty():
            network = network_class.from_config(config)
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder / 'config.json'} is not understood: {error}.", "Update diffusers.") from error
    weights.fill(network, weights.find_weights(folder, _DIFFUSERS_STEMS), dtype, names)
    return network.eval().requires_grad_(False)


def _without_bookkeeping(config: dict[str, Any]) -> dict[str, Any]:
    """Without the entries that say who wrote the file: the stored precision, versions and class names."""
    return {
        key: value
        for key, value in config.items()
        if key not in ("torch_dtype", "dtype", "architectures", "transformers_version", "model_type")
    }


def _empty() -> Any:
    """Parameters on the meta device; buffers, which no file carries, are real."""
    from accelerate import init_empty_weights

    return init_empty_weights(include_buffers=False)
