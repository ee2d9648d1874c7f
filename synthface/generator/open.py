"""From a recipe to the generator, and to the arguments of its `sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthface.generator import layout
from synthface.generator.arc2face import Arc2Face
from synthface.generator.lora import lora_file
from synthface.recipe.pictures import GeneratorRecipe


def open_generator(recipe: GeneratorRecipe, device: str | None = None, *, steered: bool = False) -> Arc2Face:
    """The generator that `recipe` names: a shipped one, a public one that was pulled, a folder or a hub id.

    steered: with the recipe's ControlNet. Raises MissingWeightsError when it is not here, InputError when it is damaged,
    ResourceError without the device.
    """
    return Arc2Face.from_pretrained(
        recipe.model,
        recipe.base,
        dtype=recipe.dtype,
        device=device,
        conditioner=recipe.conditioner,
        controlnet=recipe.controlnet if steered else None,
        lora=recipe.lora,
        vae=recipe.vae,
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
        "spacing": recipe.spacing,
        "batch_size": recipe.batch_size,
        "vae_slice": recipe.vae_slice,
    }


def places(recipe: GeneratorRecipe) -> list[tuple[str, Path]]:
    """(role, folder or file) of everything that `open_generator` would read; nothing is loaded."""
    parts = layout.find_layout(recipe.model, recipe.base)
    found = [("unet", parts.unet), ("encoder", parts.encoder), ("scheduler", parts.scheduler), ("vae", parts.vae)]
    if recipe.vae is not None:
        found[-1] = ("vae", layout.local_folder(recipe.vae, "autoencoder"))
    if parts.tokenizer is not None:
        found.append(("tokenizer", parts.tokenizer))
    if recipe.lora is not None:
        found.append(("lora", lora_file(recipe.lora)))
    return found
