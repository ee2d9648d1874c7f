"""The small networks of a recipe, with fresh weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from synthface.generator.conditioning import ClipConditioner, MlpConditioner, token_ids
from synthface.generator.training.vocabulary import POSITIONS, write_tokenizer
from synthface.recipe.pictures import GeneratorTrainingRecipe, SmallAutoencoderRecipe, SmallUNetRecipe

# Stable Diffusion's noise schedule; the class is PNDM because that is what its checkpoints carry.
SCHEDULE: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
_HEAD = 64  # channels of a head of the text encoder
_FIRST_LOGVAR = -6.0  # of fresh posteriors: a deviation of e⁻³


def noise_schedule(recipe: GeneratorTrainingRecipe) -> dict[str, Any]:
    """The scheduler's configuration that the recipe's networks are trained under and exported with."""
    return {**SCHEDULE, "prediction_type": recipe.prediction, "beta_end": recipe.beta_end}


def make_unet(recipe: SmallUNetRecipe, sample_size: int, latent_channels: int, width: int) -> Any:
    """A UNet of Stable Diffusion's building blocks; attention only on the levels that the recipe names.

    Where the recipe wants the prompt everywhere: pooled by attention and added to the timestep (as DeepFloyd's IF), which
    scales and shifts as in Dhariwal and Nichol 2021, section 3.1.
    """
    from diffusers import UNet2DConditionModel

    everywhere = {
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": max(1, width // _HEAD),
        "resnet_time_scale_shift": "scale_shift",
    }
    down = tuple("CrossAttnDownBlock2D" if on else "DownBlock2D" for on in recipe.attention)
    up = tuple("CrossAttnUpBlock2D" if on else "UpBlock2D" for on in reversed(recipe.attention))
    return UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=recipe.channels,
        layers_per_block=recipe.layers_per_block,
        down_block_types=down,
        up_block_types=up,
        cross_attention_dim=width,
        attention_head_dim=tuple(max(1, channels // recipe.head_size) for channels in recipe.channels),  # heads
        norm_num_groups=recipe.norm_num_groups or _groups(recipe.channels),
        **(everywhere if recipe.prompt_everywhere else {}),
    )


def make_vae(recipe: SmallAutoencoderRecipe, side: int) -> Any:
    """A convolutional autoencoder, (side / 2^(levels − 1))² latents; no attention, whose cost would be all there is."""
    from diffusers import AutoencoderKL

    levels = len(recipe.channels)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=recipe.channels,
        layers_per_block=recipe.layers_per_block,
        latent_channels=recipe.latent_channels,
        norm_num_groups=recipe.norm_num_groups or _groups(recipe.channels),
        sample_size=side,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )
    with torch.no_grad():  # fresh weights would begin with latents of deviation 1 around means near 0: mere noise
        vae.quant_conv.bias[recipe.latent_channels :] = _FIRST_LOGVAR
    return vae


def make_conditioner(recipe: GeneratorTrainingRecipe, dimension: int, tokenizer: Path) -> Any:
    """The recipe's conditioner for embeddings of `dimension`; the text encoder's tokenizer is written to `tokenizer`."""
    width = recipe.text.width or math.ceil(dimension / _HEAD) * _HEAD
    if recipe.conditioner == "mlp":
        return MlpConditioner(dimension, width, hidden=2 * width, layers=recipe.text.layers, tokens=recipe.text.tokens)
    from transformers import CLIPTextConfig, CLIPTextModel

    vocabulary = write_tokenizer(tokenizer)
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=recipe.text.layers,
        num_attention_heads=math.gcd(width, max(1, width // _HEAD)),
        max_position_embeddings=POSITIONS,
        hidden_act="quick_gelu",
        projection_dim=width,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    return ClipConditioner(CLIPTextModel(config), *token_ids(tokenizer, POSITIONS))


def _groups(channels: tuple[int, ...]) -> int:
    """Groups of the normalisation: at most 32, a divisor of every level's channels, and eight channels or more in each.

    A group of one channel loses that channel's mean and deviation, which are the colour and the contrast of the picture.
    """
    divisor = math.gcd(*channels)
    return max(groups for groups in range(1, 33) if divisor % groups == 0 and divisor // groups >= 8)
