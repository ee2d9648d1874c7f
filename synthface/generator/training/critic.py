"""A critic of texture for the decoder: does a patch come from a photograph, or out of the decoder?

Losses of pixels have their minimum at the mean of all that the latents leave open, which has no grain. A critic of
patches (Isola et al. 2017) with hinge losses (Lim and Ye 2017) asks for one of the possible pictures instead, as the
autoencoder of latent diffusion does (Rombach et al. 2022, section 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import distributed, nn
from torch.func import functional_call
from torch.nn.functional import relu

from synthface.generator.training.autoencoder import Reconstruction
from synthface.seeds import generator


class Critic(nn.Module):
    """picture_BCHW in [-1, 1] → one number a patch, (B, 1, h, w): positive where it looks like a photograph.

    Every level halves the side.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for before, width in pairwise(channels):
            layers += [nn.Conv2d(before, width, 4, 2, 1), nn.GroupNorm(math.gcd(width, 8), width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 3, 1, 1))

    def forward(self, picture_BCHW: torch.Tensor) -> torch.Tensor:
        opinion_B1HW: torch.Tensor = self.layers(picture_BCHW)
        return opinion_B1HW


class Finishing(nn.Module):
    """Decoder and critic as one network, so that both learn in one step."""

    def __init__(self, vae: Any, critic: Critic) -> None:
        super().__init__()
        self.vae, self.critic = vae, critic
        vae.requires_grad_(False)
        for part in (vae.decoder, vae.post_quant_conv):
            part.requires_grad_(True)

    def forward(
        self, picture_BCHW: torch.Tensor, normal_BCHW: torch.Tensor, level_B: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """The picture again, and the critic's opinions of the picture and of that one, which are the critic's to learn from.

        level_B: the deviation of the noise on the latents.
        """
        with torch.no_grad():
            posterior = self.vae.encode(picture_BCHW).latent_dist
            deviation_BCHW = torch.hypot(posterior.std, level_B[:, None, None, None].to(posterior.std.dtype))
            latent_BCHW = posterior.mean + deviation_BCHW * normal_BCHW
        again_BCHW = self.vae.decode(latent_BCHW, return_dict=False)[0]
        return again_BCHW, self.critic(picture_BCHW), self.critic(again_BCHW.detach())


class Texture:
    """The loss of a batch: the first stage's errors, the critic's opinion of the decoder, and the critic's own loss.

    The critic's opinion weighs `critic_weight` times as much as the errors: by the norms of both gradients to the picture
    (Esser et al. 2021, equation 7, takes them to the last layer), whatever the scale of what the critic says. The norms are of
    all processes' pictures together, so that several decide what one with the whole batch would.

    Each picture's latents are as noisy as chance says, up to `latent_noise`: a denoiser's are never quite right, and a decoder
    that saw only perfect ones paints what is wrong with them.
    """

    def __init__(self, first: Reconstruction, critic: Critic, critic_weight: float, latent_noise: float) -> None:
        """latent_noise: the largest deviation, in the latents' own units."""
        self.first, self.critic, self.critic_weight, self.latent_noise = first, critic, critic_weight, latent_noise

    def __call__(self, network: Any, samples: Sequence[int]) -> dict[str, torch.Tensor]:
        """`loss` and its parts: those of `Reconstruction`, `texture` (to the decoder) and `critic`."""
        picture_BCHW, normal_BCHW = self.first.batch(samples)
        levels = [generator(self.first.seed, "decoder", sample).random() * self.latent_noise for sample in samples]
        again_BCHW, photograph, drawn = network(
            picture_BCHW, normal_BCHW, torch.tensor(levels, device=picture_BCHW.device)
        )
        leaf_BCHW = again_BCHW.detach().float().requires_grad_()
        error, parts = self.first.errors(leaf_BCHW, picture_BCHW)
        still = {key: value.detach() for key, value in self.critic.named_parameters()}
        texture = -functional_call(self.critic, still, (leaf_BCHW,)).float().mean()
        (of_error_BCHW,) = torch.autograd.grad(error, leaf_BCHW)
        (of_texture_BCHW,) = torch.autograd.grad(texture, leaf_BCHW)
        error_norm, texture_norm = common_norms(of_error_BCHW, of_texture_BCHW)
        weight = self.critic_weight * error_norm / texture_norm.clamp(min=1e-12)
        critic = relu(1 - photograph.float()).mean() + relu(1 + drawn.float()).mean()
        value = (error + weight * texture).detach()
        loss = with_gradient(value, again_BCHW, of_error_BCHW + weight * of_texture_BCHW) + critic
        return {"loss": loss, **parts, "texture": texture.detach(), "critic": critic.detach()}


def common_norms(*gradients: torch.Tensor) -> torch.Tensor:
    """The norm of each, over the parts that all processes have of it. Called by all of them."""
    squares = torch.stack([gradient.square().sum() for gradient in gradients])
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(squares)
    return squares.sqrt()


def with_gradient(value: torch.Tensor, of: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """A scalar of the given value whose gradient to `of` is the given one."""
    product = (of.float() * gradient).sum()
    return product - product.detach() + value
