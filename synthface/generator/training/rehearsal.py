"""`train-generator --dry-run`: what a training would take. Nothing is trained and nothing is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthface.generator.training.pairs import open_pairs
from synthface.progress import duration
from synthface.recipe import Recipe
from synthface.recipe.pictures import GeneratorTrainingRecipe

_HALF = 2  # bytes of a number of the cached latents
_STABLE_DIFFUSION = (4, 8)  # channels of its latents, and how many pixels lie along one


def rehearse(recipe: Recipe, data: str | None, embeddings: Sequence[str], speed: float | None = None) -> dict[str, Any]:
    """Pictures seen, steps, disk of the latents; time where `speed`, pictures/s of one device, is given.

    `missing` are the data that are not there. With such, or with none named, pictures and their disk are None, and the disk
    is told for a million pictures. Raises what opening the data raises.
    """
    settings = recipe.train_generator
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    missing = [path for path in (data, *embeddings) if path is not None and not Path(path).exists()]
    pictures = None if missing or data is None or not embeddings else len(open_pairs(data, embeddings))
    a_step = settings.batch_size * settings.accumulate * processes
    content: dict[str, Any] = {
        "mode": settings.mode,
        "pictures": pictures,
        "missing": missing,
        "steps": settings.steps,
        "pictures_per_step": a_step,
        "pictures_seen": settings.steps * a_step,
        "autoencoder_steps": settings.vae.steps if _has_own_autoencoder(settings) else 0,
        "autoencoder_pictures_seen": settings.vae.steps * settings.vae.batch_size * processes
        if _has_own_autoencoder(settings)
        else 0,
        "decoder_steps": settings.decoder.steps,
        "decoder_pictures_seen": settings.decoder.steps * settings.decoder.batch_size * processes,
        "bytes_of_cache": None if pictures is None else pictures * cached_bytes(settings),
        "processes": processes,
        "images_per_second": speed,
    }
    if pictures is None:
        content["bytes_of_cache_per_million"] = 1_000_000 * cached_bytes(settings)
    if speed is not None:
        seconds = content["pictures_seen"] / (speed * processes)
        content |= {
            "seconds": round(seconds, 1),
            "duration": duration(seconds),
            "device_hours": seconds * processes / 3_600,
        }
    return content


def cached_bytes(settings: GeneratorTrainingRecipe) -> int:
    """Bytes that are cached for one picture: mean and deviation of its latents, twice where it is mirrored; or its pixels."""
    if settings.mode == "scratch" and settings.space == "pixel":
        return 3 * settings.resolution**2
    if not settings.cache_latents:
        return 0
    channels, pixels = _STABLE_DIFFUSION
    if settings.mode == "scratch":
        channels, pixels = settings.vae.latent_channels, 2 ** (len(settings.vae.channels) - 1)
    views = 2 if settings.mirror else 1
    return views * 2 * channels * (settings.resolution // pixels) ** 2 * _HALF


def told(content: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [f"missing: {path}" for path in content["missing"]]
    pictures = "" if content["pictures"] is None else f" of {content['pictures']:,}"
    if content["autoencoder_steps"]:
        lines.append(
            f"autoencoder: {content['autoencoder_steps']:,} steps, {content['autoencoder_pictures_seen']:,} pictures seen"
        )
    lines.append(
        f"denoiser: {content['steps']:,} steps of {content['pictures_per_step']:,} pictures, "
        f"{content['pictures_seen']:,} pictures seen{pictures}, {content['processes']} × one device"
    )
    if content["decoder_steps"]:
        lines.append(f"decoder: {content['decoder_steps']:,} steps, {content['decoder_pictures_seen']:,} pictures seen")
    if content["bytes_of_cache"] is not None:
        lines.append(f"disk: {content['bytes_of_cache'] / 1e9:,.2f} GB of cache, beside the checkpoints")
    else:
        lines.append(
            f"disk: {content['bytes_of_cache_per_million'] / 1e9:,.2f} GB of cache for every million pictures in the data, beside "
            "the checkpoints; all of it is told when --data and --embeddings name what is here"
        )
    if "seconds" in content:
        lines.append(
            f"time of the denoiser: {content['duration']} at the given {content['images_per_second']:,.4g} pictures/s of one "
            f"device; {content['device_hours']:,.2f} device-hours"
        )
    else:
        lines.append("time: told with --images-per-second X; the first steps of a training print the speed")
    return "\n".join(lines)


def _has_own_autoencoder(settings: GeneratorTrainingRecipe) -> bool:
    return settings.mode == "scratch" and settings.space == "latent"
