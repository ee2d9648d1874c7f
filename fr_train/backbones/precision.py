"""Where a network leaves autocast."""

from __future__ import annotations

import torch


def without_autocast(like: torch.Tensor) -> torch.autocast:
    """A context in which the operations on `like`'s device keep the dtype they are given."""
    return torch.autocast(device_type=like.device.type, enabled=False)
