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
from torch import nn
from torch.func import functional_call
from torch.nn.functional import relu

from synthface.generator.training.autoencoder import Reconstruction


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

    def forward(self, picture_BCHW: torch.Tensor, normal_BCHW: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The picture again; the critic's opinions of the picture, of that one, and of that one for the decoder."""
        with torch.no_grad():
            posterior = self.vae.encode(picture_BCHW).latent_dist
            latent_BCHW = posterior.mean + posterior.std * normal_BCHW
        again_BCHW = self.vae.decode(latent_BCHW, return_dict=False)[0]
        still = {key: value.detach() for key, value in self.critic.named_parameters()}
        for_decoder = functional_call(self.critic, still, (again_BCHW,))
        return again_BCHW, self.critic(picture_BCHW), self.critic(again_BCHW.detach()), for_decoder


class Texture:
    """The loss of a batch: the first stage's errors, the critic's opinion of the decoder, and the critic's own loss."""

    def __init__(self, first: Reconstruction, critic_weight: float) -> None:
        self.first, self.critic_weight = first, critic_weight

    def __call__(self, network: Any, samples: Sequence[int]) -> dict[str, torch.Tensor]:
        """`loss` and its parts: those of `Reconstruction`, `texture` (to the decoder) and `critic`."""
        picture_BCHW, normal_BCHW = self.first.batch(samples)
        again_BCHW, photograph, drawn, for_decoder = network(picture_BCHW, normal_BCHW)
        loss, parts = self.first.errors(again_BCHW.float(), picture_BCHW)
        texture = -for_decoder.float().mean()
        critic = relu(1 - photograph.float()).mean() + relu(1 + drawn.float()).mean()
        loss = loss + self.critic_weight * texture + critic
        return {"loss": loss, **parts, "texture": texture.detach(), "critic": critic.detach()}
