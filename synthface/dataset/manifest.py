"""`manifest.parquet`: one row a picture, in the order of the keys. Its schema explains itself: every field has a description.

Values that a maker does not know are null. The version stands in the schema's metadata under `synthface.manifest`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.errors import InputError

if TYPE_CHECKING:
    import pyarrow

VERSION = "1"
NAME = "manifest.parquet"
ROW_GROUP = 65_536
_KEY = b"synthface.manifest"

# name → (Arrow type, may be null, description), in the file's order
_FIELDS: dict[str, tuple[str, bool, str]] = {
    "key": ("int64", False, "Key of the record in train.rec."),
    "label": ("int64", False, "Class: 0 … C − 1 without holes."),
    "identity": ("int64", False, "Number of the person before classes were numbered: row of identities.safetensors."),
    "index": ("int32", False, "Number of the picture within its identity; 0 is the center itself by default."),
    "seed": ("uint64", True, "Seed of the generator's noise for this picture and attempt."),
    "attempt": ("int32", True, "Attempt at this picture that was kept, from 0."),
    "center_similarity": (
        "float32",
        True,
        "Cosine similarity to the conditioning center, by the conditioning encoder.",
    ),
    "reference_similarity": (
        "float32",
        True,
        "Cosine similarity to the identity's reference, by the verifier encoder.",
    ),
    "detection_score": ("float32", True, "Score of the face detector, 0 … 1."),
    "landmarks": (
        "landmarks",
        True,
        "Five points (x, y) in pixels of the crop: left eye, right eye, nose, left and right corner of the mouth, "
        "as seen by the viewer.",
    ),
    "yaw": ("float32", True, "Degrees, estimated from the landmarks; positive: the face turns to the viewer's right."),
    "pitch": ("float32", True, "Degrees, estimated from the landmarks; positive: the face looks up."),
    "roll": ("float32", True, "Degrees, estimated from the landmarks; positive: clockwise as seen by the viewer."),
    "crc32": ("uint32", False, "CRC-32 of the encoded picture (zlib)."),
    "bytes": ("int64", False, "Length of the encoded picture."),
}
COLUMNS = tuple(_FIELDS)


@dataclass(frozen=True)
class Row:
    """What a maker knows of one picture. landmarks: (5, 2) pixels. Key, label, crc32 and length are the writer's."""

    identity: int
    index: int
    seed: int | None = None
    attempt: int | None = None
    center_similarity: float | None = None
    reference_similarity: float | None = None
    detection_score: float | None = None
    landmarks: ArrayLike | None = None
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None


_ROW_FIELDS = tuple(field.name for field in dataclasses.fields(Row))


@functools.cache
def schema() -> pyarrow.Schema:
    """The Arrow schema, with descriptions and version in its metadata."""
    import pyarrow as pa

    kinds = {"landmarks": pa.list_(pa.list_(pa.float32()))}
    fields = [
        pa.field(name, kinds.get(kind) or pa.type_for_alias(kind), nullable, {"description": text})
        for name, (kind, nullable, text) in _FIELDS.items()
    ]
    return pa.schema(fields, {_KEY: VERSION.encode(), b"description": b"One row a picture of a face dataset."})


def table(columns: Mapping[str, Any]) -> pyarrow.Table:
    """Name → array of the schema's columns, as a table; those that are missing are null."""
    import pyarrow as pa

    size = len(columns["key"])
    arrays = [
        pa.nulls(size, field.type) if field.name not in columns else _cast(columns[field.name], field.type)
        for field in schema()
    ]
    return pa.Table.from_arrays(arrays, schema=schema())


class ManifestWriter:
    """Streams rows into a parquet file; a row group is written whenever it is full, so memory does not grow."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetWriter(path, schema(), compression="zstd")
        self._rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}

    def write(self, row: Row, *, key: int, label: int, crc32: int, length: int) -> None:
        """One picture."""
        for name in _ROW_FIELDS:
            value = getattr(row, name)
            self._rows[name].append(_points(value) if name == "landmarks" and value is not None else value)
        for name, value in (("key", key), ("label", label), ("crc32", crc32), ("bytes", length)):
            self._rows[name].append(value)
        if len(self._rows["key"]) >= ROW_GROUP:
            self._flush()

    def write_table(self, columns: Mapping[str, Any]) -> None:
        """Many pictures: name → array of the schema's columns; those that are missing are null."""
        self.write_rows(table(columns))

    def write_rows(self, rows: pyarrow.Table) -> None:
        """Many pictures, as a table of the schema."""
        self._file.write_table(rows.cast(schema()), row_group_size=ROW_GROUP)

    def _flush(self) -> None:
        if self._rows["key"]:
            self.write_table(self._rows)
            self._rows = {name: [] for name in COLUMNS}

    def close(self) -> None:
        try:
            self._flush()
        finally:
            self._file.close()

    def __enter__(self) -> ManifestWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()


def read(path: Path, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """A manifest, or some of its columns. Raises InputError when it is no manifest or of another version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            version = (file.schema_arrow.metadata or {}).get(_KEY)
            missing = [name for name in columns or COLUMNS if name not in file.schema_arrow.names]
            table = file.read(list(columns) if columns else None) if version and not missing else None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"The manifest {path} cannot be read: {str(error).splitlines()[0][:200]}.",
            "Take another copy of it; without the file the dataset opens all the same.",
        ) from error
    if version is None or missing:
        told = f"it has no column {missing[0]}" if missing else "its schema is another"
        raise InputError(
            f"{path} is no manifest of synthface: {told}.", "Rename the file if it serves another purpose."
        )
    if version.decode("ascii", "replace") != VERSION:
        raise InputError(
            f"The manifest {path} is of version {version.decode('ascii', 'replace')}, this synthface reads {VERSION}.",
            "Install the synthface that made it, or a newer one.",
        )
    return table


def read_for(path: Path, key_N: NDArray[np.int64], columns: Sequence[str] | None = None) -> pyarrow.Table:
    """The rows of these keys, in their order. Raises InputError unless manifest and dataset have the same keys."""
    wanted = list(dict.fromkeys(["key", *columns])) if columns else None
    table = read(path, wanted)
    told_N = table["key"].to_numpy()
    if not np.array_equal(told_N, key_N):
        order_N = np.argsort(told_N, kind="stable")
        if not np.array_equal(told_N[order_N], np.sort(key_N)):
            raise InputError(
                f"The manifest {path} is of another dataset: it has {len(told_N):,} keys, the records {len(key_N):,}"
                + (", not the same ones." if len(told_N) == len(key_N) else "."),
                f"Take manifest and records from the same place; `synthface verify {path.parent}` tells more.",
            )
        table = table.take(order_N[np.searchsorted(told_N[order_N], key_N)])
    return table.select(list(columns)) if columns else table


def descriptions(path: Path) -> dict[str, str]:
    """Column → description, as the file itself tells them."""
    import pyarrow.parquet as pq

    return {field.name: (field.metadata or {})[b"description"].decode() for field in pq.read_schema(path)}


def _points(landmarks: ArrayLike) -> list[list[float]]:
    points_52 = np.asarray(landmarks, np.float32)
    if points_52.shape != (5, 2):
        raise ValueError(f"landmarks of shape {points_52.shape} instead of (5, 2)")
    listed: list[list[float]] = points_52.tolist()
    return listed


def _cast(values: Any, kind: pyarrow.DataType) -> Any:
    import pyarrow as pa

    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    return pa.array(values, kind)
