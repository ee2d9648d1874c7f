"""Bringing weights here: from the hub or a mirror, resumed after any interruption, or from a local folder.

huggingface_hub does the talking (names, redirects, tokens, retries, ranges). Its own download forgets a partial file when
the process dies, so the partial file is kept here, named after the content that the hub announced.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
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


def pull(model: Model, *, tell: Callable[[str], None] = say) -> list[str]:
    """Downloads what is missing, half or changed of `model`, checks every hash, records it; gives the paths downloaded.

    Raises MissingWeightsError without network, or in offline mode, with the files and where to put them; InputError for
    a wrong hash; OutputError for a full disk.
    """
    with _alone(model):
        wanted = _unsound(model, tell)
        if wanted and is_offline():
            raise places.not_here(model, wanted, "The offline mode is on, so nothing was downloaded.")
        for file in wanted:
            remote = _announced(model, file, wanted)
            tell(f"{model.name}: {file.path}, {amount(remote.size)}")
            digest = _download(model, file, remote)
            _record(model, file, digest, remote.revision, model.url or places.endpoint())
    return [file.path for file in wanted]


def bring(model: Model, source: Path, tell: Callable[[str], None] = say) -> list[str]:
    """Copies what is missing of `model` from a local folder: as the repository lays the files out, or side by side.

    Raises MissingWeightsError that names what the folder lacks, InputError for a wrong hash.
    """
    if not source.is_dir():
        raise InputError(f"There is no folder {source}.", "Give the folder that holds the model's files.")
    with _alone(model):
        wanted = _unsound(model, tell)
        found = {file: origin for file in wanted if (origin := _in_folder(model, file, source)) is not None}
        lacking = [file for file in wanted if file not in found]
        if lacking:
            raise places.not_here(model, lacking, f"The folder {source} does not have them either.")
        for file, origin in found.items():
            tell(f"{model.name}: {file.path} from {origin}")
            digest = files.sha256_file(origin)
            places.check_hash(model, file, digest, places.expected_hash(model, file))
            with files.atomic_path(places.place(model, file)) as temporary:
                shutil.copyfile(origin, temporary)
            _record(model, file, digest, places.LOCAL, str(source))
    return [file.path for file in wanted]


def verify(model: Model) -> dict[str, str]:
    """Path → `right`, `missing`, `half`, `changed` or `recorded` (seen for the first time), from the bytes on the disk."""
    return {file.path: _state(model, file) for file in model.files}


def _alone(model: Model) -> AbstractContextManager[None]:
    instead = f"another folder with {places.VARIABLE}"
    return files.exclusive(places.folder(model) / ".lock", f"the weights '{model.name}'", instead=instead)


def _unsound(model: Model, tell: Callable[[str], None]) -> list[File]:
    """The files that must be brought; what lies there by hand goes on record."""
    wanted = []
    for file in model.files:
        state = _state(model, file)
        if state in ("half", "changed"):
            tell(f"{model.name}: {file.path} is {state}; it is replaced.")
        if state in ("missing", "half", "changed"):
            wanted.append(file)
    return wanted


def _state(model: Model, file: File) -> str:
    path = places.place(model, file)
    if not path.is_file():
        return "missing"
    if file in places.missing(model):
        return "half"
    expected = places.expected_hash(model, file)
    digest = files.sha256_file(path)
    if expected is not None and not digest.startswith(expected[0]):
        return "changed"
    if file.path in places.record(model)["files"]:
        return "right"
    _record(model, file, digest, places.LOCAL, "by hand")
    return "recorded" if expected is None else "right"


def amount(size: int | None) -> str:
    """`3.4 GB`, `17 MB`, `547 B`, or `size unknown`."""
    if size is None:
        return "size unknown"
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} B"


def _announced(model: Model, file: File, wanted: list[File]) -> Remote:
    """Asks the hub, or the model's own address, for size, hash and revision of a file. Only the hub is told the token."""
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.utils import build_hf_headers

    url, token = places.source_url(model, file), None if model.url is None else False
    try:
        said = get_hf_file_metadata(url, token=token)
    except Exception as error:  # the client's errors differ between its versions
        raise _no_answer(model, wanted, url, error) from error
    headers = {
        **build_hf_headers(token=token),
        "Accept-Encoding": "identity",
    }  # ranges of a compressed stream are of no use
    if urlparse(said.location).netloc != urlparse(url).netloc:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return Remote(said.location, said.size or None, said.etag or "unnamed", said.commit_hash or model.revision, headers)


def _download(model: Model, file: File, remote: Remote) -> str:
    """Fetches one file to its place, going on where an interrupted pull stopped; gives its SHA-256."""
    from huggingface_hub.file_download import http_get

    path = places.place(model, file)
    files.make_directory(path.parent)
    partial = path.parent / f".{path.name}.{_word(remote.etag)}.part"
    for stale in set(path.parent.glob(f".{path.name}.*.part")) - {partial}:
        stale.unlink(missing_ok=True)  # of content that the hub no longer offers
    with files.writing(path):
        if partial.exists() and remote.size is not None and partial.stat().st_size > remote.size:
            partial.unlink()  # longer than the whole: not its beginning
        with open(partial, "ab") as target:
            begun = target.tell()
            _check_space(path.parent, (remote.size or 0) - begun)
            try:
                http_get(remote.url, target, resume_size=begun, headers=remote.headers, expected_size=remote.size)
            except Exception as error:  # the network's, or the disk's
                if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
                    raise
                raise _interrupted(model, file, target.tell(), error) from error
            target.flush()
            os.fsync(target.fileno())
        digest = files.sha256_file(partial)
        try:
            places.check_hash(model, file, digest, places.expected_hash(model, file))
            if model.url is None:
                places.check_hash(model, file, *_hash_of_hub(partial, digest, remote.etag))
        except InputError:
            partial.unlink()
            raise
        os.replace(partial, path)
        files.fsync_directory(path.parent)
    return digest


def _hash_of_hub(path: Path, digest: str, etag: str) -> tuple[str, tuple[str, str] | None]:
    """The hash that the hub tells by, of the file and as told: SHA-256 of large files, git's blob id of small ones."""
    if len(etag) == 64:
        return digest, (etag, "the hub")
    if len(etag) == 40:
        blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        blob.update(path.read_bytes())
        return blob.hexdigest(), (etag, "the hub")
    return digest, None


def _no_answer(model: Model, wanted: list[File], url: str, error: Exception) -> MissingWeightsError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        why = f"{url} wants an account that has accepted the terms: log in with `hf auth login`."
    elif status == 404:
        why = f"{url} does not exist (any more)."
    else:
        why = f"{model.url or places.endpoint()} cannot be reached: {_first_line(error)}."
    return places.not_here(model, wanted, why)


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


def _record(model: Model, file: File, digest: str, revision: str, origin: str) -> None:
    """Puts a file on record. What is brought by hand leaves the revision and origin of a pull as they are."""
    known = places.record(model)
    if revision == places.LOCAL and known.get("revision"):
        revision, origin = known["revision"], known["origin"]
    found = places.place(model, file).stat()
    facts = {"size": found.st_size, "sha256": digest, "modified": found.st_mtime_ns}
    places.write_record(model, revision, origin, {file.path: facts})


def _in_folder(model: Model, file: File, source: Path) -> Path | None:
    tries = [source / file.path, source / model.name / file.path, source / Path(file.path).name]
    if sum(Path(other.path).name == Path(file.path).name for other in model.files) > 1:
        tries = tries[:2]  # config.json alone does not tell which of them it is
    return next((path for path in tries if path.is_file()), None)


def _word(etag: str) -> str:
    return "".join(letter for letter in etag if letter.isalnum())[:16]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
