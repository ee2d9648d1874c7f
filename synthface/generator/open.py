"""From a recipe to the generator, and to the arguments of its `sample`."""

from __future__ import annotations

from typing import Any

from synthface import zoo
from synthface.generator.arc2face import Arc2Face
from synthface.recipe.pictures import GeneratorRecipe
from synthface.zoo import shipped

_BASE_OF = {"arc2face": "sd15-base"}  # the published checkpoint has no autoencoder, tokenizer and schedule of its own


def open_generator(recipe: GeneratorRecipe, device: str | None = None) -> Arc2Face:
    """The generator that `recipe` names: a shipped one, a public one that was pulled, a folder or a hub id.

    Raises MissingWeightsError when it is not here, InputError when it is damaged, ResourceError without the device.
    """
    if recipe.model in shipped.GENERATORS:
        model = str(shipped.generator(recipe.model))
    else:
        model = zoo.locate(recipe.model)
    base = recipe.base or _BASE_OF.get(recipe.model)
    return Arc2Face.from_pretrained(
        model,
        _located(base),
        dtype=recipe.dtype,
        device=device,
        conditioner=recipe.conditioner,
        lora=_located(recipe.lora),
        vae=_located(recipe.vae),
        channels_last=recipe.channels_last,
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


def _located(value: str | None) -> str | None:
    return None if value is None else zoo.locate(value)
