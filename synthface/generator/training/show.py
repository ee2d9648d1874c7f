"""What a stage shows of itself, as PNG sheets under samples/."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from synthface.generator.arc2face import Arc2Face
from synthface.generator.decode import to_uint8
from synthface.generator.open import sampling_options
from synthface.generator.sheets import sheet, write_png
from synthface.generator.training.cache import Cache
from synthface.generator.training.pairs import Pairs
from synthface.generator.training.pictures import PictureReader
from synthface.generator.training.source import as_tensor
from synthface.recipe import Recipe
from synthface.seeds import derive_seed

if TYPE_CHECKING:
    from synthface.generator.training.train import Networks

_PICTURES_EACH = 4
_RECONSTRUCTIONS = 8


def show_people(
    recipe: Recipe, pairs: Pairs, reader: PictureReader, unit_ND: NDArray[np.float32], parts: Networks, folder: Path
) -> Callable[[int], None]:
    """Writes denoiser-STEP.png: a row for each of some people, first the real picture, then samples of its embedding."""
    settings = recipe.train_generator
    _, first_N = np.unique(pairs.label_N, return_index=True)
    row_P = first_N[: settings.sample_identities]
    condition_PD = np.asarray(unit_ND[row_P])
    seed_M = [derive_seed(recipe.seed, "grid", int(row), k) for row in row_P for k in range(_PICTURES_EACH)]

    def show(step: int) -> None:
        model = Arc2Face(parts.unet, parts.vae, parts.conditioner, parts.schedule, pairs.dimension)
        drawn = model.sample(np.repeat(condition_PD, _PICTURES_EACH, 0), seed_M, **sampling_options(recipe.generator))
        side = drawn.shape[1]
        real, _ = reader.read(pairs.payloads(row_P.tolist()))
        rows = np.concatenate([real[:, None], drawn.reshape(len(row_P), _PICTURES_EACH, side, side, 3)], 1)
        write_png(folder / f"denoiser-{step:08d}.png", sheet(rows))

    return show


def show_reconstructions(vae: Any, cache: Cache, folder: Path, stage: str) -> Callable[[int], None]:
    """Writes STAGE-STEP.png: pictures above, and below them what comes out of the autoencoder."""
    row_B = cache.usable()[:: max(1, len(cache.usable()) // _RECONSTRUCTIONS)][:_RECONSTRUCTIONS]
    picture_BHWC = cache.row_N[row_B]

    @torch.inference_mode()
    def show(step: int) -> None:
        picture_BCHW = as_tensor(picture_BHWC, vae.device)
        latent_BCHW = vae.encode(picture_BCHW).latent_dist.mean
        again_BCHW = (vae.decode(latent_BCHW, return_dict=False)[0].float() / 2 + 0.5).clamp(0, 1)
        write_png(folder / f"{stage}-{step:08d}.png", sheet(np.stack([picture_BHWC, to_uint8(again_BCHW)])))

    return show
