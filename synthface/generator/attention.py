"""Attention by PyTorch's fused kernels, which diffusers takes by itself, or by plain operations."""

from __future__ import annotations

from typing import Any

import torch

_FEW_POSITIONS = 1_024


def attend_plainly(unet: Any) -> None:
    """Gives all attention of a UNet to products of matrices and a softmax, which keep the matrix of scores."""
    from diffusers.models.attention_processor import AttnProcessor

    unet.set_attn_processor(AttnProcessor())


def plain_attention_helps(device: torch.device, dtype: torch.dtype, positions: int) -> bool:
    """Whether training is faster with attention in plain operations: over few positions in bfloat16 on a CPU.

    There the gradient of PyTorch's fused attention takes longer than all of the plain one (docs/log.md; what it is for
    the whole training: benchmarks/arc2face_training.py). Over many the matrix of scores would fill the memory.
    """
    return device.type == "cpu" and dtype == torch.bfloat16 and positions <= _FEW_POSITIONS
