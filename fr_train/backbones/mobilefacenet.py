"""MobileFaceNet as insightface trains it (`mbf`): depthwise bottlenecks and a global depthwise convolution.

Source: MobileFaceNets (CCBR 2018), table 1, with all widths doubled as insightface has them.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from fr_train.backbones.precision import without_autocast
from fr_train.backbones.prelu import PReLU


class MobileFaceNet(nn.Module):
    """image_BCHW in [-1, 1] → embedding_BD float32, not normalised.

    `blocks` are the residual bottlenecks at 56, 28, 14 and 7 pixels (a first entry of 1 stands for one depthwise
    convolution), `width` the channels of the first two stages; the last two have twice as many.
    """

    def __init__(self, embedding_size: int = 512, blocks: tuple[int, ...] = (1, 4, 6, 2), width: int = 128) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.blocks, self.width = tuple(blocks), width
        wide = 2 * width
        self.stem = ConvNorm(3, width, 3, stride=2)
        if blocks[0] == 1:
            self.stage1: nn.Module = ConvNorm(width, width, 3, groups=64)
        else:
            self.stage1 = _bottlenecks(width, 128, blocks[0])
        self.down2, self.stage2 = Bottleneck(width, width, 128, stride=2), _bottlenecks(width, 128, blocks[1])
        self.down3, self.stage3 = Bottleneck(width, wide, 256, stride=2), _bottlenecks(wide, 256, blocks[2])
        self.down4, self.stage4 = Bottleneck(wide, wide, 512, stride=2), _bottlenecks(wide, 256, blocks[3])
        self.expand = ConvNorm(wide, 512, 1)
        self.output = nn.Sequential(
            OrderedDict(
                pool=ConvNorm(512, 512, 7, groups=512, padding=0, act=False),
                flatten=nn.Flatten(),
                fc=nn.Linear(512, embedding_size, bias=False),
                embedding_norm=nn.BatchNorm1d(embedding_size),
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        x = self.stage1(self.stem(image_BCHW))
        x = self.stage2(self.down2(x))
        x = self.stage3(self.down3(x))
        x = self.stage4(self.down4(x))
        x = self.expand(x)
        with without_autocast(x):
            embedding_BD: torch.Tensor = self.output(x.float())
        return embedding_BD


class ConvNorm(nn.Module):
    """Convolution, batch norm, PReLU unless `act` is off. Padding keeps the size unless given."""

    def __init__(
        self,
        width_in: int,
        width: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        padding: int | None = None,
        act: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(width_in, width, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = PReLU(width) if act else nn.Identity()

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.act(self.norm(self.conv(x_BCHW)))
        return out


class Bottleneck(nn.Module):
    """1×1 up to `hidden`, depthwise 3×3, 1×1 down without activation; plus its input when it keeps the shape."""

    def __init__(self, width_in: int, width: int, hidden: int, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.up = ConvNorm(width_in, hidden, 1)
        self.depthwise = ConvNorm(hidden, hidden, 3, stride, groups=hidden)
        self.down = ConvNorm(hidden, width, 1, act=False)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.down(self.depthwise(self.up(x_BCHW)))
        return out + x_BCHW if self.residual else out


def _bottlenecks(width: int, hidden: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Bottleneck(width, width, hidden, residual=True) for _ in range(count)))
