"""The networks of a recipe on one device, and the hashes of their weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.encoder import Encoder, open_detector, open_encoder
from synthface.encoder import open as encoders
from synthface.encoder.faces import FaceFinder
from synthface.errors import InputError, RecipeError, ResourceError
from synthface.recipe import Recipe
from synthface.render.dry import DryEncoder, DryGenerator
from synthface.run import processor_name
from synthface.zoo.shipped import DRY

# pictures that a CPU computes together, by the side of the largest picture in pixels; constants, because another number
# rounds the last bit otherwise. Small networks spend less on each of many, large ones only take more memory.
_CPU_LOTS = ((128, 12), (1 << 30, 4))


class Generator(Protocol):
    """Conditions → pictures. Row n may depend on condition n, seed n and the number of rows, on nothing else.

    sample(condition_ND, seeds, batch_size=…, **settings) → (N, side, side, 3) uint8 RGB.
    """

    image_size: int
    dimension: int

    @property
    def sample(self) -> Callable[..., NDArray[np.uint8]]: ...


@dataclass(frozen=True)
class Networks:
    """device: as asked for. kind: `cpu` or `cuda`; hardware: its name. lot: pictures computed together.

    encoder, verifier, finder: None where the recipe's gate does not need them.
    """

    device: str
    kind: str
    hardware: str
    precision: str
    lot: int
    generator: Generator
    options: dict[str, Any]
    encoder: Encoder | None
    verifier: Encoder | None
    finder: FaceFinder | None


def uses_encoder(recipe: Recipe) -> bool:
    return recipe.gate.min_center_similarity is not None or recipe.gate.nearest_center


def uses_verifier(recipe: Recipe) -> bool:
    return recipe.gate.min_reference_similarity is not None or recipe.gate.max_duplicate_similarity is not None


def check(recipe: Recipe) -> None:
    """Raises RecipeError where the gate asks for a network that the recipe does not name."""
    gate, encoder = recipe.gate, recipe.encoder
    if uses_verifier(recipe) and encoder.verifier is None:
        raise RecipeError(
            "gate.min_reference_similarity and gate.max_duplicate_similarity are judged by a verifier, and "
            "encoder.verifier is null.",
            "Name one, or set both to null.",
        )
    looks = {"gate.min_detection_score": gate.min_detection_score, "gate.max_yaw": gate.max_yaw,
             "gate.max_pitch": gate.max_pitch}  # fmt: skip
    asking = [key for key, value in looks.items() if value is not None]
    if recipe.crop.align == "detect":
        asking.append("crop.align")
    if asking and encoder.detector is None:
        raise RecipeError(
            f"{' and '.join(asking)} need a face detector, and encoder.detector is null.",
            "Name one, for example --set encoder.detector=scrfd.",
        )


def open_networks(recipe: Recipe, dimension: int, device: str) -> Networks:
    """Loads everything onto `device`; `dimension` is that of the centers.

    Raises InputError when the networks do not belong together, MissingWeightsError, ResourceError.
    """
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ResourceError(f"There is no device '{device}'.", "It is cpu, cuda, or cuda with a number: cuda:1.")
    generator, options, precision = _open_generator(recipe, dimension, device)
    if generator.dimension != dimension:
        raise InputError(
            f"The generator {recipe.generator.model} reads embeddings of {generator.dimension}, the people have "
            f"{dimension}.",
            "Sample people from a prior of the encoder with which the generator was trained.",
        )
    encoder = _open_encoder(recipe.encoder.model, recipe, dimension, device) if uses_encoder(recipe) else None
    if encoder is not None and encoder.dimension != dimension:
        raise InputError(
            f"The encoder {recipe.encoder.model} gives embeddings of {encoder.dimension}, the people have {dimension}.",
            "Name the encoder in whose space the people were sampled: --set encoder.model=NAME.",
        )
    verifier = None
    if uses_verifier(recipe) and recipe.encoder.verifier is not None:
        verifier = _open_encoder(recipe.encoder.verifier, recipe, dimension, device)
    detector = open_detector(recipe.encoder, device=device)
    return Networks(
        device=device,
        kind=kind,
        hardware=_hardware(device),
        precision=precision,
        lot=cpu_lot(generator.image_size) if kind == "cpu" else recipe.generator.batch_size,
        generator=generator,
        options=options,
        encoder=encoder,
        verifier=verifier,
        finder=None if detector is None else FaceFinder.from_recipe(detector, recipe.encoder),
    )


def fingerprints(recipe: Recipe) -> dict[str, Any]:
    """Hashes of the weights that decide a pixel or a judgement; nothing is loaded."""
    encoder = recipe.encoder
    found: dict[str, Any] = {"generator_sha256": _generator_hash(recipe)}
    if uses_encoder(recipe):
        found["encoder_sha256"] = _encoder_hash(encoder.model)
    if uses_verifier(recipe) and encoder.verifier is not None:
        found["verifier_sha256"] = _encoder_hash(encoder.verifier)
    if encoder.detector is not None:
        found["detector_sha256"] = _encoder_hash(encoder.detector)
    return found


def cpu_lot(image_size: int) -> int:
    """Pictures that a CPU computes together, of a generator whose pictures have a side of `image_size` pixels."""
    return next(lot for side, lot in _CPU_LOTS if image_size <= side)


def default_devices(recipe: Recipe) -> tuple[str, ...]:
    """All CUDA devices, else the CPU."""
    if recipe.generator.model != DRY:
        import torch

        if torch.cuda.is_available():
            return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    return ("cpu",)


def _open_generator(recipe: Recipe, dimension: int, device: str) -> tuple[Generator, dict[str, Any], str]:
    if recipe.generator.model == DRY:
        return DryGenerator(dimension, recipe.crop.size), {}, "none"
    from synthface.generator import open_generator, sampling_options

    generator = open_generator(recipe.generator, device)
    options = {name: value for name, value in sampling_options(recipe.generator).items() if name != "batch_size"}
    return generator, options, str(generator.dtype).removeprefix("torch.")


def _open_encoder(model: str, recipe: Recipe, dimension: int, device: str) -> Encoder:
    if model == DRY:
        return DryEncoder(dimension, recipe.crop.size)
    return open_encoder(model, device=device, batch_size=recipe.encoder.batch_size)


def _encoder_hash(model: str) -> str:
    return DRY if model == DRY else files.sha256_file(encoders.find(model))


def _generator_hash(recipe: Recipe) -> str:
    """Hash over every file of the generator's parts, by name; the hash of `dry` is its name."""
    generator = recipe.generator
    if generator.model == DRY:
        return DRY
    from synthface.generator.open import places

    digest = hashlib.sha256()
    for role, place in places(generator):
        for name, path in _weight_files(place):
            digest.update(f"{role}/{name}\0{files.sha256_file(path)}\n".encode())
    return digest.hexdigest()


def _weight_files(place: Path) -> Iterator[tuple[str, Path]]:
    if place.is_file():
        yield place.name, place
        return
    for path in sorted(place.rglob("*")):
        inside = path.relative_to(place)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            yield inside.as_posix(), path


def _hardware(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        name: str = torch.cuda.get_device_name(device)
        return name
    return processor_name()
