"""The averaged weights: what a diffusion model is judged by."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


class Average:
    """θ̄ ← d θ̄ + (1 − d) θ after every step, d = min(decay, (1 + step) / (10 + step)), in float32."""

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {key: value.detach().float().clone() for key, value in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: torch.nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        new = [value.detach().float() for _, value in network.named_parameters()]
        torch._foreach_lerp_(list(self.average.values()), new, 1 - decay)

    @contextlib.contextmanager
    def in_place_of(self, network: torch.nn.Module) -> Iterator[None]:
        """The network computes with the averaged weights while the block runs."""
        own = {key: value.detach().clone() for key, value in network.named_parameters()}
        self.write(network)
        try:
            yield
        finally:
            _copy(network, own)

    def write(self, network: torch.nn.Module) -> None:
        """Gives the network the averaged weights for good."""
        _copy(network, self.average)


@torch.no_grad()
def _copy(network: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    for key, parameter in network.named_parameters():
        parameter.copy_(values[key])
