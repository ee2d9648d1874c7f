"""Embedding files: .npy, .npz and .safetensors, several as one set, read in chunks that never fill the memory.

Every row leaves this module as a float32 unit vector; NaN, zero rows, another dimension and labels of another length
are errors that name the file and the row.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError
from synthface.identity import sphere

SUFFIXES = (".npy", ".npz", ".safetensors")
_SLAB = 1_024  # rows converted at once: 2 MiB at 512 dimensions, so that the passes over them stay in the cache
_FIX_FORMAT = "Give .npy (N, d), or .npz or .safetensors with `embeddings` (N, d) and optional `labels` (N,)."


class Digest(Protocol):
    """What hashlib gives."""

    def update(self, data: Any, /) -> None: ...

    def hexdigest(self) -> str: ...


class Chunk(NamedTuple):
    """Rows `start` … `start + len(embedding_BD)` of a set."""

    start: int
    embedding_BD: NDArray[np.float32]  # unit rows
    label_B: NDArray[np.int64] | None


@dataclass(frozen=True)
class _Part:
    """One file of a set."""

    path: Path
    rows: int
    dimension: int
    dtype: np.dtype[Any]
    has_labels: bool

    def stream(self, rows: int) -> Iterator[NDArray[Any]]:
        """The raw rows, at most `rows` at once."""
        return _STREAMS[self.path.suffix](self, rows)

    def labels(self) -> NDArray[np.int64]:
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
        return raw.astype(np.int64)


class EmbeddingSet:
    """One or several embedding files as one sequence of unit rows.

    Attributes: `dimension` d; `labels_N` (N,) int64 when every file has labels, else None; `len(set)` rows.
    """

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = tuple(parts)
        self.dimension = parts[0].dimension
        self.labels_N = np.concatenate([part.labels() for part in parts]) if all(p.has_labels for p in parts) else None

    def __len__(self) -> int:
        return sum(part.rows for part in self._parts)

    @property
    def paths(self) -> list[Path]:
        return [part.path for part in self._parts]

    def chunks(self, rows: int = 65_536, reuse: bool = False, digest: Digest | None = None) -> Iterator[Chunk]:
        """All rows in order; every chunk but the last holds exactly `rows`, wherever one file ends and the next begins.

        With `reuse` the arrays are valid until the next chunk is asked for, which saves an allocation a chunk.
        `digest` (hashlib) is fed the rows as stored: the same whatever the cut into files.
        Raises InputError for NaN, infinite and zero rows, naming file and row.
        """
        size = min(rows, len(self))
        buffer_BD = np.empty((size, self.dimension), np.float32)
        start = filled = 0
        for part in self._parts:
            done = 0
            for slab in part.stream(_SLAB):
                if digest is not None:
                    digest.update(np.ascontiguousarray(slab).data)
                while len(slab):
                    piece, slab = slab[: size - filled], slab[size - filled :]
                    _unit_rows(piece, buffer_BD[filled : filled + len(piece)], part.path, done)
                    filled += len(piece)
                    done += len(piece)
                    if filled == size:
                        yield self._chunk(start, buffer_BD)
                        start += size
                        filled = 0
                        if not reuse:
                            buffer_BD = np.empty_like(buffer_BD)
        if filled:
            yield self._chunk(start, buffer_BD[:filled])

    def _chunk(self, start: int, rows_BD: NDArray[np.float32]) -> Chunk:
        label_B = None if self.labels_N is None else self.labels_N[start : start + len(rows_BD)]
        return Chunk(start, rows_BD, label_B)

    def load(self) -> NDArray[np.float32]:
        """All rows at once, (N, d) float32 unit rows."""
        rows_ND = np.empty((len(self), self.dimension), np.float32)
        for chunk in self.chunks(_SLAB, reuse=True):
            rows_ND[chunk.start : chunk.start + len(chunk.embedding_BD)] = chunk.embedding_BD
        return rows_ND

    def fingerprint(self) -> str:
        """Hex SHA-256 of the rows as stored and of the labels: independent of the files' names, formats and number."""
        digest = hashlib.sha256()
        for part in self._parts:
            for slab in part.stream(_SLAB):
                digest.update(np.ascontiguousarray(slab).data)
        return self.sealed(digest)

    def sealed(self, digest: Digest) -> str:
        """The fingerprint, from a digest that `chunks` has fed with all rows."""
        if self.labels_N is not None:
            digest.update(self.labels_N.data)
        return digest.hexdigest()


def open_embeddings(paths: Sequence[str | os.PathLike[str]], dimension: int | None = None) -> EmbeddingSet:
    """Opens embedding files as one set; `dimension`, when given, must be theirs.

    Raises InputError for missing, empty, foreign and contradictory files.
    """
    if not paths:
        raise InputError("No embedding file was given.", _FIX_FORMAT)
    parts = [_open_part(Path(path)) for path in paths]
    expected = dimension if dimension is not None else parts[0].dimension
    for part in parts:
        if part.dimension != expected:
            whose = "the encoder's" if dimension is not None else f"{parts[0].path}'s"
            raise InputError(
                f"{part.path} holds embeddings of dimension {part.dimension}; {whose} is {expected}.",
                "Use embeddings that one encoder made.",
            )
    labelled = [part for part in parts if part.has_labels]
    if labelled and len(labelled) < len(parts):
        bare = next(part.path for part in parts if not part.has_labels)
        raise InputError(f"{labelled[0].path} has labels and {bare} has none.", "Give labels in every file or in none.")
    return EmbeddingSet(parts)


def _open_part(path: Path) -> _Part:
    if not path.exists():
        raise InputError(f"There is no file {path}.", "Make it with `synthface embed`, or check the path.")
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} is not an embedding file.", _FIX_FORMAT)
    try:
        shape, dtype, has_labels = _HEADERS[path.suffix](path)
    except InputError:
        raise
    except Exception as error:  # every reader has its own zoo of exceptions for damaged files
        raise InputError(f"{path} cannot be read: {error or type(error).__name__}.", _FIX_FORMAT) from error
    if len(shape) != 2:
        raise InputError(f"{path}: the embeddings have shape {tuple(shape)} instead of (N, d).", _FIX_FORMAT)
    if dtype.kind != "f":
        raise InputError(f"{path}: the embeddings are {dtype}, not float16 or float32.", "Convert them to float32.")
    if shape[0] == 0 or shape[1] < 2:
        raise InputError(f"{path} holds no embeddings (shape {tuple(shape)}).", "Check what wrote it.")
    return _Part(path, int(shape[0]), int(shape[1]), dtype, has_labels)


def _header_npy(path: Path) -> tuple[Any, np.dtype[Any], bool]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array.shape, array.dtype, False


def _header_npz(path: Path) -> tuple[Any, np.dtype[Any], bool]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "embeddings.npy" not in names:
            raise InputError(f"{path} has no array `embeddings`; it has {_names(names)}.", _FIX_FORMAT)
        with archive.open("embeddings.npy") as member:
            shape, _, dtype = _npy_header(member, path)
        return shape, dtype, "labels.npy" in names


def _header_safetensors(path: Path) -> tuple[Any, np.dtype[Any], bool]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        if "embeddings" not in names:
            raise InputError(f"{path} has no tensor `embeddings`; it has {_names(names)}.", _FIX_FORMAT)
        tensor = file.get_slice("embeddings")
        shape = tensor.get_shape()
        kind = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}.get(tensor.get_dtype(), "V")
        return shape, np.dtype(kind), "labels" in names


_HEADERS = {".npy": _header_npy, ".npz": _header_npz, ".safetensors": _header_safetensors}


def _names(names: list[str]) -> str:
    return ", ".join(name.removesuffix(".npy") for name in names[:5]) or "nothing"


def _npy_header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, which are not loaded.", _FIX_FORMAT)
    return shape, fortran, dtype


def _stream_npy(part: _Part, rows: int) -> Iterator[NDArray[Any]]:
    array = np.load(part.path, mmap_mode="r", allow_pickle=False)
    for start in range(0, part.rows, rows):
        yield array[start : start + rows]


def _stream_safetensors(part: _Part, rows: int) -> Iterator[NDArray[Any]]:
    from safetensors import safe_open

    with safe_open(part.path, framework="numpy") as file:
        tensor = file.get_slice("embeddings")
        for start in range(0, part.rows, rows):
            yield tensor[start : min(start + rows, part.rows)]


def _stream_npz(part: _Part, rows: int) -> Iterator[NDArray[Any]]:
    """Rows of a zip member: compressed or not, without holding the array."""
    with zipfile.ZipFile(part.path) as archive, archive.open("embeddings.npy") as member:
        shape, fortran, dtype = _npy_header(member, part.path)
        if fortran:
            raise InputError(f"{part.path} is stored column by column.", "Save np.ascontiguousarray(embeddings).")
        for start in range(0, part.rows, rows):
            count = min(rows, part.rows - start)
            content = member.read(count * shape[1] * dtype.itemsize)
            if len(content) < count * shape[1] * dtype.itemsize:
                raise InputError(f"{part.path} ends before its {part.rows:,} rows.", "Copy or make it again.")
            yield np.frombuffer(content, dtype).reshape(count, shape[1])


_STREAMS = {".npy": _stream_npy, ".npz": _stream_npz, ".safetensors": _stream_safetensors}


def _unit_rows(raw: NDArray[Any], target: NDArray[np.float32], path: Path, first: int) -> None:
    """Writes the normalised rows of `raw` into `target`; names the first faulty row of the file."""
    np.copyto(target, raw, casting="same_kind")
    square_B = np.einsum("bd,bd->b", target, target)
    if (np.isfinite(square_B) & (square_B > 1e-30)).all():
        target *= (1.0 / np.sqrt(square_B))[:, None]
        return
    for row, values in enumerate(np.asarray(raw, np.float64)):
        if not np.isfinite(values).all():
            raise InputError(f"{path}: row {first + row} holds NaN or infinity.", "Remove the row or make it again.")
        if not values.any():
            raise InputError(f"{path}: row {first + row} is all zeros.", "Remove the row: it has no direction.")
    target[:] = sphere.normalize(np.asarray(raw, np.float64))
