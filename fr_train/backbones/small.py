"""Residual networks for CPUs (ours), `small` and `small_deep`: 1/72 and 1/51 of ir_se_50's multiplications.

What costs time on a CPU is not what costs on a GPU. Two convolutions with stride 2 bring the image to 28 pixels before
the first block: at 112 and 56 pixels norms and activations are limited by memory, and an IR block's first convolution
would still run there. Plain 3×3 convolutions, because depthwise ones reach a tenth of the arithmetic. Leaky ReLU,
because the gradient of PReLU's slope is a reduction that takes seven times as long as the activation. A 1×1 convolution
to 64 channels before the fully connected layer, which otherwise holds two thirds of all parameters.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from fr_train.backbones.precision import without_autocast

_STEM, _NECK = 16, 64
_SLOPE = 0.1  # of the leaky ReLU


class Small(nn.Module):
    """image_BCHW in [-1, 1], 112×112 → embedding_BD float32, not normalised."""

    widths, layers = (32, 64, 128), (2, 2, 2)  # channels and residual blocks of the stages at 28, 14 and 7 pixels

    def __init__(self, embedding_size: int = 512) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.stem = nn.Sequential(ConvNorm(3, _STEM, 3, 2), ConvNorm(_STEM, self.widths[0], 3, 2))
        self.stages = nn.ModuleList()
        width_in = self.widths[0]
        for stage, (width, depth) in enumerate(zip(self.widths, self.layers, strict=True)):
            blocks = [Residual(width_in, width, stride=2 if stage else 1)]
            blocks += [Residual(width, width) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
            width_in = width
        self.neck = ConvNorm(width_in, _NECK, 1, act=False)
        self.output = nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                fc=nn.Linear(_NECK * 7 * 7, embedding_size, bias=False),
                embedding_norm=nn.BatchNorm1d(embedding_size, affine=False),
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        x = self.stem(image_BCHW)
        for stage in self.stages:
            x = stage(x)
        x = self.neck(x)
        with without_autocast(x):
            embedding_BD: torch.Tensor = self.output(x.float())
        return embedding_BD


class SmallDeep(Small):
    """More blocks where the image is small, and wider ones there."""

    widths, layers = (32, 64, 160), (1, 3, 3)


class ConvNorm(nn.Module):
    """Convolution that keeps the size but for its stride, batch norm, leaky ReLU unless `act` is off."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.LeakyReLU(_SLOPE, inplace=True) if act else nn.Identity()

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.act(self.norm(self.conv(x_BCHW)))
        return out


class Residual(nn.Module):
    """Two 3×3 convolutions, the first with the stride; plus the input, averaged and projected where shapes differ."""

    def __init__(self, width_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width_in, width, 3, stride)
        self.conv2 = ConvNorm(width, width, 3, act=False)
        self.act = nn.LeakyReLU(_SLOPE, inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), ConvNorm(width_in, width, 1, act=False))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.act(self.conv2(self.conv1(x_BCHW)) + self.shortcut(x_BCHW))
        return out
