"""Batch norm whose statistics are those of the batches of all processes.

PyTorch's SyncBatchNorm needs CUDA. This one works by differentiable all-reduces on any backend; on CUDA PyTorch's own
is used. Source of the method: Batch Normalization (ICML 2015), algorithm 1, over the joined batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


def convert(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` with its batch norms replaced by synchronised ones of equal names, weights and buffers."""
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return converted
    for name, child in module.named_children():
        setattr(module, name, _Synchronised.of(child) if _is_batch_norm(child) else convert(child, device))
    return module


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)


class _Synchronised(nn.modules.batchnorm._BatchNorm):
    """x (B, C, ...) → the same shape; equal batch sizes on all processes."""

    @classmethod
    def of(cls, norm: Any) -> _Synchronised:
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        made.to(next(norm.buffers()))  # device and precision
        made.load_state_dict(norm.state_dict())
        for name, parameter in norm.named_parameters():
            getattr(made, name).requires_grad = parameter.requires_grad
        return made

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch norm of an input with {input.dim()} dimensions")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            result: Tensor = super().forward(x)
            return result
        rest = [0, *range(2, x.dim())]
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # sums of half precision would lose digits
        mean_C = _Sum.apply(wide.sum(rest)) / count
        centered = wide - _column(mean_C, x.dim())
        variance_C = _Sum.apply(centered.square().sum(rest)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(variance_C * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale_C = (variance_C + self.eps).rsqrt()
        if self.affine:
            return (centered * _column(scale_C * self.weight, x.dim()) + _column(self.bias, x.dim())).to(x.dtype)
        return (centered * _column(scale_C, x.dim())).to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return _all_reduced(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _all_reduced(gradient)


def _all_reduced(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


def _column(values_C: Tensor, dimensions: int) -> Tensor:
    return values_C.reshape(1, -1, *(1,) * (dimensions - 2))
