"""Where a network leaves autocast."""

from __future__ import annotations

import contextlib

import torch


def without_autocast(like: torch.Tensor) -> contextlib.AbstractContextManager[object]:
    """A context in which the operations on `like`'s device keep the dtype they are given."""
    if not torch.amp.is_autocast_available(like.device.type):  # the meta device, on which shapes and costs are counted
        return contextlib.nullcontext()
    context: contextlib.AbstractContextManager[object] = torch.autocast(device_type=like.device.type, enabled=False)
    return context
