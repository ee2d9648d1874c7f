"""What `pack` will write: which picture of which source becomes which key, of which class, at which place in the file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthface.dataset.class_folders import FolderDataset
from synthface.dataset.opening import open_dataset
from synthface.dataset.records import RecordDataset
from synthface.errors import InputError
from synthface.seeds import generator

if TYPE_CHECKING:
    from synthface.recipe.pictures import PackRecipe

UNKNOWN = -1  # in expected_N: the source has no manifest


@dataclass(frozen=True)
class Entries:
    """Pictures, one an entry of 56 bytes: what grows with the dataset while it is packed.

    source_N: number of the source. number_N: number within it. start_N: where the payload begins in the source's file,
    or −1 − offset of the record when it has several parts. length_N: bytes of the payload. identity_N, index_N: as the
    manifest tells them. similarity_N: to the center, NaN where unknown. expected_N: CRC-32, or UNKNOWN.
    """

    source_N: NDArray[np.int32]
    number_N: NDArray[np.int64]
    start_N: NDArray[np.int64]
    length_N: NDArray[np.int64]
    identity_N: NDArray[np.int64]
    index_N: NDArray[np.int64]
    similarity_N: NDArray[np.float32]
    expected_N: NDArray[np.int64]

    def take(self, order_M: NDArray[np.integer] | NDArray[np.bool_]) -> Entries:
        """The entries at these places."""
        return Entries(*(array[order_M] for array in vars(self).values()))

    def __len__(self) -> int:
        return len(self.source_N)


@dataclass(frozen=True)
class Plan:
    """entries: in the order of the keys 1 … N. label_N: their classes. written_N: the order in which they are written.

    range_C2: first and last + 1 key of each class. dropped: with fewer than `min_images` images. beyond: more than
    `max_identities` or `max_images` ask for.
    """

    sources: list[Path]
    entries: Entries
    label_N: NDArray[np.int64]
    written_N: NDArray[np.int64]
    range_C2: NDArray[np.int64]
    copies: int
    dropped_identities: int
    dropped_images: int
    beyond_identities: int
    beyond_images: int
    folders: dict[int, FolderDataset]


def make(sources: Sequence[str | os.PathLike[str]], settings: PackRecipe, seed: int) -> Plan:
    """Opens every source once and lays down the dataset.

    Raises InputError for damaged sources, pictures that occur twice, and when nothing is left to pack.
    """
    paths = [Path(source) for source in sources]
    if not paths:
        raise InputError("There is nothing to pack.", "Name shards, or a folder of class folders.")
    entries, folders = _sorted_entries(paths)
    if not len(entries):
        named = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1:,} more"
        raise InputError(
            f"There is nothing to pack: no picture is in {named}.",
            "Name a folder that holds one folder of pictures for each person, or finished shards.",
        )
    _check_unique(entries, paths)
    # identities stand together: their sizes are the distances between their first pictures
    first_I = np.flatnonzero(np.append(True, entries.identity_N[1:] != entries.identity_N[:-1]))
    count_I = np.diff(np.append(first_I, len(entries)))
    enough_I = count_I >= settings.min_images
    if not enough_I.any():
        raise InputError(
            f"No picture is left to pack: of {len(count_I):,} identities none has {settings.min_images} pictures.",
            "Lower pack.min_images, or render more.",
        )
    images, dropped_images = len(entries), int(count_I[~enough_I].sum())
    wanted_I = enough_I & (np.cumsum(enough_I) <= (settings.max_identities or len(count_I)))
    place_N = np.arange(images) - np.repeat(first_I, count_I)  # among the images of its identity
    kept_N = np.repeat(wanted_I, count_I) & (place_N < (settings.max_images or images))
    kept = entries if kept_N.all() else entries.take(kept_N)
    del entries, kept_N, place_N
    final = _with_copies(kept, settings.extra_center_copies)
    count_C = np.minimum(count_I[wanted_I], settings.max_images or images) + settings.extra_center_copies
    end_C = 1 + np.cumsum(count_C)
    written_N = np.arange(len(final))
    if settings.order == "shuffled":
        written_N = generator(seed, "pack").permutation(len(final))
    return Plan(
        sources=paths,
        entries=final,
        label_N=np.repeat(np.arange(len(count_C)), count_C),
        written_N=written_N,
        range_C2=np.stack([end_C - count_C, end_C], axis=1),
        copies=len(final) - len(kept),
        dropped_identities=int((~enough_I).sum()),
        dropped_images=dropped_images,
        beyond_identities=int((enough_I & ~wanted_I).sum()),
        beyond_images=images - dropped_images - len(kept),
        folders=folders,
    )


def _sorted_entries(paths: Sequence[Path]) -> tuple[Entries, dict[int, FolderDataset]]:
    """The pictures of all sources by identity and index; the sources that are class folders.

    Joined and sorted column by column, so that nothing is held twice but one of the columns.
    """
    parts: dict[str, list[NDArray[Any]]] = {field.name: [] for field in dataclasses.fields(Entries)}
    folders = {}
    for number, path in enumerate(paths):
        dataset = open_dataset(path)
        if isinstance(dataset, FolderDataset):
            folders[number] = dataset
        for name, array in vars(_entries(number, dataset)).items():
            parts[name].append(array)
        del dataset
    columns = {name: np.concatenate(parts.pop(name)) for name in tuple(parts)}
    order_N = np.lexsort(
        (columns["number_N"], columns["source_N"], columns["index_N"], columns["identity_N"])
    )  # by the last one first
    for name in columns:
        columns[name] = columns[name][order_N]
    return Entries(**columns), folders


def _entries(source: int, dataset: RecordDataset | FolderDataset) -> Entries:
    total = len(dataset)
    identity_N, index_N = dataset.labels_N, running_number(dataset.labels_N)
    similarity_N, expected_N = np.full(total, np.nan, np.float32), np.full(total, UNKNOWN, np.int64)
    table = dataset.manifest(["identity", "index", "center_similarity", "crc32"])
    if table is not None:
        identity_N, index_N = table["identity"].to_numpy(), table["index"].to_numpy().astype(np.int64)
        similarity_N = table["center_similarity"].to_numpy().astype(np.float32)
        expected_N = table["crc32"].to_numpy().astype(np.int64)
    start_N = dataset.places() if isinstance(dataset, RecordDataset) else np.zeros(total, np.int64)
    return Entries(
        np.full(total, source, np.int32), np.arange(total), start_N, dataset.lengths(),
        identity_N, index_N, similarity_N, expected_N,
    )  # fmt: skip


def running_number(label_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many earlier pictures have the same label."""
    order_N = np.argsort(label_N, kind="stable")
    sorted_N = label_N[order_N]
    begins = np.flatnonzero(np.append(True, sorted_N[1:] != sorted_N[:-1])) if len(label_N) else np.zeros(0, np.int64)
    lengths = np.diff(np.append(begins, len(label_N)))
    number_N = np.empty(len(label_N), np.int64)
    number_N[order_N] = np.arange(len(label_N)) - np.repeat(begins, lengths)
    return number_N


def _check_unique(entries: Entries, paths: list[Path]) -> None:
    same_N = (np.diff(entries.identity_N) == 0) & (np.diff(entries.index_N) == 0)
    if same_N.any():
        at = int(np.argmax(same_N))
        a, b = (paths[entries.source_N[place]] for place in (at, at + 1))
        raise InputError(
            f"Picture {entries.index_N[at]} of identity {entries.identity_N[at]} is in {a}"
            + (f" and in {b}." if a != b else " twice."),
            "Name every shard once; shards of different runs number their people alike and cannot be packed together.",
        )


def _with_copies(entries: Entries, copies: int) -> Entries:
    """Each identity's center image `copies` times more, behind its other pictures.

    The center image is the one with index 0; where it was refused, the one most similar to the center takes its place,
    and where that is unknown, the first.
    """
    if copies == 0:
        return entries
    likeness_N = np.where(np.isnan(entries.similarity_N), -np.inf, entries.similarity_N.astype(np.float64))
    likeness_N[entries.index_N == 0] = np.inf
    best_first_N = np.lexsort((entries.index_N, -likeness_N, entries.identity_N))
    _, first_I = np.unique(entries.identity_N[best_first_N], return_index=True)
    center_I = best_first_N[first_I]
    order = np.concatenate([np.arange(len(entries)), np.repeat(center_I, copies)])
    return entries.take(order[np.argsort(entries.identity_N[order], kind="stable")])
