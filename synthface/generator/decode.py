"""From latents to pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def decode(vae: Any, latent_BCHW: torch.Tensor, at_once: int = 0) -> torch.Tensor:
    """Pictures (B, 3, H, W) float32 in [0, 1], RGB; `at_once` pictures a call of the autoencoder, 0: all."""
    scaled = latent_BCHW / vae.config.scaling_factor
    if getattr(vae.config, "shift_factor", None):
        scaled = scaled + vae.config.shift_factor
    pieces = scaled.to(vae.dtype).split(at_once or len(scaled))
    pictures = torch.cat([vae.decode(piece, return_dict=False)[0].float() for piece in pieces])
    return (pictures / 2 + 0.5).clamp(0, 1)


def to_uint8(picture_BCHW: torch.Tensor) -> NDArray[np.uint8]:
    """(B, H, W, 3) uint8 from pictures in [0, 1]: rounded, as PIL does it in diffusers' pipelines."""
    quantized = (picture_BCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    array: NDArray[np.uint8] = quantized.contiguous().cpu().numpy()
    return array


def downscaling(vae: Any) -> int:
    """Pixels of the picture for each pixel of the latents, along one side."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))
