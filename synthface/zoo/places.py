"""Where pulled weights lie, what is there, and the record of their hashes.

    <models>/<name>/<the repository's own paths>
    <models>/<name>/pulled.json        source, revision, size and SHA-256 of every file, written at the first pull

<models> is $SYNTHFACE_MODELS, else synthface/models in the user's cache. Files put there by hand count as well.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

from synthface import files
from synthface.errors import InputError, MissingWeightsError, did_you_mean
from synthface.zoo.catalogue import CATALOGUE, File, Model

VARIABLE = "SYNTHFACE_MODELS"
RECORD = "pulled.json"


def root() -> Path:
    """The folder of all pulled weights."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthface" / "models"


def entry(name: str) -> Model:
    """The catalogue's entry; raises InputError with a suggestion."""
    if name not in CATALOGUE:
        raise InputError(
            f"There is no public model '{name}'.",
            f"{did_you_mean(name, list(CATALOGUE))} `synthface models list` shows the names.".strip(),
        )
    return CATALOGUE[name]


def folder(model: Model) -> Path:
    return root() / model.name


def place(model: Model, file: File) -> Path:
    return folder(model) / file.path


def missing(model: Model) -> list[File]:
    """The files that are not there."""
    return [file for file in model.files if not place(model, file).is_file()]


def weights(name: str) -> Path:
    """The file or folder that a recipe means by the name. Raises MissingWeightsError when it has not been pulled."""
    model = entry(name)
    absent = missing(model)
    if absent:
        raise not_here(model, absent)
    return folder(model) / model.weights if model.weights else folder(model)


def not_here(model: Model, absent: list[File], why: str = "") -> MissingWeightsError:
    """The error that tells which files are wanted, from where, and where to put them."""
    listing = "".join(f"\n  {source_url(model, file)}\n    → {place(model, file)}" for file in absent)
    count = "1 file" if len(absent) == 1 else f"{len(absent)} files"
    return MissingWeightsError(
        f"The weights '{model.name}' are not here: {count} of {len(model.files)} missing.{f' {why}' if why else ''}",
        f"Pull them with `synthface models pull {model.name}`, or bring the files from a machine with network:{listing}",
    )


def endpoint() -> str:
    """The hub, or the mirror that $HF_ENDPOINT names."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def source_url(model: Model, file: File, revision: str | None = None) -> str:
    return f"{endpoint()}/{model.repository}/resolve/{revision or model.revision}/{file.path}"


def record(model: Model) -> dict[str, Any]:
    """What was recorded of the entry: `revision`, and `files` from path to size and sha256; empty before the first pull."""
    path = folder(model) / RECORD
    if not path.is_file():
        return {"files": {}}
    content: dict[str, Any] = files.read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise InputError(f"{path} is not a record of pulled files.", "Remove it and pull the model again.")
    return content


def write_record(model: Model, revision: str, origin: str, added: dict[str, dict[str, Any]]) -> None:
    """Adds files to the record; what was recorded before stays."""
    known = record(model)
    content = {
        "model": model.name,
        "repository": model.repository,
        "revision": revision,
        "origin": origin,
        "licence": model.licence,
        "recorded": known.get("recorded") or datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "files": {**known["files"], **added},
    }
    files.write_json(folder(model) / RECORD, content)


def expected_hash(model: Model, file: File) -> tuple[str, str] | None:
    """The SHA-256 that a file must have and who says so; None before the first pull of a file without a known hash."""
    if file.sha256:
        return file.sha256, "the catalogue"
    known = record(model)["files"].get(file.path)
    return (str(known["sha256"]), "the record of the first pull") if known else None


def check_hash(model: Model, file: File, found: str, expected: tuple[str, str] | None) -> None:
    """Raises InputError when the hash is another than the expected one."""
    if expected is not None and found != expected[0]:
        raise InputError(
            f"{model.name}: {file.path} has SHA-256 {found}, and {expected[1]} says {expected[0]}.",
            "The file was changed on its way or at its source; it is not used. Pull it again "
            f"(`synthface models pull {model.name}`), or compare with the source by hand.",
        )
