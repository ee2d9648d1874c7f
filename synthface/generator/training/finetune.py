"""Networks to go on from: Stable Diffusion 1.5 as the paper does, or an Arc2Face checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from synthface import zoo
from synthface.errors import InputError, UsageError
from synthface.generator import load
from synthface.generator.conditioning import ClipConditioner, load_conditioner, token_ids
from synthface.generator.layout import base_of, find_layout, local_folder
from synthface.zoo.catalogue import Role

_ROLES: tuple[Role, ...] = ("foundation", "generator")


@dataclass(frozen=True)
class Start:
    """What training begins with; `tokenizer` is the folder to copy, None for an MLP. `vae` is frozen."""

    unet: Any
    conditioner: Any
    vae: Any
    schedule: dict[str, Any]
    tokenizer: Path | None


def load_start(name: str | None, resolution: int, dimension: int) -> Start:
    """UNet and text encoder in float32 from a folder, a public model's name or a hub id, of either layout.

    Raises UsageError without a name, InputError for half a checkpoint and for an encoder narrower than the embedding.
    """
    if name is None:
        raise UsageError(
            "Fine-tuning needs networks to start from.",
            "Set train_generator.start_from to sd15 (`synthface models pull sd15 sd15-base`), to a Stable Diffusion 1.5 or "
            "Arc2Face checkpoint, or train_generator.mode=scratch.",
        )
    root, base = local_folder(name, *_ROLES), zoo.base_for(name, *_ROLES)
    start = _arc2face(root, base) if (root / "arc2face").is_dir() else _stable_diffusion(root, base)
    if dimension > start.conditioner.width:
        raise InputError(
            f"Embeddings of {dimension} do not fit into the text encoder of {name}, which is {start.conditioner.width} "
            "wide.",
            "Use embeddings of a smaller dimension.",
        )
    factor = 2 ** (len(start.vae.config.block_out_channels) - 1)
    if resolution % factor:
        raise UsageError(f"train_generator.resolution {resolution} is no multiple of {factor}.", "Change it.")
    start.unet.register_to_config(sample_size=resolution // factor)
    for network in (start.unet, start.conditioner):
        network.requires_grad_(True)
    return start


def _arc2face(root: Path, base: str | None) -> Start:
    parts = find_layout(root, base)
    return Start(
        load.load_unet(parts.unet, torch.float32),
        load_conditioner(parts.encoder, parts.tokenizer),
        load.load_vae(parts.vae, torch.float32),
        load.load_schedule(parts.scheduler),
        parts.tokenizer,
    )


def _stable_diffusion(root: Path, base: str | None) -> Start:
    foundation = base_of(root, base)
    for folder, part in (
        (root, "unet"),
        (root, "text_encoder"),
        (foundation, "vae"),
        (foundation, "tokenizer"),
        (foundation, "scheduler"),
    ):
        if not (folder / part).is_dir():
            raise InputError(
                f"{folder} is half a checkpoint: it has no folder {part}/.",
                "Give one in the layout of Stable Diffusion 1.5, or of Arc2Face.",
            )
    text_encoder = load.load_text_encoder(root / "text_encoder")
    ids = token_ids(foundation / "tokenizer", int(text_encoder.config.max_position_embeddings))
    return Start(
        load.load_unet(root / "unet", torch.float32),
        ClipConditioner(text_encoder, *ids),
        load.load_vae(foundation / "vae", torch.float32),
        load.load_schedule(foundation / "scheduler"),
        foundation / "tokenizer",
    )
