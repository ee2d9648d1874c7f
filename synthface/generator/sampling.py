"""The denoising loop: classifier-free guidance over any diffusers scheduler.

Shapes: B pictures, C latent channels, L tokens of the prompt, E width of the text encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from synthface.generator.schedule import step_arguments

# (latent_BCHW, timestep, prompt_BLE) → keyword arguments of the UNet: the ControlNet's residuals
Control = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], dict[str, Any]]


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance (Ho and Salimans 2022): ε = ε(∅) + scale · (ε(c) − ε(∅)).

    `interval`: from and to which noise level it is on (Kynkäänniemi et al. 2024), the lower bound excluded, as there, unless
    it is 0; elsewhere ε(c) is used. A level is a timestep as a share of the training's timesteps: 1 is noise alone. It grows
    with σ under any schedule, and schedulers that choose their own σ give the timesteps of these.
    `batched`: both halves in one call of the UNet, or one after the other.
    """

    scale: float = 3.0
    interval: tuple[float, float] = (0.0, 1.0)
    batched: bool = True

    def on(self, level: float) -> bool:
        if self.scale == 1.0:
            return False
        low, high = self.interval
        within = min(max(level, 0.0), 1.0)
        return low < within <= high or (low == within == 0.0 < high)


def denoise(
    unet: Any,
    scheduler: Any,
    noise_BCHW: torch.Tensor,
    prompt_BLE: torch.Tensor,
    empty_1LE: torch.Tensor,
    guidance: Guidance,
    generators: Any = None,
    control: Control | None = None,
) -> torch.Tensor:
    """Latents (B, C, H, W) float32 from standard normal noise, not divided by the autoencoder's scaling factor.

    unet: any precision; the latents and the scheduler's arithmetic stay float32. scheduler: with its timesteps set.
    prompt_BLE, empty_1LE: the condition and the empty prompt. generators: one for all, or a list with one a picture.
    """
    latent_BCHW = noise_BCHW.float() * scheduler.init_noise_sigma
    prompt_BLE = prompt_BLE.to(unet.dtype)
    empty_BLE = empty_1LE.to(unet.dtype).expand_as(prompt_BLE)
    both = torch.cat([empty_BLE, prompt_BLE])
    extra = step_arguments(scheduler, generators)
    training_timesteps = int(scheduler.config.num_train_timesteps)
    levels = [timestep / training_timesteps for timestep in scheduler.timesteps.tolist()]
    for timestep, level in zip(scheduler.timesteps, levels, strict=True):
        input_BCHW = scheduler.scale_model_input(latent_BCHW, timestep).to(unet.dtype)
        if not guidance.on(level):
            noise_prediction = predict(unet, input_BCHW, timestep, prompt_BLE, control).float()
        else:
            if guidance.batched:
                pair = predict(unet, torch.cat([input_BCHW, input_BCHW]), timestep, both, control).float().chunk(2)
            else:
                pair = tuple(
                    predict(unet, input_BCHW, timestep, context, control).float() for context in (empty_BLE, prompt_BLE)
                )
            noise_prediction = pair[0] + guidance.scale * (pair[1] - pair[0])
        latent_BCHW = scheduler.step(noise_prediction, timestep, latent_BCHW, **extra, return_dict=False)[0]
    return latent_BCHW


def predict(
    unet: Any, latent_BCHW: torch.Tensor, timestep: torch.Tensor, prompt_BLE: torch.Tensor, control: Control | None
) -> torch.Tensor:
    """One call of the UNet, with the ControlNet's residuals where there is one."""
    residuals = control(latent_BCHW, timestep, prompt_BLE) if control is not None else {}
    prediction: torch.Tensor = unet(
        latent_BCHW, timestep, encoder_hidden_states=prompt_BLE, return_dict=False, **residuals
    )[0]
    return prediction
