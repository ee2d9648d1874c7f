"""The networks that turn a face into an embedding, by name.

    ir_18 ir_34 ir_50 ir_101 ir_se_50   as AdaFace defines them        iresnet.py
    r18 r34 r50 r100 r200               as insightface defines them    iresnet.py
    mobilefacenet                       insightface's `mbf`            mobilefacenet.py
    small small_deep                    for training on a CPU          small.py
    timm/<name>                         any model that timm knows      timm_backbone.py

precision.py: where a network leaves autocast. prelu.py: an activation whose gradient is quick on a CPU.

All take image_BCHW in [-1, 1] and give embedding_BD, raw: its length is what AdaFace reads the image's quality from.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from synthface.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

TIMM_PREFIX = "timm/"
IMAGE_SIZE = 112  # pixels, height and width, of every aligned crop in this field
# name → (module beside this one, class that is called with the embedding's size); the IResNets are in a table of theirs
NETWORKS = {
    "mobilefacenet": ("mobilefacenet", "MobileFaceNet"),
    "small": ("small", "Small"),
    "small_deep": ("small", "SmallDeep"),
}


def names() -> list[str]:
    """The named backbones; `timm/<name>` comes on top of them."""
    from fr_train.backbones.iresnet import CONFIGS

    return [*CONFIGS, *NETWORKS]


def is_known(name: str) -> bool:
    """Whether `build` knows the name; of timm's models their prefix is enough."""
    return name in names() or name.startswith(TIMM_PREFIX)


def build(name: str, embedding_size: int = 512) -> nn.Module:
    """A new network with random weights: image_BCHW in [-1, 1], 112×112 → embedding_BD float32, not normalised.

    Raises UsageError when there is no backbone of that name.
    """
    if name.startswith(TIMM_PREFIX):
        from fr_train.backbones.timm_backbone import TimmBackbone

        return TimmBackbone(name.removeprefix(TIMM_PREFIX), embedding_size)
    if name in NETWORKS:
        module, network = NETWORKS[name]
        made: nn.Module = getattr(importlib.import_module(f"{__name__}.{module}"), network)(embedding_size)
        return made
    from fr_train.backbones.iresnet import CONFIGS, IResNet

    if name in CONFIGS:
        return IResNet(CONFIGS[name], embedding_size)
    hint = did_you_mean(name, names())
    raise UsageError(
        f"There is no backbone named '{name}'.", f"{hint} Known are {', '.join(names())} and timm/<name>.".strip()
    )
