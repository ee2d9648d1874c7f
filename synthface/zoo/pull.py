"""Bringing weights here: from the hub or a mirror, resumed after any interruption, or from a local folder.

huggingface_hub does the talking (names, redirects, tokens, retries, ranges). Its own download forgets a partial file when
the process dies, so the partial file is kept here, named after the content that the hub announced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlparse

from synthface import files
from synthface.errors import InputError, MissingWeightsError, OutputError
from synthface.progress import say
from synthface.zoo import places
from synthface.zoo.catalogue import File, Model


class Remote(NamedTuple):
    """What the hub says of one file."""

    url: str
    size: int | None
    etag: str
    revision: str
    headers: dict[str, str]


def is_offline() -> bool:
    return any(
        os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def pull(model: Model, *, offline: bool = False, tell: Callable[[str], None] = say) -> list[str]:
    """Downloads what is missing of `model`, checks every hash and records it; gives the paths that were downloaded.

    Raises MissingWeightsError without network (or `offline`), with the files and where to put them; InputError for a
    wrong hash; OutputError for a full disk.
    """
    absent = places.missing(model)
    if not absent:
        _record_what_is_here(model)
        return []
    if offline or is_offline():
        raise places.not_here(model, absent, "The offline mode is on, so nothing was downloaded.")
    with files.exclusive(places.folder(model) / ".lock", f"the weights '{model.name}'"):
        for file in absent:
            remote = _announced(model, file)
            tell(f"{model.name}: {file.path}, {amount(remote.size)}")
            digest = _download(model, file, remote)
            places.write_record(
                model,
                remote.revision,
                places.endpoint(),
                {file.path: {"size": places.place(model, file).stat().st_size, "sha256": digest}},
            )
    _record_what_is_here(model)
    return [file.path for file in absent]


def bring(model: Model, source: Path, tell: Callable[[str], None] = say) -> list[str]:
    """Copies what is missing of `model` from a local folder: as the repository lays the files out, or side by side.

    Raises MissingWeightsError that names what the folder lacks, InputError for a wrong hash.
    """
    absent = places.missing(model)
    if not source.is_dir():
        raise InputError(f"There is no folder {source}.", "Give the folder that holds the model's files.")
    found = {file.path: _in_folder(model, file, source) for file in absent}
    lacking = [file for file in absent if found[file.path] is None]
    if lacking:
        raise places.not_here(model, lacking, f"The folder {source} does not have them either.")
    for file in absent:
        origin = found[file.path]
        assert origin is not None
        tell(f"{model.name}: {file.path} from {origin}")
        digest = files.sha256_file(origin)
        places.check_hash(model, file, digest, places.expected_hash(model, file))
        with files.atomic_path(places.place(model, file)) as temporary:
            shutil.copyfile(origin, temporary)
        places.write_record(model, "local", str(source), {file.path: {"size": origin.stat().st_size, "sha256": digest}})
    _record_what_is_here(model)
    return [file.path for file in absent]


def verify(model: Model) -> dict[str, str]:
    """Path → `right`, `missing`, `changed` or `recorded` (seen for the first time), from the bytes on the disk."""
    states: dict[str, str] = {}
    for file in model.files:
        path = places.place(model, file)
        if not path.is_file():
            states[file.path] = "missing"
            continue
        expected = places.expected_hash(model, file)
        digest = files.sha256_file(path)
        if expected is None:
            states[file.path] = "recorded"
            _put_on_record(model, file, digest)
        else:
            states[file.path] = "right" if digest == expected[0] else "changed"
    return states


def amount(size: int | None) -> str:
    """`3.4 GB`, `17 MB`, `547 B`, or `size unknown`."""
    if size is None:
        return "size unknown"
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} B"


def _announced(model: Model, file: File) -> Remote:
    """Asks the hub for size, hash and revision of a file."""
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.utils import build_hf_headers

    known = places.record(model).get("revision")
    revision = known if known and known != "local" else model.revision
    url = places.source_url(model, file, revision)
    try:
        said = get_hf_file_metadata(url)
    except Exception as error:  # the client's errors differ between its versions
        raise _no_answer(model, url, error) from error
    headers = dict(build_hf_headers())
    if urlparse(said.location).netloc != urlparse(url).netloc:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return Remote(said.location, said.size, said.etag or "unnamed", said.commit_hash or revision, headers)


def _download(model: Model, file: File, remote: Remote) -> str:
    """Fetches one file to its place, going on where an interrupted pull stopped; gives its SHA-256."""
    from huggingface_hub.file_download import http_get

    path = places.place(model, file)
    files.make_directory(path.parent)
    partial = path.parent / f".{path.name}.{_word(remote.etag)}.part"
    for stale in set(path.parent.glob(f".{path.name}.*.part")) - {partial}:
        stale.unlink(missing_ok=True)  # of content that the hub no longer offers
    with files.writing(path):
        with open(partial, "ab") as target:
            begun = target.tell()
            _check_space(path.parent, (remote.size or 0) - begun)
            try:
                http_get(remote.url, target, resume_size=begun, headers=remote.headers, expected_size=remote.size)
            except OSError as error:
                if error.errno is not None and not isinstance(error, ConnectionError):
                    raise  # the disk's, not the network's
                raise _interrupted(model, file, target.tell(), error) from error
            except Exception as error:
                raise _interrupted(model, file, target.tell(), error) from error
            target.flush()
            os.fsync(target.fileno())
        digest = files.sha256_file(partial)
        expected = places.expected_hash(model, file)
        if expected is None and len(remote.etag) == 64:
            expected = remote.etag, "the hub"
        try:
            places.check_hash(model, file, digest, expected)
        except InputError:
            partial.unlink(missing_ok=True)
            raise
        os.replace(partial, path)
        files.fsync_directory(path.parent)
    return digest


def _no_answer(model: Model, url: str, error: Exception) -> MissingWeightsError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        why = f"{url} wants an account that has accepted the terms: log in with `hf auth login`."
    elif status == 404:
        why = f"{url} does not exist (any more)."
    else:
        why = f"{places.endpoint()} cannot be reached: {_first_line(error)}."
    return places.not_here(model, places.missing(model), why)


def _interrupted(model: Model, file: File, done: int, error: Exception) -> MissingWeightsError:
    return MissingWeightsError(
        f"The pull of {model.name} stopped in {file.path} after {amount(done)}: {_first_line(error)}.",
        f"`synthface models pull {model.name}` goes on from there.",
    )


def _check_space(place: Path, wanted: int) -> None:
    free = shutil.disk_usage(place).free
    if wanted > free:
        raise OutputError(
            f"{place} has {amount(free)} free; {amount(wanted)} more are needed.",
            f"Free some space, or set {places.VARIABLE} to a folder on a larger disk.",
        )


def _record_what_is_here(model: Model) -> None:
    """Puts files on record that came by hand."""
    known = places.record(model)["files"]
    for file in model.files:
        if file.path not in known and places.place(model, file).is_file():
            digest = files.sha256_file(places.place(model, file))
            places.check_hash(model, file, digest, places.expected_hash(model, file))
            _put_on_record(model, file, digest)


def _put_on_record(model: Model, file: File, digest: str) -> None:
    known = places.record(model)
    size = places.place(model, file).stat().st_size
    places.write_record(
        model,
        known.get("revision", "local"),
        known.get("origin", "by hand"),
        {file.path: {"size": size, "sha256": digest}},
    )


def _in_folder(model: Model, file: File, source: Path) -> Path | None:
    tries = [source / file.path, source / model.name / file.path, source / Path(file.path).name]
    if sum(Path(other.path).name == Path(file.path).name for other in model.files) > 1:
        tries = tries[:2]  # config.json alone does not tell which of them it is
    return next((path for path in tries if path.is_file()), None)


def _word(etag: str) -> str:
    return "".join(letter for letter in etag if letter.isalnum())[:16]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
