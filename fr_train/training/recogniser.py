"""Backbone and margin head as one module, so that one DDP wrapper and one autocast see both."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fr_train import backbones, heads
from synthface.recipe.recognition import TrainRecipe


class Recogniser(nn.Module):
    """uint8 image_BHWC in RGB and label_B → mean cross-entropy of the head's logits, a float32 scalar."""

    def __init__(self, backbone: nn.Module, head: heads.MarginHead, color: Literal["rgb", "bgr"]) -> None:
        super().__init__()
        self.backbone, self.head, self.color = backbone, head, color

    def forward(self, image_BHWC: Tensor, label_B: Tensor) -> Tensor:
        embedding_BD = self.backbone(normalised(image_BHWC, self.color))
        return F.cross_entropy(self.head(embedding_BD, label_B), label_B)


def build(recipe: TrainRecipe, num_classes: int) -> Recogniser:
    """A recogniser with random weights from PyTorch's generator, in channels_last."""
    backbone = backbones.build(recipe.backbone, recipe.embedding_size)
    head = heads.build(
        recipe.head,
        recipe.embedding_size,
        num_classes,
        margin=recipe.margin,
        h=recipe.h,
        scale=recipe.scale,
        t_alpha=recipe.t_alpha,
    )
    model: Recogniser = Recogniser(backbone, head, recipe.color).to(memory_format=torch.channels_last)
    return model


def normalised(image_BHWC: Tensor, color: str) -> Tensor:
    """uint8 RGB image_BHWC → float32 image_BCHW in [-1, 1], in the network's channel order, channels_last in memory."""
    image_BCHW = image_BHWC.permute(0, 3, 1, 2).to(torch.float32)
    if color == "bgr":
        image_BCHW = image_BCHW.flip(1)
    return (image_BCHW - 127.5) / 127.5
