"""The autoencoder that does nothing: a generator of small pictures may denoise the pixels themselves."""

from __future__ import annotations

from types import SimpleNamespace

import torch


class PixelAutoencoder(torch.nn.Module):
    """Stands where Stable Diffusion has its autoencoder; latents are pictures in [-1, 1], (B, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            scaling_factor=1.0, shift_factor=None, latent_channels=3, block_out_channels=(1,), force_upcast=False
        )

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def encode(self, picture_BCHW: torch.Tensor) -> torch.Tensor:
        return picture_BCHW

    def decode(self, latent_BCHW: torch.Tensor, return_dict: bool = True) -> tuple[torch.Tensor]:
        return (latent_BCHW,)
