"""The whole training of a generator: pairs → cache → autoencoder → denoiser → decoder → the official layout.

FOLDER/                 the result: arc2face/, encoder/, vae/, tokenizer/, scheduler/, synthface.json
FOLDER-training/        cache/, checkpoints/, samples/, log.jsonl: what is needed to go on
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object

from synthface import files
from synthface.generator.attention import plain_attention_helps
from synthface.generator.device import DTYPES, channels_last_helps
from synthface.generator.pixels import PixelAutoencoder
from synthface.generator.training import networks
from synthface.generator.training.autoencoder_training import AutoencoderTraining
from synthface.generator.training.cache import cache_latents, cache_pictures, weights_digest
from synthface.generator.training.denoiser import Denoiser, NoisePrediction
from synthface.generator.training.export import export
from synthface.generator.training.finetune import load_start
from synthface.generator.training.identity_loss import IdentityLoss
from synthface.generator.training.loop import Stage, Training
from synthface.generator.training.pairs import Pairs
from synthface.generator.training.perceptual import FrozenRecogniser
from synthface.generator.training.pictures import PictureReader
from synthface.generator.training.processes import all_threads, make_accelerator
from synthface.generator.training.restore import OnnxRestorer
from synthface.generator.training.show import show_people
from synthface.generator.training.source import CachedLatents, CachedPixels, Encoded, Source, latent_scale
from synthface.recipe import Recipe
from synthface.seeds import derive_seed

# the weights of the autoencoder stand for its section, and its decoder's last stage comes after all else
_NOT_OF_THE_DENOISER = ("vae", "decoder")
_COMPUTED_IN = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Networks:
    """What is trained and what it needs around it; `tokenizer` is a folder, None with an MLP."""

    unet: Any
    conditioner: Any
    vae: Any
    schedule: dict[str, Any]
    tokenizer: Path | None


def train_generator(recipe: Recipe, pairs: Pairs, folder: Path) -> dict[str, Any]:
    """Trains a generator on `pairs` as recipe.train_generator says, and writes it to `folder`; gives the facts.

    An interrupted training goes on when it is called again. Started by torchrun or `accelerate launch`, every process
    calls this. Raises KeyboardInterrupt after SIGTERM and SIGINT (with a checkpoint), RunConflictError when the folder
    was begun with other values, the errors of the data, ResourceError for a device that is absent or too small.
    """
    settings = recipe.train_generator
    accelerator = make_accelerator(settings)
    work = folder.with_name(f"{folder.name}-training")
    with contextlib.ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(files.exclusive(work / ".lock", f"the training {work}"))
        reader = PictureReader(settings.resolution, settings.workers, _restorer(settings.upscaler, settings.workers))
        stack.callback(reader.close)
        autoencoder, parts, source = _prepare(recipe, pairs, work, accelerator, reader)
        training = _denoiser(recipe, pairs, work, accelerator, reader, parts, source)
        facts = training.run()
        result: dict[str, Any] = {
            "generator": str(folder),
            "mode": settings.mode,
            "space": settings.space if settings.mode == "scratch" else "latent",
            "pictures": len(pairs),
            "damaged": len({*gather_object([int(row) for row in source.damaged()])}),
            "people": int(pairs.people),
            "dimension": pairs.dimension,
            "parameters": sum(parameter.numel() for parameter in parts.unet.parameters()),
            "autoencoder": autoencoder,
            **facts,
            "device": str(accelerator.device),
            "precision": accelerator.mixed_precision,
            "processes": accelerator.num_processes,
        }
        if settings.decoder.steps:
            last = AutoencoderTraining(recipe, pairs, work, accelerator, reader, _restorer_hash(reader))
            result["decoder"] = last.decoder(parts.vae)
        if accelerator.is_main_process:
            with training.average.in_place_of(training.network):
                _export(recipe, pairs, folder, parts, facts["steps"])
        accelerator.wait_for_everyone()
    return result


def _prepare(
    recipe: Recipe, pairs: Pairs, work: Path, accelerator: Any, reader: PictureReader
) -> tuple[dict[str, Any] | None, Networks, Source]:
    """The facts of the autoencoder's training where there is one, the networks, and where clean latents come from."""
    settings, device, cache = recipe.train_generator, accelerator.device, work / "cache"
    restorer = _restorer_hash(reader)
    if settings.mode == "finetune":
        start = load_start(settings.start_from, settings.resolution, pairs.dimension)
        parts = Networks(start.unet, start.conditioner, start.vae.to(device), start.schedule, start.tokenizer)
        return None, parts, _latents(recipe, pairs, accelerator, reader, parts.vae, cache, restorer)
    facts: dict[str, Any] | None = None
    if settings.space == "pixel":
        vae: Any = PixelAutoencoder()
        with accelerator.main_process_first():
            pixels = cache_pictures(cache, "pictures", pairs, reader, pairs.rows_N, settings.max_corrupt, restorer)
        source: Source = CachedPixels(pixels, device)
    else:
        vae, facts = AutoencoderTraining(recipe, pairs, work, accelerator, reader, restorer).first()
        source = _latents(recipe, pairs, accelerator, reader, vae, cache, restorer)
    torch.manual_seed(derive_seed(recipe.seed, "weights", "denoiser") % 2**63)
    tokenizer = work / "tokenizer"
    with accelerator.main_process_first():
        conditioner = networks.make_conditioner(settings, pairs.dimension, tokenizer)
    unet = networks.make_unet(settings.unet, source.shape[1], source.shape[0], conditioner.width)
    schedule = networks.noise_schedule(settings)
    return (
        facts,
        Networks(unet, conditioner, vae, schedule, tokenizer if conditioner.kind == "clip" else None),
        source,
    )


def _latents(
    recipe: Recipe, pairs: Pairs, accelerator: Any, reader: PictureReader, vae: Any, cache: Path, restorer: str
) -> Source:
    settings = recipe.train_generator
    if not settings.cache_latents:
        return Encoded(pairs, reader, vae, accelerator.device, settings.max_corrupt)
    views = 2 if settings.mirror else 1
    # an autoencoder of its own was trained in this precision
    own = settings.mode == "scratch" and accelerator.mixed_precision == "bf16"
    with accelerator.main_process_first(), all_threads(accelerator):
        cached = cache_latents(
            cache,
            pairs,
            reader,
            vae,
            accelerator.device,
            views,
            settings.encode_batch,
            settings.max_corrupt,
            f"{weights_digest(vae)} {restorer}",
            accelerator.autocast if own else contextlib.nullcontext,
        )
    if settings.mode == "scratch":
        vae.register_to_config(scaling_factor=latent_scale(cached))
    return CachedLatents(cached, float(vae.config.scaling_factor), accelerator.device)


def _denoiser(
    recipe: Recipe, pairs: Pairs, work: Path, accelerator: Any, reader: PictureReader, parts: Networks, source: Source
) -> Training:
    settings = recipe.train_generator
    if settings.gradient_checkpointing:
        parts.unet.enable_gradient_checkpointing()
    with accelerator.main_process_first():
        unit_ND = pairs.unit_rows(work / "cache")
    decisive = {key: value for key, value in settings.decisive().items() if key not in _NOT_OF_THE_DENOISER}
    facts = {"seed": str(recipe.seed), "pairs": pairs.fingerprint, "autoencoder": weights_digest(parts.vae), **decisive}
    identity = None
    a_step = settings.batch_size * accelerator.num_processes * settings.accumulate
    if settings.identity_loss_weight:
        identity = _identity_loss(recipe, accelerator.device, parts)
        facts["identity_encoder"] = identity.recogniser.sha256
    dtype = _COMPUTED_IN[accelerator.mixed_precision]
    plain = plain_attention_helps(accelerator.device, dtype, source.shape[1] * source.shape[2])
    stage = Stage(
        "denoiser",
        Denoiser(parts.unet, parts.conditioner, plain),
        NoisePrediction(
            source,
            unit_ND,
            parts.schedule,
            settings,
            recipe.seed,
            accelerator.device,
            identity,
            identity_from=settings.identity_loss_after * a_step,
        ),
        settings,
        facts,
        show_people(recipe, pairs, reader, unit_ND, parts, work / "samples"),
        settings.accumulate,
        channels_last=channels_last_helps(accelerator.device, dtype),
    )
    return Training(stage, settings, accelerator, work)


def _identity_loss(recipe: Recipe, device: torch.device, parts: Networks) -> IdentityLoss:
    from diffusers import DDPMScheduler

    settings = recipe.train_generator
    name = settings.identity_encoder or recipe.encoder.model
    recogniser = FrozenRecogniser(name, device, "train_generator.identity_encoder")
    scheduler = DDPMScheduler.from_config(parts.schedule)
    alpha_T = scheduler.alphas_cumprod.float().to(device)
    prediction = str(scheduler.config.prediction_type)
    return IdentityLoss(recogniser, parts.vae, alpha_T, prediction, settings.identity_least_signal)


def _export(recipe: Recipe, pairs: Pairs, folder: Path, parts: Networks, steps: int) -> None:
    settings = recipe.train_generator
    export(
        folder,
        unet=parts.unet,
        conditioner=parts.conditioner,
        vae=parts.vae,
        schedule=parts.schedule,
        tokenizer=parts.tokenizer,
        facts={
            "dimension": pairs.dimension,
            "image_size": settings.resolution,
            "mode": settings.mode,
            "steps": steps,
            "seed": str(recipe.seed),
            "pictures": len(pairs),
            "people": pairs.people,
            "pairs_sha256": pairs.fingerprint,
        },
        dtype=DTYPES[settings.export_dtype],
        part_megabytes=settings.export_part_megabytes,
    )


def _restorer_hash(reader: PictureReader) -> str:
    return reader.restorer.sha256 if isinstance(reader.restorer, OnnxRestorer) else ""


def _restorer(path: str | None, threads: int) -> OnnxRestorer | None:
    return None if path is None else OnnxRestorer(path, threads)
