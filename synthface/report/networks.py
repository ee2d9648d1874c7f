"""LPIPS and FID, by torchmetrics with its public networks. Extra `[metrics]`; the weights come from the zoo.

Nothing downloads here: torch and torchmetrics are shown where the zoo keeps the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import zoo
from synthface.errors import MissingPackageError, ResourceError
from synthface.progress import Progress

Image = NDArray[np.uint8]
LPIPS_WEIGHTS, FID_WEIGHTS = "alexnet", "inception-fid"


def demand() -> None:
    """Raises MissingPackageError or MissingWeightsError unless all is here: before an hour of embedding, not after it."""
    try:
        import torch_fidelity  # noqa: F401
        import torchmetrics  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"LPIPS and FID need the package {error.name}, which is not installed.", "pip install 'synthface[metrics]'"
        ) from error
    for name in (LPIPS_WEIGHTS, FID_WEIGHTS):
        zoo.weights(name)


def device_of(name: str | None) -> str:
    """`cuda` where there is a GPU and none was named. Raises ResourceError for one that torch cannot use."""
    import torch

    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if chosen.startswith("cuda") and not torch.cuda.is_available():
        raise ResourceError(f"The device '{chosen}' was asked for, and torch has no CUDA here.", "Choose --device cpu.")
    return chosen


class Lpips:
    """Perceptual distance of two pictures in AlexNet's features: Zhang et al. (CVPR 2018)."""

    def __init__(self, device: str) -> None:
        import torch
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        folder = zoo.weights(LPIPS_WEIGHTS)
        before = torch.hub.get_dir()
        torch.hub.set_dir(str(folder))  # torchvision looks there before it would download
        try:
            self._metric = LearnedPerceptualImagePatchSimilarity(net_type="alex").to(device).eval()
        finally:
            torch.hub.set_dir(before)
        self._device = device

    def distances(self, first_BHWC: Image, second_BHWC: Image) -> NDArray[np.float32]:
        """(B, size, size, 3) uint8 RGB each → the distance of each pair, (B,)."""
        import torch

        with torch.inference_mode():
            found = [
                self._metric(*(self._prepared(image_BHWC[k : k + 1]) for image_BHWC in (first_BHWC, second_BHWC)))
                for k in range(len(first_BHWC))
            ]
            self._metric.reset()
            distance_B: NDArray[np.float32] = torch.stack(found).float().cpu().numpy()
        return distance_B

    def _prepared(self, image_BHWC: Image) -> Any:
        import torch

        return torch.from_numpy(image_BHWC).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1


class Inception:
    """The features on which FID is defined (2,048 numbers a picture), and the distance itself."""

    def __init__(self, device: str) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance

        path = str(zoo.weights(FID_WEIGHTS))
        self._metric = FrechetInceptionDistance(feature=2048, feature_extractor_weights_path=path).to(device).eval()
        self._device = device

    def features(self, image_BHWC: Image) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            feature_BD: NDArray[np.float32] = self._metric.inception(self._prepared(image_BHWC)).float().cpu().numpy()
        return feature_BD

    def distance(self, made: Sequence[Image], real: Sequence[Image], batch: int) -> float:
        """FID of two sets of crops of one size: Heusel et al. (NeurIPS 2017)."""
        import torch

        self._metric.reset()
        with torch.inference_mode(), Progress(len(made) + len(real), "images", "FID") as progress:
            for images, is_real in ((made, False), (real, True)):
                for image_BHWC in batches(images, batch):
                    self._metric.update(self._prepared(image_BHWC), real=is_real)
                    progress.update(len(image_BHWC))
            return float(self._metric.compute())

    def _prepared(self, image_BHWC: Image) -> Any:
        import torch

        return torch.from_numpy(image_BHWC).to(self._device).permute(0, 3, 1, 2)


def batches(images: Sequence[Image], size: int) -> Iterator[Image]:
    for start in range(0, len(images), size):
        yield np.stack(images[start : start + size])
