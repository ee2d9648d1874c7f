"""The autoencoder's training, from the pairs' pictures to a network with its averaged weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthface.generator.training import networks
from synthface.generator.training.autoencoder import Autoencoder, Reconstruction
from synthface.generator.training.cache import cache_pictures
from synthface.generator.training.loop import Stage, Training
from synthface.generator.training.pairs import Pairs
from synthface.generator.training.perceptual import FrozenRecogniser, Perceptual
from synthface.generator.training.pictures import PictureReader
from synthface.generator.training.show import show_reconstructions
from synthface.recipe import Recipe
from synthface.seeds import derive_seed, generator


def train_autoencoder(
    recipe: Recipe, pairs: Pairs, work: Path, accelerator: Any, reader: PictureReader, restorer: str
) -> tuple[Any, dict[str, Any]]:
    """The frozen autoencoder in evaluation mode, and the facts of its training."""
    settings, seed = recipe.train_generator, recipe.seed
    chosen_N = pairs.rows_N
    if len(chosen_N) > settings.vae.pictures:
        chosen_N = generator(seed, "autoencoder", "pictures").choice(chosen_N, settings.vae.pictures, replace=False)
    with accelerator.main_process_first():
        cache = cache_pictures(
            work / "cache", "autoencoder", pairs, reader, np.sort(chosen_N), settings.max_corrupt, restorer
        )
    torch.manual_seed(derive_seed(seed, "weights", "autoencoder") % 2**63)
    vae = networks.make_vae(settings.vae, settings.resolution)
    side = settings.resolution // 2 ** (len(settings.vae.channels) - 1)
    shape = (settings.vae.latent_channels, side, side)
    perceptual, eye = None, None
    if settings.vae.perceptual is not None:
        recogniser = FrozenRecogniser(settings.vae.perceptual, accelerator.device, "train_generator.vae.perceptual")
        perceptual, eye = Perceptual(recogniser), recogniser.sha256
    decisive = {**settings.vae.decisive(), "perceptual": eye}
    facts = {"seed": str(seed), "pairs": pairs.fingerprint, "resolution": settings.resolution, "upscaler": restorer}
    stage = Stage(
        "autoencoder",
        Autoencoder(vae),
        Reconstruction(cache, shape, settings.vae, settings.mirror, seed, accelerator.device, perceptual),
        settings.vae,
        {**facts, "mirror": settings.mirror, **decisive},
        show_reconstructions(vae, cache, work / "samples"),
        batch_setting="train_generator.vae.batch_size",
        channels_last=accelerator.device.type == "cuda",  # on a CPU its few channels are slower so
    )
    training = Training(stage, settings, accelerator, work)
    result = training.run()
    training.average.write(training.network)
    return vae.eval().requires_grad_(False), result
