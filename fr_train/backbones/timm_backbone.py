"""Any model of timm as a face backbone: its own pooling and classifier give the embedding, a batch norm closes it."""

from __future__ import annotations

import torch
from torch import nn

from fr_train.backbones.precision import without_autocast
from synthface.errors import UsageError, did_you_mean


class TimmBackbone(nn.Module):
    """image_BCHW in [-1, 1], 112×112 → embedding_BD float32, not normalised.

    The last norm has no affine part, as AdaFace's: the margin head sees embeddings whose norms it can compare.
    Raises UsageError when timm knows no such model, or the model cannot take 112×112 images.
    """

    def __init__(self, name: str, embedding_size: int = 512, image_size: int = 112) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.model = _create(name, embedding_size, image_size)
        self.embedding_norm = nn.BatchNorm1d(embedding_size, affine=False)
        try:
            with torch.no_grad():
                shape = tuple(self.model.eval()(torch.zeros(1, 3, image_size, image_size)).shape)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UsageError(
                f"timm's model '{name}' does not take images of {image_size}×{image_size}: {error}.",
                "Choose a convolutional model, or a transformer whose patches divide 112.",
            ) from error
        finally:
            self.model.train()
        if shape != (1, embedding_size):
            raise UsageError(
                f"timm's model '{name}' gives an output of shape {shape} instead of one vector an image.",
                "Choose a model with a classifier.",
            )

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        x = self.model(image_BCHW)
        with without_autocast(x):
            embedding_BD: torch.Tensor = self.embedding_norm(x.float())
        return embedding_BD


def _create(name: str, embedding_size: int, image_size: int) -> nn.Module:
    import timm

    if not timm.is_model(name):
        near = did_you_mean(name, timm.list_models())
        raise UsageError(
            f"timm knows no model named '{name}'.",
            f"{near} `python -c 'import timm; print(timm.list_models())'` lists them.".strip(),
        )
    arguments = {"pretrained": False, "num_classes": embedding_size}
    try:  # transformers must be told the size; convolutional networks do not know the argument
        model: nn.Module = timm.create_model(name, img_size=image_size, **arguments)
    except (TypeError, AssertionError):
        model = timm.create_model(name, **arguments)
    return model
