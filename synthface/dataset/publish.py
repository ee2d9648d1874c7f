"""A folder that is either whole or absent: built beside its place and renamed into it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from synthface import files
from synthface.errors import OutputError

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def publishing(out: Path, *, overwrite: bool, marker: str = "train.rec") -> Iterator[Path]:
    """Gives an empty folder to fill; when the block ends well it becomes `out`, else it is removed.

    What a killed predecessor left behind is removed first. An existing `out` is replaced with `overwrite` only, and only
    if it is empty or holds the file `marker`. Raises OutputError otherwise, for full disks, and while another process
    is at the same work.
    """
    out = Path(os.path.abspath(out))
    _check_place(out, overwrite, marker)
    building = out.with_name(f".{out.name}.building")
    files.make_directory(building)
    with files.exclusive(building / ".lock", str(out)):
        _empty(building)
        for replaced in out.parent.glob(f".{out.name}.replaced.*"):
            shutil.rmtree(replaced, ignore_errors=True)
        try:
            with files.writing(out):
                yield building
                _fsync_all(building)
                (building / ".lock").unlink()
                _check_place(out, overwrite, marker)
                _take_place(building, out)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise


def _fsync_all(folder: Path) -> None:
    for directory, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(directory, name), "rb+") as file:
                os.fsync(file.fileno())
        files.fsync_directory(directory)


def _check_place(out: Path, overwrite: bool, marker: str) -> None:
    if not (out.exists() or out.is_symlink()):
        return
    if not out.is_dir():
        raise OutputError(f"{out} is a file.", "Choose another folder.")
    if not any(out.iterdir()):
        return
    if not overwrite:
        raise OutputError(f"{out} is there already.", "Choose another folder, or replace it with --overwrite.")
    if not (out / marker).exists():
        raise OutputError(f"{out} holds something else than what would replace it.", "Choose another folder.")


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != ".lock":
            entry.unlink()


def _take_place(building: Path, out: Path) -> None:
    """Renames `building` to `out`; what stood there is removed afterwards."""
    if not out.exists():
        os.rename(building, out)
        files.fsync_directory(out.parent)
        return
    replaced = out.with_name(f".{out.name}.replaced.{os.getpid()}")
    if _exchanged(building, out):
        os.rename(building, replaced)
    else:
        os.rename(out, replaced)
        os.rename(building, out)
    files.fsync_directory(out.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _exchanged(a: Path, b: Path) -> bool:
    """Swaps two folders at one stroke, where the kernel and the file system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return (
        rename is not None
        and rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), ctypes.c_uint(_RENAME_EXCHANGE)) == 0
    )
