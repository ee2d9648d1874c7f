"""`pack`: shards, class folders or another RecordIO folder become one dataset, by copying the encoded pictures."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthface.dataset import irheader, layout, listing, manifest, plan, recordio
from synthface.dataset.copying import PayloadReader
from synthface.dataset.decode import picture_size
from synthface.dataset.publish import publishing
from synthface.dataset.record_writer import RecordWriter
from synthface.errors import InputError, OutputError
from synthface.progress import Progress

if TYPE_CHECKING:
    from synthface.recipe.pictures import PackRecipe

_WINDOW_BYTES, _WINDOW_PICTURES = 32 << 20, 8_192


@dataclass(frozen=True)
class Packed:
    """What was written. copies: how many of the images are further copies of center images.

    dropped: left out for having fewer than `pack.min_images`. beyond: for being more than `pack.max_identities` or
    `pack.max_images`.
    """

    path: Path
    images: int
    identities: int
    height: int
    width: int
    bytes: int
    order: str
    copies: int
    dropped_identities: int
    dropped_images: int
    beyond_identities: int
    beyond_images: int


def pack(
    shards: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    settings: PackRecipe,
    seed: int,
    *,
    overwrite: bool = False,
) -> Packed:
    """Writes train.rec, train.idx, train.lst, property and manifest.parquet into the folder `out`.

    shards: `.rec` files of a ShardWriter; a class folder or any RecordIO folder serves as well. Classes are numbered
    0 … C − 1 in the order of the identities that are kept. The folder appears whole, at the end. Memory: some 100 bytes a
    picture, the names of the files of class folders, and one window of pictures. Raises InputError for damaged sources,
    OutputError for a place that is full.
    """
    laid = plan.make(shards, settings, seed)
    out = Path(out)
    reader = PayloadReader(laid)
    _check_lengths(laid, reader)
    with publishing(out, overwrite=overwrite) as folder:
        _check_space(laid, folder)
        writer = _Writer(laid, reader, folder)
        writer.write_records()
        writer.write_list()
        writer.write_manifest()
        height, width = writer.size
        classes = len(laid.range_C2)
        (folder / "property").write_text(layout.property_text(classes, height, width), encoding="ascii")
    return Packed(
        path=out, images=len(laid.entries), identities=classes, height=height, width=width,
        bytes=(out / "train.rec").stat().st_size, order=settings.order, copies=laid.copies,
        dropped_identities=laid.dropped_identities, dropped_images=laid.dropped_images,
        beyond_identities=laid.beyond_identities, beyond_images=laid.beyond_images,
    )  # fmt: skip


def _check_lengths(laid: plan.Plan, reader: PayloadReader) -> None:
    """Raises InputError for a picture that does not fit into a record, before any is copied."""
    limit = recordio.MAX_RECORD - irheader.HEADER.size
    large = np.flatnonzero(laid.entries.length_N >= limit)
    if len(large):
        length = int(laid.entries.length_N[large[0]])
        raise InputError(
            f"{reader.name(int(large[0]))} is too large: it has {length:,} bytes, a picture in RecordIO may have {limit - 1:,}.",
            "Store a smaller picture, or remove it.",
        )


def _check_space(laid: plan.Plan, folder: Path) -> None:
    """Raises OutputError before an hour of copying, not after."""
    needed = int(laid.entries.length_N.sum()) + 44 * len(laid.entries)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"The dataset needs {needed / 1e6:,.1f} MB, {folder.parent} has {free / 1e6:,.1f} MB free.",
            "Free some space, or choose another place.",
        )


class _Writer:
    """Writes the parts of one dataset; `size` is (height, width) of its pictures once the records are written."""

    def __init__(self, laid: plan.Plan, reader: PayloadReader, folder: Path) -> None:
        self.laid, self.reader, self.folder = laid, reader, folder
        self.size = (0, 0)
        self.crc_N = np.zeros(len(laid.entries), np.uint32)

    def write_records(self) -> None:
        """train.rec and train.idx."""
        laid, label_N = self.laid, self.laid.label_N
        with (
            Progress(len(laid.entries), "images", "packing") as progress,
            RecordWriter(self.folder / "train.rec", self.folder / "train.idx") as writer,
        ):
            for window_W in _windows(laid):
                for place, payload in zip(window_W.tolist(), self.reader.payloads(window_W), strict=True):
                    self._check(place, payload)
                    writer.write(place + 1, int(label_N[place]), payload)
                progress.update(len(window_W))
            for key, label, id2 in layout.special_records(laid.range_C2, len(laid.entries)):
                writer.write(key, label, id2=id2)

    def _check(self, place: int, payload: bytes) -> None:
        """The picture is what the source's manifest says, and of the same size as the others."""
        entries = self.laid.entries
        crc32 = zlib.crc32(payload)
        if entries.expected_N[place] not in (plan.UNKNOWN, crc32):
            raise InputError(
                f"{self.reader.name(place)} is damaged: its CRC-32 is not the one in the manifest.",
                "Render that shard again, or take another copy of it.",
            )
        try:
            size = picture_size(payload)
        except InputError as error:
            raise InputError(f"{self.reader.name(place)} is no picture: {error.problem}", "Remove it.") from error
        if self.size == (0, 0):
            self.size, self._first = size, place
        elif size != self.size:
            raise InputError(
                f"Pictures of a dataset have one size: {self.reader.name(self._first)} is {self.size[1]} × {self.size[0]} "
                f"pixels, {self.reader.name(place)} is {size[1]} × {size[0]}.",
                "Crop or resize them first.",
            )
        self.crc_N[place] = crc32

    def write_list(self) -> None:
        """train.lst: line n is key n."""
        with open(self.folder / "train.lst", "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for place, label in enumerate(self.laid.label_N):
                file.write(listing.face2rec2_line(self.reader.listed_path(place), int(label)))

    def write_manifest(self) -> None:
        """manifest.parquet in the order of the keys, block by block."""
        entries, total = self.laid.entries, len(self.laid.entries)
        with manifest.ManifestWriter(self.folder / manifest.NAME) as writer:
            for begin in range(0, total, manifest.ROW_GROUP):
                place_B = np.arange(begin, min(begin + manifest.ROW_GROUP, total))
                columns = self.reader.manifest_columns(place_B)
                writer.write_table(
                    {
                        **columns,
                        "key": place_B + 1,
                        "label": self.laid.label_N[place_B],
                        "identity": entries.identity_N[place_B],
                        "index": entries.index_N[place_B],
                        "crc32": self.crc_N[place_B],
                        "bytes": entries.length_N[place_B],
                    }
                )


def _windows(laid: plan.Plan) -> Iterator[NDArray[np.int64]]:
    """Consecutive pieces of the written order, each small enough to be held in memory."""
    begin = 0
    while begin < len(laid.written_N):
        place_W = laid.written_N[begin : begin + _WINDOW_PICTURES]
        end_W = np.cumsum(laid.entries.length_N[place_W])
        fitting = max(int(np.searchsorted(end_W, _WINDOW_BYTES, side="right")), 1)
        yield place_W[:fitting]
        begin += fitting
