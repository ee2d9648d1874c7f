"""Where the parts of a checkpoint lie: the official layout, as published, as trained here, or on the hub.

MODEL/arc2face/     UNet                  config.json, diffusion_pytorch_model.safetensors
MODEL/encoder/      text encoder or MLP   config.json, pytorch_model.bin or model.safetensors
BASE/vae/           autoencoder           BASE is given, or MODEL/base, or MODEL itself
BASE/tokenizer/     CLIP tokenizer        (not with an MLP)
BASE/scheduler/     noise schedule
MODEL/synthface.json                      only where trained here: dimension of the embedding
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from synthface.errors import InputError, MissingWeightsError
from synthface.zoo import shipped

OFFICIAL_DIMENSION = 512
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
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
    """Finds every part of `model`, a folder, a hub id or the name of a shipped one; `base` has the Stable Diffusion parts.

    Raises InputError that names the absent part, MissingWeightsError for a hub id that cannot be had.
    """
    if model in shipped.GENERATORS:
        model = shipped.generator(str(model))
    root = local_folder(model, ("arc2face/*", "encoder/*", "vae/*", "tokenizer/*", "scheduler/*", "synthface.json"))
    if base is not None:
        foundation = local_folder(base, ("vae/*", "tokenizer/*", "scheduler/*"))
    else:
        foundation = root / "base" if (root / "base").is_dir() else root
    tokenizer = foundation / "tokenizer"
    return Layout(
        root=root,
        unet=_part(root, "arc2face", "the UNet"),
        encoder=_part(root, "encoder", "the conditioner"),
        vae=_part(foundation, "vae", "the autoencoder"),
        scheduler=_part(foundation, "scheduler", "the noise schedule"),
        tokenizer=tokenizer if tokenizer.is_dir() else None,
    )


def local_folder(name: str | Path, patterns: tuple[str, ...]) -> Path:
    """`name` itself when it is a folder, else the snapshot of that hub id, of which `patterns` are fetched.

    The hub's own cache, HF_ENDPOINT and HF_HUB_OFFLINE are respected. Raises MissingWeightsError when neither is there.
    """
    if Path(name).is_dir():
        return Path(name)
    if not isinstance(name, str) or Path(name).exists() or not _HUB_ID.fullmatch(name):
        raise MissingWeightsError(f"There is no folder {name} with a generator.", _FIX)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub client's errors differ between its versions
        reason = str(error).strip().splitlines()[0].rstrip(".:") if str(error).strip() else type(error).__name__
        raise MissingWeightsError(
            f"{name} is no folder here and cannot be had from the hub: {reason}.", _FIX
        ) from error


def _part(folder: Path, name: str, what: str) -> Path:
    path = folder / name
    if not path.is_dir():
        where = " (give the Stable Diffusion parts as `base`)" if name in ("vae", "scheduler") else ""
        raise InputError(f"{folder} is half a checkpoint: it has no folder {name}/ with {what}{where}.", _FIX)
    return path
