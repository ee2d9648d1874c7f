"""Where pulled weights lie, what is there, and the record of their hashes.

    <models>/<name>/<the repository's own paths>
    <models>/<name>/pulled.json        source, revision; size, SHA-256 and time of change of every file, written at the first pull

<models> is $SYNTHFACE_MODELS, else `models` in the cache. Files put there by hand count as well.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from pathlib import Path
from typing import Any

from synthface import files
from synthface.errors import InputError, MissingWeightsError, OutputError, did_you_mean
from synthface.zoo.catalogue import CATALOGUE, File, Model

VARIABLE = "SYNTHFACE_MODELS"
CACHE_VARIABLE = "SYNTHFACE_CACHE"
RECORD = "pulled.json"
LOCAL = "local"  # the revision of what was brought by hand
_LARGE, _ROUNDING = 10_000_000, 0.02  # a rounded size tells half a file from a whole one, where the file is large


def root() -> Path:
    """The folder of all pulled weights."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return cache() / "models"


def cache() -> Path:
    """What is kept between runs and could be had again: $SYNTHFACE_CACHE, else synthface in the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthface"


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
    """The files that are not there, or there by half."""
    known = record(model)["files"]
    return [file for file in model.files if not _whole(model, file, known)]


def _whole(model: Model, file: File, known: dict[str, dict[str, Any]]) -> bool:
    """Whether the file is there and of the right size, as far as one is known. Hashes are compared by pull and verify."""
    path = place(model, file)
    if not path.is_file():
        return False
    size = path.stat().st_size
    if file.exact:
        return size == file.size
    if file.path in known:
        return bool(size == known[file.path]["size"])
    rounded = file.size or 0
    return rounded < _LARGE or abs(size - rounded) < _ROUNDING * rounded


def weights(name: str) -> Path:
    """The file or folder that a recipe means by the name.

    Raises MissingWeightsError when it has not been pulled, InputError when a file is no longer the one on record.
    """
    model = entry(name)
    absent = missing(model)
    if absent:
        raise not_here(model, absent)
    _refuse_changed(model)
    return folder(model) / model.weights if model.weights else folder(model)


def _refuse_changed(model: Model) -> None:
    """Compares the hashes of files that were written to since they were recorded; the others cost a look at their time."""
    known = record(model)
    for file in model.files:
        facts, path = known["files"].get(file.path), place(model, file)
        modified = path.stat().st_mtime_ns
        if facts is None or facts.get("modified") == modified:
            continue
        if files.sha256_file(path) != facts["sha256"]:
            raise InputError(
                f"{path} is no longer the file that was recorded at the first pull, and is not used.",
                f"`synthface models pull {model.name}` brings it again.",
            )
        with contextlib.suppress(OSError, OutputError):  # a folder that cannot be written to is read again each time
            added = {file.path: {**facts, "modified": modified}}
            write_record(model, known.get("revision", LOCAL), known.get("origin", "by hand"), added)


def not_here(model: Model, absent: list[File], why: str = "") -> MissingWeightsError:
    """The error that tells which files are wanted, from where, and where to put them."""
    listing = "".join(f"\n  {source_url(model, file)}\n    → {place(model, file)}" for file in absent)
    count = f"{len(absent)} of {len(model.files)} files {'is' if len(absent) == 1 else 'are'} missing"
    return MissingWeightsError(
        f"The weights '{model.name}' are not here: {count}.{f' {why}' if why else ''}",
        f"Pull them with `synthface models pull {model.name}`, or bring them from a machine with network and put each "
        f"at its place (or all into a folder, and say --from FOLDER):{listing}",
    )


def endpoint() -> str:
    """The hub, or the mirror that $HF_ENDPOINT names."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def source_url(model: Model, file: File) -> str:
    if model.url is not None:
        return f"{model.url}/{Path(file.path).name}"
    return f"{endpoint()}/{model.repository}/resolve/{model.revision}/{file.path}"


def record(model: Model) -> dict[str, Any]:
    """What was recorded of the entry: `revision`, and `files` from path to size and sha256; empty before the first pull."""
    path = folder(model) / RECORD
    if not path.is_file():
        return {"files": {}}
    content: dict[str, Any] = files.read_json(path)
    recorded = content.get("files") if isinstance(content, dict) else None
    if not isinstance(recorded, dict) or not all(
        isinstance(facts, dict) and {"size", "sha256"} <= facts.keys() for facts in recorded.values()
    ):
        raise InputError(f"{path} is not a record of pulled files.", "Remove it and pull the model again.")
    return content


def was_pulled(model: Model) -> bool:
    """Whether anything of it came by a pull, for which its terms were agreed to."""
    return record(model).get("revision") not in (None, LOCAL)


def write_record(model: Model, revision: str, origin: str, added: dict[str, dict[str, Any]]) -> None:
    """Adds files to the record; what was recorded before stays."""
    known = record(model)
    content = {
        "model": model.name,
        "repository": model.repository,
        "revision": revision,
        "origin": origin,
        "licence": model.licence,
        "recorded": known.get("recorded") or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "files": {**known["files"], **added},
    }
    files.write_json(folder(model) / RECORD, content)


def expected_hash(model: Model, file: File) -> tuple[str, str] | None:
    """The SHA-256, or its beginning, that a file must have, and who says so; None where none is known before the first pull."""
    if file.sha256 and len(file.sha256) == 64:
        return file.sha256, "the catalogue"
    if known := record(model)["files"].get(file.path):
        return str(known["sha256"]), "the record of the first pull"
    return (file.sha256, "the catalogue") if file.sha256 else None


def check_hash(model: Model, file: File, found: str, expected: tuple[str, str] | None) -> None:
    """Raises InputError when the hash is another than the expected one, which may be its beginning."""
    if expected is not None and not found.startswith(expected[0]):
        raise InputError(
            f"{model.name}: {file.path} came with hash {found}, and {expected[1]} says {expected[0]}.",
            f"It was changed on its way or at its source and is not used: `synthface models pull {model.name}` tries "
            "again; where that does not help, compare with the source by hand.",
        )
