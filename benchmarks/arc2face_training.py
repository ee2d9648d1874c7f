"""Steps of `train-generator` from nothing, autoencoder and denoiser: pictures/s by precision and memory format.

    python benchmarks/arc2face_training.py [--keep] [--threads 1]

The networks are those of docs/train-generator.md at 112 pixels; pictures and latents are random, losses, optimiser,
average and accelerate are the training's own. Every variant is trained for some steps, in turns, in one process; a figure is
the median of the log's.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import measure
import numpy as np
import torch

from synthface.generator.training import networks
from synthface.generator.training.autoencoder import Autoencoder, Reconstruction
from synthface.generator.training.cache import Cache
from synthface.generator.training.denoiser import Denoiser, NoisePrediction
from synthface.generator.training.loop import Stage, Training
from synthface.generator.training.processes import make_accelerator
from synthface.generator.training.source import CachedLatents
from synthface.recipe.pictures import GeneratorTrainingRecipe

SCRATCH: dict[str, Any] = {
    "mode": "scratch",
    "resolution": 112,
    "vae": {"channels": (16, 16, 32, 64), "latent_channels": 8, "batch_size": 16},
    "unet": {"channels": (64, 128, 192), "attention": (False, True, True)},
    "text": {"layers": 2},
    "batch_size": 32,
    "min_snr_gamma": 5,
}
DIMENSION = 128
PICTURES = 256


def main() -> None:
    """Prints the result; `--keep` stores it."""
    parser = measure.arguments(__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=16, help="of each variant and turn")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="torch.compile as well")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    variants = [
        {"precision": precision, "channels_last": last, "plain_attention": False, "compile": False}
        for precision in ("no", "bf16")
        for last in (False, True)
    ]
    variants.append({**variants[2], "plain_attention": True})
    if arguments.compile:
        variants += [{**variant, "compile": True} for variant in variants if not variant["channels_last"]]
    result: dict[str, Any] = {"threads": arguments.threads}
    for stage in ("autoencoder", "denoiser"):
        rates: list[list[float]] = [[] for _ in variants]
        chosen = [variant for variant in variants if stage == "denoiser" or not variant["plain_attention"]]
        for _ in range(arguments.turns):
            for place, variant in enumerate(chosen):
                rates[place] += trained(stage, variant, arguments.steps)
        medians = [statistics.median(rate) for rate in rates[: len(chosen)]]
        result[stage] = [
            {**variant, "images_per_second": round(median, 2), "times_float32": round(median / medians[0], 2)}
            for variant, median in zip(chosen, medians, strict=True)
        ]
    measure.report("arc2face_training", result, arguments.keep)


def trained(name: str, variant: dict[str, Any], steps: int) -> list[float]:
    """Pictures/s of every two steps but the first two pairs."""
    plain = variant["plain_attention"]
    own = {"vae": {**SCRATCH["vae"], "steps": steps}, "steps": steps, "log_every": 2, "sample_every": 0}
    own |= {key: value for key, value in variant.items() if key != "plain_attention"}
    settings = GeneratorTrainingRecipe.model_validate({**SCRATCH, **own})
    accelerator = make_accelerator(settings)
    with tempfile.TemporaryDirectory() as folder:
        if name == "autoencoder":
            stage = autoencoder(settings, accelerator)
        else:
            stage = denoiser(settings, accelerator, Path(folder), plain)
        Training(stage, settings, accelerator, Path(folder)).run()
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    return [line["images_per_second"] for line in lines[2:]]


def autoencoder(settings: Any, accelerator: Any) -> Stage:
    rng = np.random.default_rng(0)
    side = settings.resolution
    cache = Cache(rng.integers(0, 256, (PICTURES, side, side, 3), np.uint8), np.arange(PICTURES), ())
    vae = networks.make_vae(settings.vae, side)
    shape = (settings.vae.latent_channels, *(2 * [side // 2 ** (len(settings.vae.channels) - 1)]))
    loss = Reconstruction(cache, shape, settings.vae, True, 0, accelerator.device)
    return Stage("autoencoder", Autoencoder(vae), loss, settings.vae, {}, _show_nothing)


def denoiser(settings: Any, accelerator: Any, folder: Path, plain: bool) -> Stage:
    rng = np.random.default_rng(0)
    side = settings.resolution // 2 ** (len(settings.vae.channels) - 1)
    moments = rng.standard_normal((PICTURES, 2, 2, settings.vae.latent_channels, side, side)).astype(np.float16)
    source = CachedLatents(Cache(moments, np.arange(PICTURES), ()), 1.0, accelerator.device)
    unit_ND = rng.standard_normal((PICTURES, DIMENSION)).astype(np.float32)
    unit_ND /= np.linalg.norm(unit_ND, axis=1, keepdims=True)
    conditioner = networks.make_conditioner(settings, DIMENSION, folder / "tokenizer")
    unet = networks.make_unet(settings.unet, side, settings.vae.latent_channels, conditioner.width)
    schedule = {**networks.SCHEDULE, "prediction_type": settings.prediction}
    loss = NoisePrediction(source, unit_ND, schedule, settings, 0, accelerator.device)
    return Stage("denoiser", Denoiser(unet, conditioner, plain), loss, settings, {}, _show_nothing)


def _show_nothing(step: int) -> None:
    """No sample sheets in a measurement."""


if __name__ == "__main__":
    main()
