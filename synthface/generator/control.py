"""ControlNet: pictures that steer pose or layout (Arc2Face, section 4.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from synthface.errors import InputError
from synthface.generator.sampling import Control


def control_tensor(control_NHWC: NDArray[Any], count: int, side: int) -> torch.Tensor:
    """Control pictures as (N, 3, side, side) float32 in [0, 1], RGB.

    control_NHWC: uint8 0 … 255, or floating point 0 … 1; one picture may serve all N. Raises InputError for another
    size, number or range.
    """
    images = np.asarray(control_NHWC)
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[1:] != (side, side, 3) or len(images) not in (1, count):
        raise InputError(
            f"The control pictures have shape {tuple(images.shape)}; ({count}, {side}, {side}, 3) is needed.",
            f"Give one RGB picture of {side} pixels for each face, or one for all.",
        )
    scaled = images.astype(np.float32) / 255 if images.dtype == np.uint8 else images.astype(np.float32)
    if not np.isfinite(scaled).all() or scaled.min() < 0 or scaled.max() > 1:
        raise InputError("The control pictures leave the range 0 … 1.", "Give uint8, or floating point from 0 to 1.")
    return torch.from_numpy(np.repeat(scaled, count // len(scaled), 0)).permute(0, 3, 1, 2).contiguous()


def control_by(controlnet: Any, image_BCHW: torch.Tensor, scale: float) -> Control:
    """The residuals that `controlnet` adds to the UNet at each step; the unguided half gets them too."""

    def residuals(latent_BCHW: torch.Tensor, timestep: torch.Tensor, prompt_BLE: torch.Tensor) -> dict[str, Any]:
        halves = len(latent_BCHW) // len(image_BCHW)
        down, middle = controlnet(
            latent_BCHW,
            timestep,
            encoder_hidden_states=prompt_BLE,
            controlnet_cond=image_BCHW.to(latent_BCHW.dtype).repeat(halves, 1, 1, 1),
            conditioning_scale=scale,
            return_dict=False,
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    return residuals
