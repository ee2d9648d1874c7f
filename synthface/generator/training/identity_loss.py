"""An optional term (ours; the paper has none): the predicted clean picture should embed as the condition says.

Where the noise is low, one step of the denoiser already tells the clean latents (DDIM, eq. 12). They are decoded, embedded
by the frozen recogniser, and compared with the condition. The gradient passes through recogniser and autoencoder.
"""

from __future__ import annotations

from typing import Any

import torch

from synthface.generator.training.perceptual import FrozenRecogniser


class IdentityLoss:
    """Mean 1 − cosine similarity over the pictures whose signal makes up at least `least_signal` of the variance, ᾱ."""

    def __init__(
        self, recogniser: FrozenRecogniser, vae: Any, alpha_T: torch.Tensor, prediction: str, least_signal: float
    ) -> None:
        self.recogniser, self.vae, self.prediction, self.least_signal = recogniser, vae, prediction, least_signal
        self.alpha_T = alpha_T

    def __call__(
        self,
        prediction_BCHW: torch.Tensor,
        noisy_BCHW: torch.Tensor,
        timestep_B: torch.Tensor,
        unit_BD: torch.Tensor,
        counts_B: torch.Tensor,
    ) -> torch.Tensor:
        """The term; `counts_B` (bool): rows that have a condition. 0 when there is no row with little noise."""
        alpha_B = self.alpha_T[timestep_B]
        row_K = torch.nonzero(counts_B & (alpha_B >= self.least_signal)).flatten()
        if not len(row_K):
            return prediction_BCHW.sum() * 0.0
        clean_KCHW = predicted_clean(
            prediction_BCHW[row_K], noisy_BCHW[row_K], alpha_B[row_K, None, None, None], self.prediction
        )
        picture_KCHW = self.vae.decode(clean_KCHW / self.vae.config.scaling_factor, return_dict=False)[0].float()
        similarity_K = torch.cosine_similarity(self.recogniser(picture_KCHW).float(), unit_BD[row_K])
        return (1 - similarity_K).sum() / len(prediction_BCHW)


def predicted_clean(
    prediction_BCHW: torch.Tensor, noisy_BCHW: torch.Tensor, alpha_B111: torch.Tensor, prediction: str
) -> torch.Tensor:
    """The clean latents that a prediction of noise, velocity or sample stands for."""
    if prediction == "sample":
        return prediction_BCHW
    if prediction == "v_prediction":
        return alpha_B111.sqrt() * noisy_BCHW - (1 - alpha_B111).sqrt() * prediction_BCHW
    return (noisy_BCHW - (1 - alpha_B111).sqrt() * prediction_BCHW) / alpha_B111.sqrt()
