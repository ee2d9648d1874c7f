"""The autoencoder's trainings: as a whole before the denoiser's, and its decoder's alone after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthface.generator.training import networks
from synthface.generator.training.autoencoder import Autoencoder, Reconstruction
from synthface.generator.training.cache import Cache, cache_pictures, weights_digest
from synthface.generator.training.critic import Critic, Finishing, Texture
from synthface.generator.training.loop import Stage, Training
from synthface.generator.training.pairs import Pairs
from synthface.generator.training.perceptual import FrozenRecogniser, Perceptual
from synthface.generator.training.pictures import PictureReader
from synthface.generator.training.show import show_reconstructions
from synthface.recipe import Recipe
from synthface.seeds import derive_seed, generator


@dataclass(frozen=True)
class AutoencoderTraining:
    """What both trainings share: the same pictures and errors.

    restorer: hash of the network that enlarges the pictures, empty without one.
    """

    recipe: Recipe
    pairs: Pairs
    work: Path
    accelerator: Any
    reader: PictureReader
    restorer: str

    def first(self) -> tuple[Any, dict[str, Any]]:
        """The frozen autoencoder in evaluation mode, and the facts of its training."""
        settings = self.recipe.train_generator
        torch.manual_seed(derive_seed(self.recipe.seed, "weights", "autoencoder") % 2**63)
        vae = networks.make_vae(settings.vae, settings.resolution)
        cache, loss, facts = self._shared()
        stage = Stage(
            "autoencoder",
            Autoencoder(vae),
            loss,
            settings.vae,
            facts,
            show_reconstructions(vae, cache, self.work / "samples", "autoencoder"),
            batch_setting="train_generator.vae.batch_size",
            channels_last=self.accelerator.device.type == "cuda",  # on a CPU its few channels are slower so
        )
        return vae, self._trained(stage, vae)

    def decoder(self, vae: Any) -> dict[str, Any]:
        """Trains the autoencoder's decoder on, against a critic; gives the facts. The encoder, and so all latents, stay."""
        settings = self.recipe.train_generator
        torch.manual_seed(derive_seed(self.recipe.seed, "weights", "critic") % 2**63)
        critic = Critic(settings.decoder.critic_channels)
        cache, loss, facts = self._shared()
        stage = Stage(
            "decoder",
            Finishing(vae, critic),
            Texture(
                loss,
                critic,
                settings.decoder.critic_weight,
                settings.decoder.latent_noise / float(vae.config.scaling_factor),
            ),
            settings.decoder,
            {**facts, **settings.decoder.decisive(), "autoencoder": weights_digest(vae)},
            show_reconstructions(vae, cache, self.work / "samples", "decoder"),
            batch_setting="train_generator.decoder.batch_size",
            betas=(0.5, 0.95),  # of two that learn from each other, neither should remember long
            channels_last=self.accelerator.device.type == "cuda",
        )
        return self._trained(stage, vae)

    def _shared(self) -> tuple[Cache, Reconstruction, dict[str, Any]]:
        """Pictures, errors, and all that decides them."""
        settings, seed, device = self.recipe.train_generator, self.recipe.seed, self.accelerator.device
        chosen_N = self.pairs.rows_N
        if len(chosen_N) > settings.vae.pictures:
            chosen_N = generator(seed, "autoencoder", "pictures").choice(chosen_N, settings.vae.pictures, replace=False)
        with self.accelerator.main_process_first():
            cache = cache_pictures(
                self.work / "cache", "autoencoder", self.pairs, self.reader, np.sort(chosen_N),
                settings.max_corrupt, self.restorer,
            )  # fmt: skip
        perceptual, eye = None, None
        if settings.vae.perceptual is not None:
            recogniser = FrozenRecogniser(settings.vae.perceptual, device, "train_generator.vae.perceptual")
            perceptual, eye = Perceptual(recogniser), recogniser.sha256
        side = settings.resolution // 2 ** (len(settings.vae.channels) - 1)
        shape = (settings.vae.latent_channels, side, side)
        facts = {
            "seed": str(seed), "pairs": self.pairs.fingerprint, "resolution": settings.resolution,
            "upscaler": self.restorer, "mirror": settings.mirror, **settings.vae.decisive(), "perceptual": eye,
        }  # fmt: skip
        return cache, Reconstruction(cache, shape, settings.vae, settings.mirror, seed, device, perceptual), facts

    def _trained(self, stage: Stage, vae: Any) -> dict[str, Any]:
        training = Training(stage, self.recipe.train_generator, self.accelerator, self.work)
        result = training.run()
        training.average.write(training.network)
        vae.eval().requires_grad_(False)
        return result
