"""Embeddings with the pictures behind them: of the dataset that is audited, and of the real people it is compared with.

Pictures are embedded once: the file lies in the report's folder under a name that is a hash of pictures and encoder, so that
an interrupted audit goes on and a repeated one begins with the figures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.encoder.align import resized
from synthface.encoder.crops import Crop, CropMaker
from synthface.encoder.embedding import embed
from synthface.encoder.finish import facts_of
from synthface.encoder.formats import SUFFIXES, read_facts
from synthface.encoder.open import find, open_detector
from synthface.encoder.sources import Sources, open_sources
from synthface.errors import InputError, UsageError
from synthface.identity.embeddings import EmbeddingSet, open_embeddings
from synthface.progress import say
from synthface.recipe.people import EncoderRecipe
from synthface.zoo import shipped

Image = NDArray[np.uint8]


@dataclass
class Material:
    """rows: the embeddings; encoder: name and SHA-256 of the network that made them, or None where the files do not tell.

    sources: the pictures, None for embedding files; picture_N: the picture of each row; skipped: pictures without a row.
    """

    rows: EmbeddingSet
    encoder: dict[str, str] | None
    sources: Sources | None = None
    picture_N: NDArray[np.int64] | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    maker: CropMaker | None = None

    def name(self, row: int) -> str:
        """What a person finds the picture of a row by."""
        if self.sources is None or self.picture_N is None:
            return f"row {row}"
        number = int(self.picture_N[row])
        return self.sources.pictures(number, number + 1)[0][0].name

    def crops(self, rows: Sequence[int], size: int) -> list[Image | None]:
        """The aligned crops of these rows in `size` pixels; None where a picture cannot be read any more."""
        if self.sources is None or self.picture_N is None or self.maker is None:
            return [None] * len(rows)
        numbers = self.picture_N[np.asarray(rows, np.int64)].tolist()
        wanted = [self.sources.pictures(number, number + 1)[0] for number in numbers]
        return [resized(crop.image_HWC, size) if isinstance(crop, Crop) else None for crop in self.maker(wanted)]

    def close(self) -> None:
        if self.maker is not None:
            self.maker.stop()


def are_embeddings(paths: Sequence[Path]) -> bool:
    """Whether these are embedding files, and not pictures. Raises UsageError for some of each."""
    told = {path.suffix in SUFFIXES and not path.is_dir() for path in paths}
    if len(told) > 1:
        raise UsageError(
            f"Some of {', '.join(map(str, paths[:4]))} are embedding files and others are pictures.",
            "Give either; `synthface embed` turns pictures into embedding files.",
        )
    return told.pop()


def embedded_files(paths: Sequence[Path]) -> Material:
    """Embedding files as they are."""
    rows = open_embeddings(paths)
    told = [_encoder_of(path) for path in paths]
    known = [encoder for encoder in told if encoder is not None]
    if any(other["sha256"] != known[0]["sha256"] for other in known):
        raise InputError(
            f"{paths[0]} and others were made by different encoders: {', '.join(sorted({k['name'] for k in known}))}.",
            "Embed all pictures with one encoder.",
        )
    return Material(rows, known[0] if len(known) == len(paths) else None)


def pictures(paths: Sequence[Path], recipe: EncoderRecipe, folder: Path, what: str, device: str | None) -> Material:
    """Embeds the pictures behind `paths` with `recipe.model` into `folder`, or takes what an earlier call made there."""
    if recipe.model == shipped.DRY:
        raise UsageError(
            f"The recipe's encoder is '{shipped.DRY}', which is no network.", "Name one with --encoder NAME|FILE."
        )
    sources, encoder_sha256 = open_sources(paths), files.sha256_file(find(recipe.model))
    task = [sources.fingerprint(), encoder_sha256, recipe.decisive()]
    name = f"{what}-{hashlib.sha256(json.dumps(task, sort_keys=True).encode()).hexdigest()[:16]}.safetensors"
    file = folder / name
    if file.exists():
        say(f"The embeddings of {paths[0]} are there already ({file}).")
    else:
        embed(list(paths), file, recipe, device=device)
    facts = read_facts(file) or {}
    detector = None if all(part.aligned for part in sources.parts) else open_detector(recipe, device=device)
    return Material(
        open_embeddings([file]),
        {"name": recipe.model, "sha256": encoder_sha256},
        sources,
        _indices(file),
        dict(facts.get("skipped", {})),
        CropMaker(detector, recipe, 112),
    )


def encoders_untold(data: Material, references: Material) -> str | None:
    """Which side does not tell its encoder, in few words; None where both tell the same one.

    Raises InputError when they tell two: similarities would mean nothing.
    """
    if not data.encoder and not references.encoder:
        return "neither dataset nor references tell their encoder"
    if not data.encoder or not references.encoder:
        return "the references do not tell their encoder" if data.encoder else "the dataset does not tell its encoder"
    if data.encoder["sha256"] != references.encoder["sha256"]:
        raise InputError(
            f"The references were embedded by '{references.encoder['name']}', the dataset by '{data.encoder['name']}'.",
            "Give the references' pictures instead of the file, or name the file's encoder with --encoder.",
        )
    return None


def _encoder_of(path: Path) -> dict[str, str] | None:
    """Name and SHA-256 of the network that made an embedding file, where the file, or the JSON beside a .npy, tells both."""
    facts: Any = facts_of(path)
    task = facts.get("task") if isinstance(facts, dict) else None
    if not isinstance(task, dict) or not {"encoder", "encoder_sha256"} <= task.keys():
        return None
    return {"name": str(task["encoder"]), "sha256": str(task["encoder_sha256"])}


def _indices(file: Path) -> NDArray[np.int64]:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as content:
        index_N: NDArray[np.int64] = content.get_tensor("indices")
    return index_N
