"""The first stage of a latent generator: an autoencoder of its own (Rombach et al. 2022, section 3.1).

Errors of gradients at several scales, and of a recogniser's features where one is given, keep edges sharp. A critic of
texture comes last, for the decoder alone: critic.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from synthface.generator.training.cache import Cache
from synthface.generator.training.order import Order
from synthface.generator.training.perceptual import Perceptual
from synthface.generator.training.source import as_tensor, mirrored
from synthface.recipe.pictures import SmallAutoencoderRecipe
from synthface.seeds import generator

_SCALES = 3  # of the gradients: 1, 1/2 and 1/4 of the picture's size


class Autoencoder(torch.nn.Module):
    """The way of training: picture → latents drawn from the posterior → picture."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(
        self, picture_BCHW: torch.Tensor, normal_BCHW: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The picture again, and mean and logarithm of the variance of its latents."""
        posterior = self.vae.encode(picture_BCHW).latent_dist
        latent_BCHW = posterior.mean + posterior.std * normal_BCHW
        return self.vae.decode(latent_BCHW, return_dict=False)[0], posterior.mean, posterior.logvar


class Reconstruction:
    """The loss of a batch: L1 of pixels and gradients, features, and the latents' divergence from the normal.

    Sample s is row `order[s]` of the cache under the draws of generator(seed, "autoencoder", s).
    """

    def __init__(
        self,
        cache: Cache,
        latent_shape: tuple[int, int, int],
        recipe: SmallAutoencoderRecipe,
        mirror: bool,
        seed: int,
        device: torch.device,
        perceptual: Perceptual | None = None,
    ) -> None:
        self.cache, self.latent_shape, self.recipe, self.mirror = cache, latent_shape, recipe, mirror
        self.seed, self.device, self.perceptual = seed, device, perceptual
        self.order = Order(cache.usable(), seed)

    def __call__(self, network: Any, samples: Sequence[int]) -> dict[str, torch.Tensor]:
        """`loss`, and its parts `pixels`, `gradients`, `divergence` and, where there are any, `features`."""
        picture_BCHW, normal_BCHW = self.batch(samples)
        again_BCHW, mean_BCHW, logvar_BCHW = network(picture_BCHW, normal_BCHW)
        loss, parts = self.errors(again_BCHW.float(), picture_BCHW)
        apart = divergence(mean_BCHW.float(), logvar_BCHW.float()) / picture_BCHW[0].numel()
        return {"loss": loss + self.recipe.kl_weight * apart, **parts, "divergence": apart.detach()}

    def batch(self, samples: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures in [-1, 1], and the normal numbers by which their latents are drawn."""
        normal_BCHW = np.empty((len(samples), *self.latent_shape), np.float32)
        mirrored_B = np.zeros(len(samples), np.bool_)
        for row, sample in enumerate(samples):
            chance = generator(self.seed, "autoencoder", sample)
            mirrored_B[row] = self.mirror and chance.random() < 0.5
            chance.standard_normal(out=normal_BCHW[row], dtype=np.float32)
        picture_BCHW = as_tensor(mirrored(self.cache.row_N[self.order[samples]], mirrored_B), self.device)
        return picture_BCHW, torch.from_numpy(normal_BCHW).to(self.device)

    def errors(
        self, again_BCHW: torch.Tensor, picture_BCHW: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted sum of what is wrong with the pictures that came out, and its parts for the log."""
        parts = {
            "pixels": (again_BCHW - picture_BCHW).abs().mean(),
            "gradients": gradient_error(again_BCHW, picture_BCHW),
        }
        loss = parts["pixels"] + self.recipe.gradient_weight * parts["gradients"]
        if self.perceptual is not None:
            parts["features"] = self.perceptual(again_BCHW, picture_BCHW)
            loss = loss + self.recipe.perceptual_weight * parts["features"]
        return loss, {key: value.detach() for key, value in parts.items()}


def gradient_error(a_BCHW: torch.Tensor, b_BCHW: torch.Tensor) -> torch.Tensor:
    """Mean |∂(a − b)| over both directions and three scales."""
    difference_BCHW = a_BCHW - b_BCHW
    total = difference_BCHW.new_zeros(())
    for _ in range(_SCALES):
        total = total + (difference_BCHW[..., 1:, :] - difference_BCHW[..., :-1, :]).abs().mean()
        total = total + (difference_BCHW[..., 1:] - difference_BCHW[..., :-1]).abs().mean()
        if min(difference_BCHW.shape[-2:]) < 4:
            break
        difference_BCHW = avg_pool2d(difference_BCHW, 2)
    return total / (2 * _SCALES)


def divergence(mean_BCHW: torch.Tensor, logvar_BCHW: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, variance) ‖ N(0, 1)) of a picture's latents, summed over them, mean over the batch."""
    kl_BCHW = 0.5 * (mean_BCHW.square() + logvar_BCHW.exp() - 1 - logvar_BCHW)
    return kl_BCHW.sum((1, 2, 3)).mean()
