"""The three kinds of embedding file, each as a header and a reader that goes through its rows once.

.npy and .safetensors are mapped a window at a time: the pages of a mapped file count as memory of the process, and a
window gives them back. The member of an .npz is read as a stream, compressed or not.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError

SUFFIXES = (".npy", ".npz", ".safetensors")
FIX = "Give .npy (N, d), or .npz or .safetensors with `embeddings` (N, d) and optional `labels` (N,)."
Read = Callable[[int], NDArray[Any]]  # the next so many rows, as stored
_WINDOW = 8 << 20  # bytes of a file that are mapped together


@dataclass(frozen=True)
class Part:
    """One file of a set."""

    path: Path
    rows: int
    dimension: int
    dtype: np.dtype[Any]
    has_labels: bool

    @contextlib.contextmanager
    def reader(self) -> Iterator[Read]:
        """A function that gives the next rows; raises InputError when the file proves damaged."""
        with _READERS[self.path.suffix](self) as read:
            yield read

    def labels(self) -> NDArray[np.int64]:
        """(rows,) labels. Raises InputError when they are of another length or not whole numbers."""
        if self.path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(self.path, framework="numpy") as file:
                raw = file.get_tensor("labels")
        else:
            with np.load(self.path, allow_pickle=False) as file:
                raw = file["labels"]
        if raw.ndim != 1 or not np.issubdtype(raw.dtype, np.integer):
            raise InputError(
                f"{self.path}: `labels` is {raw.dtype} {raw.shape} instead of whole numbers ({self.rows},).",
                "Store one integer a row.",
            )
        if len(raw) != self.rows:
            raise InputError(
                f"{self.path}: {len(raw):,} labels for {self.rows:,} embeddings.", "Store one label a row."
            )
        return raw.astype(np.int64, copy=False)


def open_part(path: Path) -> Part:
    """Reads the header. Raises InputError for missing, empty, damaged and foreign files."""
    if not path.exists():
        raise InputError(f"There is no file {path}.", "Make it with `synthface embed`, or check the path.")
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} is not an embedding file.", FIX)
    try:
        shape, dtype, has_labels = _HEADERS[path.suffix](path)
    except InputError:
        raise
    except Exception as error:  # every reader has its own zoo of exceptions for damaged files
        raise InputError(f"{path} cannot be read: {error or type(error).__name__}.", FIX) from error
    if len(shape) != 2:
        raise InputError(f"{path}: the embeddings have shape {tuple(shape)} instead of (N, d).", FIX)
    if dtype.kind != "f":
        raise InputError(f"{path}: the embeddings are {dtype}, not float16 or float32.", "Convert them to float32.")
    if shape[0] == 0 or shape[1] < 2:
        raise InputError(f"{path} holds no embeddings (shape {tuple(shape)}).", "Check what wrote it.")
    return Part(path, int(shape[0]), int(shape[1]), dtype, has_labels)


def _header_npy(path: Path) -> tuple[Any, np.dtype[Any], bool]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array.shape, array.dtype, False


def _header_npz(path: Path) -> tuple[Any, np.dtype[Any], bool]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "embeddings.npy" not in names:
            raise InputError(f"{path} has no array `embeddings`; it has {_names(names)}.", FIX)
        with archive.open("embeddings.npy") as member:
            shape, _, dtype = _npy_header(member, path)
        return shape, dtype, "labels.npy" in names


def _header_safetensors(path: Path) -> tuple[Any, np.dtype[Any], bool]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        if "embeddings" not in names:
            raise InputError(f"{path} has no tensor `embeddings`; it has {_names(names)}.", FIX)
        tensor = file.get_slice("embeddings")
        kind = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}.get(tensor.get_dtype(), "V")
        return tensor.get_shape(), np.dtype(kind), "labels" in names


_HEADERS = {".npy": _header_npy, ".npz": _header_npz, ".safetensors": _header_safetensors}


def _names(names: list[str]) -> str:
    return ", ".join(name.removesuffix(".npy") for name in names[:5]) or "nothing"


def _npy_header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, which are not loaded.", FIX)
    return shape, fortran, dtype


def _mapped(part: Part, offset: int) -> Read:
    """Rows that lie one after the other from byte `offset`, a mapped window at a time."""
    row_bytes = part.dimension * part.dtype.itemsize
    window: NDArray[Any] = np.empty((0, part.dimension), part.dtype)
    first = done = 0

    def read(count: int) -> NDArray[Any]:
        nonlocal window, first, done
        if done + count > first + len(window):
            first, rows = done, min(max(count, _WINDOW // row_bytes), part.rows - done)
            window = np.asarray(
                np.memmap(part.path, part.dtype, "r", offset + first * row_bytes, (rows, part.dimension))
            )
        done += count
        return window[done - count - first : done - first]

    return read


@contextlib.contextmanager
def _read_npy(part: Part) -> Iterator[Read]:
    with open(part.path, "rb") as file:
        _, fortran, _ = _npy_header(file, part.path)
        offset = file.tell()
    if not fortran:
        yield _mapped(part, offset)
        return
    array = np.load(part.path, mmap_mode="r", allow_pickle=False)  # stored by columns: every window touches all of it
    done = 0

    def read(count: int) -> NDArray[Any]:
        nonlocal done
        done += count
        window: NDArray[Any] = array[done - count : done]
        return window

    yield read


@contextlib.contextmanager
def _read_safetensors(part: Part) -> Iterator[Read]:
    with open(part.path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        first, _ = json.loads(file.read(size))["embeddings"]["data_offsets"]
    yield _mapped(part, 8 + size + first)


@contextlib.contextmanager
def _read_npz(part: Part) -> Iterator[Read]:
    with zipfile.ZipFile(part.path) as archive, archive.open("embeddings.npy") as member:
        shape, fortran, dtype = _npy_header(member, part.path)
        if fortran:
            raise InputError(f"{part.path} is stored column by column.", "Save np.ascontiguousarray(embeddings).")

        def read(count: int) -> NDArray[Any]:
            size = count * shape[1] * dtype.itemsize
            try:
                content = member.read(size)
            except Exception as error:  # zipfile and zlib have several for one thing: a damaged member
                raise InputError(f"{part.path} is damaged: {error}.", "Copy or make it again.") from error
            if len(content) < size:
                raise InputError(f"{part.path} ends before its {part.rows:,} rows.", "Copy or make it again.")
            return np.frombuffer(content, dtype).reshape(count, shape[1])

        yield read


_READERS = {".npy": _read_npy, ".npz": _read_npz, ".safetensors": _read_safetensors}
