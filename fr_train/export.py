"""A backbone as an ONNX file in insightface's convention, which `insightface.model_zoo.get_model` loads.

insightface feeds (x − 127.5) / 127.5 of RGB images, (n, 3, 112, 112), and takes one output, (n, d), not normalised. A
network trained on BGR gets its channels exchanged inside the graph, so that nobody has to know.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from pathlib import Path

import torch
from torch import nn

from fr_train import backbones
from synthface import files
from synthface.errors import UsageError

OPSET = 17


def to_onnx(module: nn.Module, path: str | Path, *, color: str = "rgb", image_size: int = backbones.IMAGE_SIZE) -> None:
    """Writes `module` (image_BCHW of order `color` in [-1, 1] → embedding_BD) to `path`, batch size free.

    Raises UsageError for an image size that insightface would take for another kind of network, OutputError for a place
    that cannot be written.
    """
    if image_size < 112 or image_size % 16:
        raise UsageError(
            f"insightface takes no recogniser for images of {image_size}×{image_size}.",
            "Its recognisers are square, 112 pixels or more, a multiple of 16.",
        )
    network = _FromRGB(copy.deepcopy(module), color).to("cpu", torch.float32).eval()
    example_BCHW = torch.zeros(2, 3, image_size, image_size)
    with files.atomic_path(path) as temporary, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the TorchScript exporter announces its successor at length
        torch.onnx.export(
            network,
            (example_BCHW,),
            str(temporary),
            dynamo=False,  # its successor needs another package and has no graph that is smaller or faster here
            opset_version=OPSET,
            input_names=["input"],
            output_names=["embedding"],
            dynamic_axes={"input": {0: "batch"}, "embedding": {0: "batch"}},
        )


class _FromRGB(nn.Module):
    """The network behind an exchange of red and blue where it was trained on BGR."""

    def __init__(self, module: nn.Module, color: str) -> None:
        super().__init__()
        self.module = module
        self.swap = color == "bgr"

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        if self.swap:
            image_BCHW = image_BCHW[:, [2, 1, 0]]
        embedding_BD: torch.Tensor = self.module(image_BCHW)
        return embedding_BD
