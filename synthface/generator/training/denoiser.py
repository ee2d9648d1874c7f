"""The noise-prediction loss over pairs (section 3.2): UNet and conditioner learn together.

Shapes: B pictures, C latent channels, D dimension of the embedding, L tokens of the prompt, E their width.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel

from synthface.generator.attention import attend_plainly
from synthface.generator.training.identity_loss import IdentityLoss
from synthface.generator.training.order import Order
from synthface.generator.training.source import Source
from synthface.recipe.pictures import GeneratorTrainingRecipe
from synthface.seeds import generator


class Denoiser(torch.nn.Module):
    """UNet and conditioner as one network, so that one optimiser, one average and one wrapper serve both."""

    def __init__(self, unet: Any, conditioner: Any, plain_attention: bool = False) -> None:
        """plain_attention: by three operations that keep the matrix of scores, in place of PyTorch's fused one."""
        super().__init__()
        self.unet, self.conditioner, self.plain_attention = unet, conditioner, plain_attention
        if plain_attention:
            attend_plainly(unet)

    def forward(
        self, noisy_BCHW: torch.Tensor, timestep_B: torch.Tensor, unit_BD: torch.Tensor, dropped_B: torch.Tensor
    ) -> torch.Tensor:
        """What the UNet predicts, (B, C, H, W); `dropped_B` (bool): rows that get the empty prompt."""
        plainly: contextlib.AbstractContextManager[Any] = (
            sdpa_kernel(SDPBackend.MATH) if self.plain_attention else contextlib.nullcontext()
        )
        with plainly:
            prompt_BLE = self.conditioner(unit_BD, dropped_B)
        prediction: torch.Tensor = self.unet(noisy_BCHW, timestep_B, prompt_BLE, return_dict=False)[0]
        return prediction


@dataclass(frozen=True)
class _Draws:
    """What chance decides about samples: each a function of the recipe's seed and the sample's number."""

    timestep_B: torch.Tensor
    dropped_B: torch.Tensor
    mirrored_B: NDArray[np.bool_]
    noise_BCHW: torch.Tensor
    posterior_BCHW: torch.Tensor


class NoisePrediction:
    """The loss of a batch: ‖target − prediction‖² at a random noise level.

    Sample s is row `order[s]` of the source under the draws of generator(seed, "denoiser", s): what is seen does not
    depend on the number of processes, the batch size or an interruption.
    """

    def __init__(
        self,
        source: Source,
        unit_ND: NDArray[np.float32],
        schedule: dict[str, Any],
        recipe: GeneratorTrainingRecipe,
        seed: int,
        device: torch.device,
        identity: IdentityLoss | None = None,
        identity_from: int = 0,
    ) -> None:
        """identity: a further term of the loss, from sample number `identity_from` on."""
        from diffusers import DDPMScheduler

        self.source, self.unit_ND, self.recipe, self.seed, self.device = source, unit_ND, recipe, seed, device
        self.scheduler = DDPMScheduler.from_config(schedule)
        self.identity, self.identity_from = identity, identity_from
        self.prediction = str(self.scheduler.config.prediction_type)
        self.order = Order(source.usable(), seed)
        alpha_T = self.scheduler.alphas_cumprod.double()
        self.weight_T = _loss_weights(alpha_T / (1 - alpha_T), recipe.min_snr_gamma, self.prediction).to(device)

    def __call__(self, network: Any, samples: Sequence[int]) -> dict[str, torch.Tensor]:
        """`loss`; without any weighting `error`; and `identity`, 1 − similarity, where that is a part of the loss."""
        row_B = self.order[samples]
        draws = self._draw(samples)
        clean_BCHW, good_B = self.source.latents(row_B, draws.mirrored_B, draws.posterior_BCHW)
        timestep_B, noise_BCHW = draws.timestep_B.to(self.device), draws.noise_BCHW.to(self.device)
        noisy_BCHW = self.scheduler.add_noise(clean_BCHW, noise_BCHW, timestep_B)
        unit_BD = torch.from_numpy(np.asarray(self.unit_ND[row_B], np.float32)).to(self.device)
        prediction_BCHW = network(noisy_BCHW, timestep_B, unit_BD, draws.dropped_B.to(self.device)).float()
        target_BCHW = self._target(clean_BCHW, noise_BCHW, timestep_B)
        error_B = (prediction_BCHW - target_BCHW).square().mean((1, 2, 3))
        if good_B is not None:  # damaged pictures teach nothing
            error_B = error_B * good_B
        parts = {"error": error_B.detach().mean()}
        loss = (self.weight_T[timestep_B] * error_B).mean()
        if self.identity is not None and samples[0] >= self.identity_from:
            counts_B = ~draws.dropped_B.to(self.device)
            counts_B = counts_B if good_B is None else counts_B & good_B
            judged = math.ceil(self.recipe.identity_loss_share * len(samples))  # their order is chance already
            unlike = self.identity(
                prediction_BCHW[:judged], noisy_BCHW[:judged], timestep_B[:judged], unit_BD[:judged], counts_B[:judged]
            )
            loss = loss + self.recipe.identity_loss_weight * unlike
            parts["identity"] = unlike.detach()
        return {"loss": loss, **parts}

    def _draw(self, samples: Sequence[int]) -> _Draws:
        shape = self.source.shape
        steps = int(self.scheduler.config.num_train_timesteps)
        timesteps, dropped, mirrored = [], [], []
        noise_BCHW = np.empty((len(samples), *shape), np.float32)
        posterior_BCHW = np.empty_like(noise_BCHW)
        for row, sample in enumerate(samples):
            chance = generator(self.seed, "denoiser", sample)
            timesteps.append(int(chance.integers(steps)))
            dropped.append(bool(chance.random() < self.recipe.condition_dropout))
            mirrored.append(self.recipe.mirror and bool(chance.random() < 0.5))
            chance.standard_normal(out=noise_BCHW[row], dtype=np.float32)
            if self.source.stochastic:
                chance.standard_normal(out=posterior_BCHW[row], dtype=np.float32)
        return _Draws(
            torch.tensor(timesteps),
            torch.tensor(dropped),
            np.array(mirrored),
            torch.from_numpy(noise_BCHW),
            torch.from_numpy(posterior_BCHW),
        )

    def _target(self, clean_BCHW: torch.Tensor, noise_BCHW: torch.Tensor, timestep_B: torch.Tensor) -> torch.Tensor:
        if self.prediction == "epsilon":
            return noise_BCHW
        if self.prediction == "sample":
            return clean_BCHW
        velocity_BCHW: torch.Tensor = self.scheduler.get_velocity(clean_BCHW, noise_BCHW, timestep_B)
        return velocity_BCHW


def _loss_weights(snr_T: torch.Tensor, gamma: float | None, prediction: str) -> torch.Tensor:
    """Weight of each noise level: 1, or min(SNR, γ) in units of the clean picture's error (Hang et al. 2023).

    The error of the clean picture is the error of ε over SNR, and that of v over SNR + 1.
    """
    if gamma is None:
        return torch.ones_like(snr_T, dtype=torch.float32)
    clamped_T = snr_T.clamp(max=gamma)
    per_prediction = {"epsilon": snr_T, "v_prediction": snr_T + 1, "sample": torch.ones_like(snr_T)}
    return (clamped_T / per_prediction[prediction]).float()
