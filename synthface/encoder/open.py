"""Names and files → encoders and detectors.

A value is the name of a model that ships with synthface, a name from `synthface models list`, or a file. ONNX files are
opened here. Other files (checkpoints of a recogniser) are opened by whatever package offers to, through the entry-point
group `synthface.encoders`: this room lies below the training code and does not know it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from synthface import zoo
from synthface.encoder.network import Network
from synthface.encoder.recognise import Encoder, OnnxEncoder
from synthface.encoder.scrfd import Detector
from synthface.errors import InputError, MissingPackageError, did_you_mean
from synthface.recipe.people import EncoderRecipe
from synthface.zoo import shipped

ENTRY_POINTS = "synthface.encoders"
Opener = Callable[..., Encoder]  # (file, device) → encoder; also given batch_size=… where it has that parameter
_DEFAULT = EncoderRecipe()


def open_encoder(
    model: str | os.PathLike[str], *, device: str | None = None, batch_size: int = _DEFAULT.batch_size
) -> Encoder:
    """The recogniser behind a name or file.

    Raises InputError for what is no recogniser, MissingWeightsError for a public model that has not been pulled,
    ResourceError for a device that is not there.
    """
    path = find(model)
    if path.suffix.lower() == ".onnx":
        return OnnxEncoder(Network(path, device), str(model), batch_size)
    opener = _opener_for(path)
    if "batch_size" in inspect.signature(opener).parameters:
        return opener(path, device, batch_size=batch_size)
    return opener(path, device)


def open_detector(recipe: EncoderRecipe, *, device: str | None = None, batched: bool | None = None) -> Detector | None:
    """The recipe's face detector, or None when pictures are aligned already."""
    if recipe.detector is None:
        return None
    network = Network(find(recipe.detector), device, batched, batch_setting="encoder.detection_batch")
    return Detector(network, recipe.detection_size, recipe.detection_threshold, recipe.detection_batch)


def find(model: str | os.PathLike[str]) -> Path:
    """The file behind a name or path. Raises InputError when there is none, MissingWeightsError when not pulled."""
    name = os.fspath(model)
    if name in shipped.ENCODERS:
        return shipped.encoder(name)
    if name in zoo.names():
        return zoo.weights(name)
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(f"{path} is a folder where a network was expected.", "Give the file inside it.")
    hint = did_you_mean(name, [*shipped.ENCODERS, *zoo.names()])
    raise InputError(
        f"There is no model named '{name}' and no such file.",
        f"{hint} `synthface models list` shows the names.".strip(),
    )


def _opener_for(path: Path) -> Opener:
    """The opener that a package registered for the file's suffix (without its dot)."""
    suffix = path.suffix.lower().lstrip(".")
    known = metadata.entry_points(group=ENTRY_POINTS)
    for entry in known:
        if entry.name == suffix:
            try:
                opener: Opener = entry.load()
            except ImportError as error:
                raise MissingPackageError(f"Opening {path} needs a package that is not there: {error}.") from error
            return opener
    raise InputError(
        f"{path} is not a network that can be opened: .onnx"
        + "".join(f", .{name}" for name in sorted({entry.name for entry in known}))
        + " can.",
        "Export the recogniser as ONNX.",
    )
