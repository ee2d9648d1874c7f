"""Where the denoiser's clean latents come from: a cache of them, cached pixels, or pictures encoded as they come."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from synthface.generator.decode import downscaling
from synthface.generator.training.cache import Cache, refuse_too_many_bad
from synthface.generator.training.pairs import Pairs
from synthface.generator.training.pictures import PictureReader

_SCALE_ROWS = 1_024


class Source(Protocol):
    """Latents by row. `shape` of one, (C, h, w); `stochastic`: whether they are drawn from the encoder's posterior."""

    shape: tuple[int, int, int]
    stochastic: bool

    def usable(self) -> NDArray[np.int64]:
        """Rows that may be asked for."""
        ...

    def damaged(self) -> Collection[int]:
        """Rows of which this process knows that they hold no picture."""
        ...

    def latents(
        self, row_B: NDArray[np.int64], mirrored_B: NDArray[np.bool_], normal_BCHW: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Scaled latents (B, C, h, w) float32 on the device, and a bool (B,) of the rows that hold a picture (None: all).

        normal_BCHW: standard normal, for the posterior.
        """
        ...


class CachedLatents:
    """Mean and deviation of every picture's latents from `cache_latents`; `scale`: the autoencoder's factor."""

    stochastic = True

    def __init__(self, cache: Cache, scale: float, device: torch.device) -> None:
        self.cache, self.scale, self.device = cache, scale, device
        self.shape = (int(cache.row_N.shape[3]), int(cache.row_N.shape[4]), int(cache.row_N.shape[5]))

    def usable(self) -> NDArray[np.int64]:
        return self.cache.usable()

    def damaged(self) -> Collection[int]:
        return self.cache.bad

    def latents(
        self, row_B: NDArray[np.int64], mirrored_B: NDArray[np.bool_], normal_BCHW: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        moments = torch.from_numpy(self.cache.row_N[row_B, mirrored_B.astype(np.int64)]).to(self.device).float()
        mean_BCHW, std_BCHW = moments.unbind(1)
        return self.scale * (mean_BCHW + std_BCHW * normal_BCHW.to(self.device)), None


class CachedPixels:
    """Pictures in [-1, 1] from `cache_pictures`, for a denoiser of pixels."""

    stochastic = False

    def __init__(self, cache: Cache, device: torch.device) -> None:
        self.cache, self.device = cache, device
        height, width, channels = cache.row_N.shape[1:]
        self.shape = (int(channels), int(height), int(width))

    def usable(self) -> NDArray[np.int64]:
        return self.cache.usable()

    def damaged(self) -> Collection[int]:
        return self.cache.bad

    def latents(
        self, row_B: NDArray[np.int64], mirrored_B: NDArray[np.bool_], normal_BCHW: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return as_tensor(mirrored(self.cache.row_N[row_B], mirrored_B), self.device), None


class Encoded:
    """Pictures decoded and encoded when they are asked for: slower, and nothing is stored (latents of 42M pictures are 5 TB).

    Raises InputError when more pictures than the share `max_corrupt` of all turn out to be damaged.
    """

    stochastic = True

    def __init__(self, pairs: Pairs, reader: PictureReader, vae: Any, device: torch.device, max_corrupt: float) -> None:
        self.pairs, self.reader, self.vae, self.device, self.max_corrupt = pairs, reader, vae, device, max_corrupt
        side = reader.side // downscaling(vae)
        self.shape = (int(vae.config.latent_channels), side, side)
        self._bad: set[int] = set()

    def usable(self) -> NDArray[np.int64]:
        return np.arange(len(self.pairs), dtype=np.int64)

    def damaged(self) -> Collection[int]:
        return self._bad

    @torch.no_grad()
    def latents(
        self, row_B: NDArray[np.int64], mirrored_B: NDArray[np.bool_], normal_BCHW: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        picture_BHWC, good_B = self.reader.read(self.pairs.payloads(row_B.tolist()))
        if not good_B.all():
            self._bad.update(row_B[~good_B].tolist())
            refuse_too_many_bad(sorted(self._bad), self.usable(), self.max_corrupt, self.pairs.place)
        picture_BCHW = as_tensor(mirrored(picture_BHWC, mirrored_B), self.device)
        posterior = self.vae.encode(picture_BCHW.to(self.vae.dtype)).latent_dist
        sample_BCHW: torch.Tensor = posterior.mean.float() + posterior.std.float() * normal_BCHW.to(self.device)
        return float(self.vae.config.scaling_factor) * sample_BCHW, torch.from_numpy(good_B).to(self.device)


def as_tensor(picture_BHWC: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """(B, 3, H, W) float32 in [-1, 1] from (B, H, W, 3) uint8."""
    picture_BCHW = torch.from_numpy(np.ascontiguousarray(picture_BHWC)).to(device).permute(0, 3, 1, 2)
    return picture_BCHW.contiguous().float() / 127.5 - 1


def latent_scale(cache: Cache) -> float:
    """1 / standard deviation of the latents: the denoiser wants them with variance 1 (Rombach et al. 2022, G.)."""
    rows = cache.usable()[:: max(1, len(cache.usable()) // _SCALE_ROWS)]
    moments = cache.row_N[rows].astype(np.float64)
    variance = moments[:, :, 0].var() + np.square(moments[:, :, 1]).mean()
    return float(1 / np.sqrt(max(variance, 1e-12)))


def mirrored(picture_BHWC: NDArray[np.uint8], mirrored_B: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The pictures, those of `mirrored_B` left for right."""
    return np.where(mirrored_B[:, None, None, None], picture_BHWC[:, :, ::-1], picture_BHWC)
