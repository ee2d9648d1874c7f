"""Improved residual networks: AdaFace's `ir_*` and insightface's `r*` are one architecture that differs in four details.

Source: ArcFace (CVPR 2019), section 3.2 and its output option E (BN-Dropout-FC-BN); the details, as the released
weights have them, are the fields of `IResNetConfig`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from timm.layers import SEModule
from torch import nn

from fr_train.backbones.precision import without_autocast
from fr_train.backbones.prelu import PReLU


@dataclass(frozen=True)
class IResNetConfig:
    """What one member of the family is made of."""

    layers: tuple[int, ...]  # residual blocks of each stage; every stage halves height and width
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of each stage
    stem_width: int = 64
    squeeze_excite: bool = False  # after the last norm of a block, reduction 16
    # insightface projects wherever a stage begins; AdaFace only where the width changes, and subsamples elsewhere
    project_always: bool = False
    dropout: float = 0.4
    # the last norm: AdaFace has no affine part, insightface a bias and a weight that stays 1
    final_bias: bool = False
    # insightface draws from N(0, 0.1²), AdaFace by Kaiming's fan-out rule
    initial: Literal["kaiming", "normal"] = "kaiming"


_DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 200: (6, 26, 60, 6)}


def _adaface(depth: int, squeeze_excite: bool = False) -> IResNetConfig:
    return IResNetConfig(_DEPTHS[depth], squeeze_excite=squeeze_excite)


def _insightface(depth: int) -> IResNetConfig:
    return IResNetConfig(_DEPTHS[depth], project_always=True, dropout=0.0, final_bias=True, initial="normal")


CONFIGS: dict[str, IResNetConfig] = {
    "ir_18": _adaface(18),
    "ir_34": _adaface(34),
    "ir_50": _adaface(50),
    "ir_101": _adaface(100),
    "ir_se_50": _adaface(50, squeeze_excite=True),
    "r18": _insightface(18),
    "r34": _insightface(34),
    "r50": _insightface(50),
    "r100": _insightface(100),
    "r200": _insightface(200),
}


class IResNet(nn.Module):
    """image_BCHW in [-1, 1] → embedding_BD float32, not normalised."""

    def __init__(self, config: IResNetConfig, embedding_size: int = 512, image_size: int = 112) -> None:
        super().__init__()
        self.config = config
        self.embedding_size, self.image_size = embedding_size, image_size
        self.stem = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, config.stem_width, 3, 1, 1, bias=False),
                norm=nn.BatchNorm2d(config.stem_width),
                act=PReLU(config.stem_width),
            )
        )
        self.stages = nn.ModuleList()
        width_in, side = config.stem_width, image_size
        for depth, width in zip(config.layers, config.widths, strict=True):
            blocks = [IRBlock(config, width_in, width, stride=2)]
            blocks += [IRBlock(config, width, width, stride=1) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
            width_in, side = width, -(-side // 2)
        self.output = nn.Sequential(
            OrderedDict(
                norm=nn.BatchNorm2d(width_in),
                dropout=nn.Dropout(config.dropout),
                flatten=nn.Flatten(),
                fc=nn.Linear(width_in * side * side, embedding_size),
                embedding_norm=nn.BatchNorm1d(embedding_size, affine=config.final_bias),
            )
        )
        self._initialise()

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        x = self.stem(image_BCHW)
        for stage in self.stages:
            x = stage(x)
        with without_autocast(x):  # the norm of the embedding is data for AdaFace: three digits are too few
            embedding_BD: torch.Tensor = self.output(x.float())
        return embedding_BD

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and self.config.initial == "kaiming":
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.1)
        if self.config.final_bias:
            self.output.embedding_norm.weight.requires_grad = False


class IRBlock(nn.Module):
    """norm, conv, norm, PReLU, conv (stride), norm, squeeze-and-excitation where asked for; plus the shortcut."""

    def __init__(self, config: IResNetConfig, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.norm1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.act = PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.se = SEModule(width, rd_channels=width // 16, bias=False) if config.squeeze_excite else nn.Identity()
        self.shortcut: nn.Module | None = None
        if width_in != width or (config.project_always and stride != 1):
            self.shortcut = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(width_in, width, 1, stride, bias=False),
                    norm=nn.BatchNorm2d(width),
                )
            )

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        residual = self.act(self.norm2(self.conv1(self.norm1(x_BCHW))))
        residual = self.se(self.norm3(self.conv2(residual)))
        if self.shortcut is not None:
            return residual + self.shortcut(x_BCHW)
        if self.stride != 1:  # a 1×1 max-pool with a stride, as AdaFace writes it, is this slice
            x_BCHW = x_BCHW[:, :, :: self.stride, :: self.stride]
        return residual + x_BCHW
