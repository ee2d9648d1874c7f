"""Where the parts of a checkpoint lie: the official layout, as published or as trained here.

MODEL/arc2face/     UNet                  config.json, diffusion_pytorch_model.safetensors
MODEL/encoder/      text encoder or MLP   config.json, pytorch_model.bin or model.safetensors
BASE/vae/           autoencoder           BASE is given, or MODEL/base, or MODEL itself; `sd15-base` of the public ones
BASE/tokenizer/     CLIP tokenizer        (not with an MLP)
BASE/scheduler/     noise schedule
MODEL/synthface.json                      only where trained here: dimension of the embedding
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthface import zoo
from synthface.errors import InputError, MissingWeightsError
from synthface.zoo import shipped
from synthface.zoo.catalogue import Role

OFFICIAL_DIMENSION = 512
_FIX = "`synthface models pull` gets the public weights; docs/generator.md shows the layout."


@dataclass(frozen=True)
class Layout:
    """Folders of the parts; `tokenizer` is None when there is none, which only an MLP conditioner permits."""

    root: Path
    unet: Path
    encoder: Path
    vae: Path
    scheduler: Path
    tokenizer: Path | None


def find_layout(model: str | Path, base: str | Path | None = None) -> Layout:
    """Finds every part of `model`, a folder, a hub id or a model's name; `base` has the Stable Diffusion parts.

    Raises InputError that names the absent part, MissingWeightsError for what is not here.
    """
    if model in shipped.GENERATORS:
        root = shipped.generator(str(model))
    else:
        root = local_folder(model, "generator")
    foundation = base_of(root, base or zoo.base_for(model, "generator"))
    tokenizer = foundation / "tokenizer"
    return Layout(
        root=root,
        unet=_part(root, "arc2face", "the UNet"),
        encoder=_part(root, "encoder", "the conditioner"),
        vae=_part(foundation, "vae", "the autoencoder"),
        scheduler=_part(foundation, "scheduler", "the noise schedule"),
        tokenizer=tokenizer if tokenizer.is_dir() else None,
    )


def base_of(root: Path, base: str | Path | None) -> Path:
    """The folder with the Stable Diffusion parts: the one named, else `base` inside of the checkpoint, else itself."""
    if base is not None:
        return local_folder(base, "base")
    return root / "base" if (root / "base").is_dir() else root


def local_folder(name: str | Path, *roles: Role) -> Path:
    """The folder that `name` means: itself, a public model's that was pulled, or a repository's in the hub's cache.

    Nothing is downloaded. Raises MissingWeightsError when it is not here.
    """
    folder = zoo.find(name, *roles)
    if not folder.is_dir():
        raise MissingWeightsError(f"{name} is a file where a folder of weights was expected.", _FIX)
    return folder


def _part(folder: Path, name: str, what: str) -> Path:
    path = folder / name
    if not path.is_dir():
        where = " (give the Stable Diffusion parts as `base`)" if name in ("vae", "scheduler") else ""
        raise InputError(f"{folder} is half a checkpoint: it has no folder {name}/ with {what}{where}.", _FIX)
    return path
