"""Files that are either whole or absent: temporary name, flush, fsync, rename, fsync of the directory.

A reader never meets a half-written file, and a killed writer leaves nothing but a `.name.*.tmp` that the next
writer of the same name removes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from synthface.errors import InputError, OutputError

_DISK_PROBLEMS = {
    errno.ENOSPC: ("the disk is full", "Free some space and run the same command again; what is finished is kept."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and run the same command again."),
    errno.EROFS: ("the file system is read-only", "Choose a place that can be written."),
    errno.EACCES: ("permission denied", "Choose a place that you may write to, or change its permissions."),
    errno.EPERM: ("permission denied", "Choose a place that you may write to, or change its permissions."),
    errno.ENOTDIR: ("a part of the path is not a directory", "Choose another path."),
    errno.EISDIR: ("it is a directory", "Choose a file name."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter one."),
}


def output_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """The OutputError that explains an OSError met while writing `path`."""
    what, fix = _DISK_PROBLEMS.get(error.errno or 0, (os.strerror(error.errno or 0), "Check the path."))
    return OutputError(f"Cannot write {os.fspath(path)}: {what}.", fix)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns an OSError of the block into an OutputError about `path`."""
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error


def make_directory(path: str | os.PathLike[str]) -> Path:
    """Creates `path` with its parents; raises OutputError when that is impossible."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(
            f"Cannot make the directory {path}: a file of that name is there.", "Choose another directory."
        ) from error
    except OSError as error:
        raise output_error(path, error) from error
    return path


def fsync_directory(path: str | os.PathLike[str]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside `path`; when the block ends well, its file takes the name `path`.

    On an exception the temporary file is removed and whatever stood at `path` stays. Parents are created.
    Raises OutputError for full disks, read-only places and the like.
    """
    path = Path(path)
    make_directory(path.parent)
    if path.is_dir():
        raise output_error(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    temporary = None
    try:
        with writing(path):
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
        except OSError as error:
            if error.errno not in _DISK_PROBLEMS:  # about another file, one that the block reads
                raise
            raise output_error(path, error) from error
        with writing(path):
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
            fsync_directory(path.parent)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """As `atomic_path`, but gives an open binary file."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    with atomic_writer(path) as file:
        file.write(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file; raises InputError when it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"There is no file {os.fspath(path)}.") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{os.fspath(path)} cannot be read as JSON: {error}.", "Remove it and run the command that made it again."
        ) from error


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes, streamed."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_leftovers(directory: str | os.PathLike[str]) -> int:
    """Deletes temporary files that killed writers left in `directory`; gives their number."""
    leftovers = list(Path(directory).glob(".*.tmp"))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return len(leftovers)


@contextlib.contextmanager
def exclusive(
    path: str | os.PathLike[str], what: str, *, wait: bool = False, instead: str = "another directory with --run"
) -> Iterator[None]:
    """Holds a lock file while the block runs; raises OutputError when another process holds it, unless told to `wait`.

    The lock belongs to the process and dies with it: a killed run leaves nothing to clean up. instead: what the user may
    choose rather than wait.
    """
    with _locked(path, what, fcntl.LOCK_EX, wait, instead):
        yield


@contextlib.contextmanager
def shared(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """As `exclusive`, but together with others that hold it so: one `exclusive` holder refuses all of them."""
    with _locked(path, what, fcntl.LOCK_SH, False, "another directory with --run"):
        yield


@contextlib.contextmanager
def _locked(path: str | os.PathLike[str], what: str, operation: int, wait: bool, instead: str) -> Iterator[None]:
    path = Path(path)
    make_directory(path.parent)
    with writing(path):
        file = open(path, "a+")  # noqa: SIM115 - closed below, after the lock
    try:
        try:
            fcntl.flock(file, operation if wait else operation | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"Another process is working on {what}.", f"Wait until it has finished, or choose {instead}."
            ) from error
        yield
    finally:
        file.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
