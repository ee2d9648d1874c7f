"""Shards on the disk: which are whole, which failed, and who is working on which.

00007.rec .idx .parquet   the pictures (synthface.dataset)
00007.json                written last: counts, seconds, sizes and hashes; the shard is whole when they are right
00007.failed.json         the error and its traceback, after the last attempt
00007.claim               held (flock) by the process that makes the shard; tells how far it is
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from synthface import files
from synthface.dataset.shard import SUFFIXES
from synthface.errors import InputError, OutputError
from synthface.render.plan import Shard

FORMAT = "synthface.shard/1"
_CLAIM_PATIENCE = 15.0  # seconds: a killed run's orphans end within a moment
_NOTE_EVERY = 1.0


def marker(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.name}.json"


def failure(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.name}.failed.json"


def record(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.name}.rec"


def read(folder: Path, shard: Shard, plan_hash: str) -> dict[str, Any] | None:
    """The marker of a shard of this plan and cut, or None. The shard's files are not looked at."""
    try:
        content = json.loads(marker(folder, shard).read_text(encoding="utf-8"))
        belongs = (
            content["format"] == FORMAT
            and content["plan"] == plan_hash
            and [content["first"], content["end"], content["images_wanted"]] == [shard.first, shard.end, shard.images]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if belongs else None


def damage(folder: Path, shard: Shard, content: dict[str, Any]) -> str:
    """What is wrong with the files of a shard that has a marker; "" when they are as they were written."""
    for suffix in SUFFIXES:
        path = folder / f"{shard.name}{suffix}"
        wanted = content["files"][suffix]
        try:
            size = path.stat().st_size
            if size != wanted["bytes"]:
                return f"{path.name} has {size:,} bytes instead of {wanted['bytes']:,}"
            if files.sha256_file(path) != wanted["sha256"]:
                return f"{path.name} has been changed"
        except OSError as error:
            return f"{path.name}: {error.strerror}"
    return ""


def survey(folder: Path, shards: Iterable[Shard], plan_hash: str) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Markers of the whole shards by number, and of the damaged ones what is wrong with them. Reads every byte."""

    def look(shard: Shard) -> tuple[int, dict[str, Any] | None, str]:
        content = read(folder, shard, plan_hash)
        return shard.number, content, "" if content is None else damage(folder, shard, content)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(look, shards))
    whole = {number: content for number, content, wrong in found if content is not None and not wrong}
    return whole, {number: wrong for number, _, wrong in found if wrong}


def remove(folder: Path, shard: Shard) -> None:
    """Takes a shard's files away, the marker first."""
    with files.writing(folder):
        for path in (marker(folder, shard), *(folder / f"{shard.name}{suffix}" for suffix in SUFFIXES)):
            path.unlink(missing_ok=True)
        for leftover in folder.glob(f".{shard.name}.*.tmp"):
            leftover.unlink(missing_ok=True)


def complete(folder: Path, shard: Shard, plan_hash: str, content: dict[str, Any]) -> dict[str, Any]:
    """Writes the marker of a shard whose files are in place; gives its content."""
    parts = {}
    for suffix in SUFFIXES:
        path = folder / f"{shard.name}{suffix}"
        parts[suffix] = {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}
    content = {
        "format": FORMAT,
        "plan": plan_hash,
        "shard": shard.number,
        "first": shard.first,
        "end": shard.end,
        **content,
        "files": parts,
        "finished": now(),
    }
    files.write_json(marker(folder, shard), content)
    failure(folder, shard).unlink(missing_ok=True)
    return content


def fail(folder: Path, shard: Shard, error: str, trace: str, attempts: int, device: str) -> None:
    """Notes that a shard was given up."""
    content = {
        "shard": shard.number,
        "error": error,
        "traceback": trace,
        "attempts": attempts,
        "device": device,
        "host": socket.gethostname(),
        "time": now(),
    }
    files.write_json(failure(folder, shard), content)


class Claim:
    """A shard that this process is making. `note` tells others how far it is."""

    def __init__(self, file: IO[bytes], device: str) -> None:
        self._file = file
        self._facts = {"host": socket.gethostname(), "pid": os.getpid(), "device": device, "started": now()}
        self._noted = 0.0
        self.note(0)

    def note(self, images: int) -> None:
        """At most once a second, in place: a reader may meet half a line and then knows nothing for a moment."""
        if time.monotonic() - self._noted < _NOTE_EVERY:
            return
        self._noted = time.monotonic()
        text = json.dumps({**self._facts, "images": images, "noted": now()}).encode()
        with contextlib.suppress(OSError):  # a full disk is told by the shard itself
            os.pwrite(self._file.fileno(), text.ljust(300), 0)


@contextlib.contextmanager
def claim(folder: Path, shard: Shard, device: str) -> Iterator[Claim]:
    """Holds a shard while it is made. Raises OutputError when another process keeps holding it."""
    path = folder / f"{shard.name}.claim"
    files.make_directory(folder)
    end = time.monotonic() + _CLAIM_PATIENCE
    while True:
        with files.writing(path):
            file = open(path, "rb+", buffering=0, opener=_create)  # noqa: SIM115 - closed below
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(file, path):
                break
        except BlockingIOError as error:
            if time.monotonic() > end:
                file.close()
                raise OutputError(
                    f"Another process is making shard {shard.name} of {folder.parent}.",
                    "Wait until it has finished; `synthface status` shows who works.",
                ) from error
        file.close()
        time.sleep(0.05)
    try:
        yield Claim(file, device)
    finally:
        path.unlink(missing_ok=True)
        file.close()


def claims(folder: Path) -> dict[int, dict[str, Any]]:
    """What the processes that are at work tell of their shards, by number."""
    found = {}
    for path in sorted(folder.glob("*.claim")):
        try:
            with open(path, "rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found[int(path.stem)] = json.loads(file.read() or b"{}")
        except (OSError, ValueError):
            continue
    return found


def failures(folder: Path) -> dict[int, dict[str, Any]]:
    """The shards that were given up, by number."""
    found = {}
    for path in sorted(folder.glob("*.failed.json")):
        with contextlib.suppress(InputError, KeyError, TypeError):
            content = files.read_json(path)
            found[int(content["shard"])] = content
    return found


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o666)


def _same_file(file: IO[bytes], path: Path) -> bool:
    """Whether the path still leads to the file that was locked: its last holder may have removed it."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
