"""From a recipe to the generator, and to the arguments of its `sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthface import zoo
from synthface.generator import layout
from synthface.generator.arc2face import Arc2Face
from synthface.generator.lora import lora_file
from synthface.recipe.pictures import GeneratorRecipe
from synthface.zoo import shipped

_BASE_OF = {"arc2face": "sd15-base"}  # the published checkpoint has no autoencoder, tokenizer and schedule of its own


def open_generator(recipe: GeneratorRecipe, device: str | None = None) -> Arc2Face:
    """The generator that `recipe` names: a shipped one, a public one that was pulled, a folder or a hub id.

    Raises MissingWeightsError when it is not here, InputError when it is damaged, ResourceError without the device.
    """
    return Arc2Face.from_pretrained(
        *_model_and_base(recipe),
        dtype=recipe.dtype,
        device=device,
        conditioner=recipe.conditioner,
        lora=_located(recipe.lora),
        vae=_located(recipe.vae),
        channels_last=recipe.channels_last,
        fused_attention=recipe.fused_attention,
        compile=recipe.compile,
    )


def sampling_options(recipe: GeneratorRecipe) -> dict[str, Any]:
    """The recipe's values as keyword arguments of `Arc2Face.sample`."""
    return {
        "num_inference_steps": recipe.num_inference_steps,
        "guidance_scale": recipe.guidance_scale,
        "guidance_interval": recipe.guidance_interval,
        "batched_guidance": recipe.batched_guidance,
        "scheduler": recipe.scheduler,
        "batch_size": recipe.batch_size,
        "vae_slice": recipe.vae_slice,
    }


def places(recipe: GeneratorRecipe) -> list[tuple[str, Path]]:
    """(role, folder or file) of everything that `open_generator` would read; nothing is loaded."""
    parts = layout.find_layout(*_model_and_base(recipe))
    found = [("unet", parts.unet), ("encoder", parts.encoder), ("scheduler", parts.scheduler), ("vae", parts.vae)]
    if recipe.vae is not None:
        found[-1] = ("vae", layout.local_folder(zoo.locate(recipe.vae), ("*.json", "*.safetensors")))
    if parts.tokenizer is not None:
        found.append(("tokenizer", parts.tokenizer))
    if recipe.lora is not None:
        found.append(("lora", lora_file(zoo.locate(recipe.lora))))
    return found


def _model_and_base(recipe: GeneratorRecipe) -> tuple[str, str | None]:
    if recipe.model in shipped.GENERATORS:
        model = str(shipped.generator(recipe.model))
    else:
        model = zoo.locate(recipe.model)
    return model, _located(recipe.base or _BASE_OF.get(recipe.model))


def _located(value: str | None) -> str | None:
    return None if value is None else zoo.locate(value)
