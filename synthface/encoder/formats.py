"""Embedding files that grow row by row: .npy, .npz and .safetensors, without a second copy on the disk.

All three begin with a head that tells the number of rows. Its length does not depend on that number, so room is left for
it, rows are appended, and the head is written when all are there. Labels and indices follow behind the rows (.npy has no
place for them).

    embeddings (N, d)   labels (N,) int64, where people are known   indices (N,) int64: the picture of each row
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from synthface.errors import UsageError
from synthface.progress import Progress

SUFFIXES = (".npz", ".npy", ".safetensors")
_NPY_HEAD = 128  # bytes; the header of 10¹⁹ rows would fit
_SAFETENSORS_HEAD = 1 << 16
_CHUNK = 1 << 24
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of a zip member, so that equal rows make equal bytes
Columns = Mapping[str, NDArray[np.int64]]  # name → (N,), may be memory-mapped


class Format(Protocol):
    """How a file of rows of `dimension` numbers of `dtype` is laid out. `head`: bytes before the first row."""

    dimension: int
    dtype: np.dtype[Any]
    head: int
    columns: bool  # whether labels and indices have a place

    def finish(self, file: IO[bytes], rows: int, columns: Columns, facts: dict[str, Any]) -> None:
        """Completes a file that holds `head` bytes of room and `rows` rows."""
        ...


def check_name(path: Path) -> None:
    """Raises UsageError when the name's ending is no embedding file's."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--out {path} is not an embedding file.", "Its name ends in .npz, .npy or .safetensors.")


def format_of(path: Path, dimension: int, dtype: str) -> Format:
    """The format that the name's ending asks for."""
    known: dict[str, Callable[[int, np.dtype[Any]], Format]] = {".npy": Npy, ".npz": Npz, ".safetensors": SafeTensors}
    return known[path.suffix](dimension, np.dtype(dtype).newbyteorder("<"))


class Npy:
    """The array alone."""

    head, columns = _NPY_HEAD, False

    def __init__(self, dimension: int, dtype: np.dtype[Any]) -> None:
        self.dimension, self.dtype = dimension, dtype

    def finish(self, file: IO[bytes], rows: int, columns: Columns, facts: dict[str, Any]) -> None:
        file.seek(0)
        file.write(npy_head((rows, self.dimension), self.dtype))


class Npz:
    """A zip file of arrays, stored: `embeddings`, `labels`, `indices`, and `metadata`, a string of JSON."""

    columns = True

    def __init__(self, dimension: int, dtype: np.dtype[Any]) -> None:
        self.dimension, self.dtype = dimension, dtype
        self.head = len(_member("embeddings.npy").FileHeader(zip64=True)) + _NPY_HEAD

    def finish(self, file: IO[bytes], rows: int, columns: Columns, facts: dict[str, Any]) -> None:
        member = _member("embeddings.npy")
        head = npy_head((rows, self.dimension), self.dtype)
        member.file_size = member.compress_size = len(head) + rows * self.dimension * self.dtype.itemsize
        file.seek(self.head)
        member.CRC = _checksum(file, zlib.crc32(head), member.file_size - len(head))
        file.seek(0)
        file.write(member.FileHeader(zip64=True) + head)
        file.seek(0)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.filelist.append(member)  # written by hand; the archive goes on behind it and lists it
            archive.NameToInfo[member.filename] = member
            archive.start_dir = self.head - _NPY_HEAD + member.file_size
            for name, column_N in columns.items():
                with archive.open(_member(f"{name}.npy"), "w", force_zip64=True) as target:
                    target.write(npy_head(column_N.shape, column_N.dtype))
                    _copy(column_N, target)
            with archive.open(_member("metadata.npy"), "w") as target:
                np.lib.format.write_array(target, np.array(json.dumps(facts, ensure_ascii=False)), allow_pickle=False)


class SafeTensors:
    """Tensors `embeddings`, `labels`, `indices`; the metadata `synthface` is a string of JSON."""

    head, columns = _SAFETENSORS_HEAD, True

    def __init__(self, dimension: int, dtype: np.dtype[Any]) -> None:
        self.dimension, self.dtype = dimension, dtype

    def finish(self, file: IO[bytes], rows: int, columns: Columns, facts: dict[str, Any]) -> None:
        end = rows * self.dimension * self.dtype.itemsize
        kind = {2: "F16", 4: "F32"}[self.dtype.itemsize]
        entries: dict[str, Any] = {"__metadata__": {"synthface": json.dumps(facts, ensure_ascii=False)}}
        entries["embeddings"] = {"dtype": kind, "shape": [rows, self.dimension], "data_offsets": [0, end]}
        file.seek(0, 2)
        for name, column_N in columns.items():
            entries[name] = {"dtype": "I64", "shape": [rows], "data_offsets": [end, end + 8 * rows]}
            _copy(column_N, file)
            end += 8 * rows
        text = json.dumps(entries, ensure_ascii=False).encode()
        assert len(text) <= self.head - 8, "the facts of an embedding file are few"
        file.seek(0)
        file.write(struct.pack("<Q", self.head - 8) + text.ljust(self.head - 8))


def npy_head(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """The header of a .npy file (version 1.0), always 128 bytes: the same length for any number of rows."""
    text = f"{{'descr': {np.lib.format.dtype_to_descr(dtype)!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", _NPY_HEAD - 10) + text.ljust(_NPY_HEAD - 11).encode() + b"\n"


def read_facts(path: Path) -> dict[str, Any] | None:
    """What an embedding file of ours tells of itself; None for files of others and for .npy."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                text = str(file["metadata"])
        elif path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as file:
                text = (file.metadata() or {})["synthface"]
        else:
            return None
        facts: dict[str, Any] = json.loads(text)
        return facts
    except Exception:  # every reader has its own exceptions for files of another kind
        return None


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.compress_type, member.CRC, member.header_offset = zipfile.ZIP_STORED, 0, 0
    return member


def _checksum(file: IO[bytes], value: int, length: int) -> int:
    """CRC-32 of the next `length` bytes, going on from `value`."""
    with Progress(length, "bytes", "checksum") as progress:
        while length:
            chunk = file.read(min(_CHUNK, length))
            assert chunk, "all rows have been written"
            value, length = zlib.crc32(chunk, value), length - len(chunk)
            progress.update(len(chunk))
    return value


def _copy(column_N: NDArray[np.int64], target: IO[bytes]) -> None:
    step = _CHUNK // column_N.itemsize
    for start in range(0, len(column_N), step):
        target.write(np.ascontiguousarray(column_N[start : start + step]).data)
