"""Where pictures and labels come from: RecordIO folders and class folders, joined into one numbered set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from fr_train.data.decode import Payload
from synthface.errors import InputError, UsageError


class Source(Protocol):
    """A numbered set of encoded pictures with labels 0 … num_classes − 1; what `synthface.dataset.open_dataset` gives."""

    @property
    def path(self) -> Path: ...

    @property
    def labels_N(self) -> np.ndarray:
        """int64."""

    @property
    def num_classes(self) -> int: ...

    def payloads(self, indices: Sequence[int]) -> Sequence[Payload]:
        """The encoded pictures of these numbers."""

    def lengths(self) -> np.ndarray:
        """int64: bytes of each encoded picture, without reading one."""

    def key(self, index: int) -> str:
        """What a person finds the picture by: a record number or a file name."""


class Sources:
    """Several sources as one: pictures numbered through, each source's labels moved behind those before it."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self.parts = list(parts)
        self.sizes = [len(part.labels_N) for part in self.parts]
        self.num_classes = sum(part.num_classes for part in self.parts)
        label_starts = np.cumsum([0, *(part.num_classes for part in self.parts)])
        self.labels_N = np.concatenate(
            [part.labels_N + start for part, start in zip(self.parts, label_starts[:-1], strict=True)]
        )
        self._starts = np.cumsum([0, *self.sizes])

    def __len__(self) -> int:
        return len(self.labels_N)

    def payloads(self, index_B: np.ndarray) -> list[Payload]:
        """The encoded pictures in the order of `index_B`, each source asked once."""
        found: list[Payload] = [b""] * len(index_B)
        part_B = np.searchsorted(self._starts, index_B, side="right") - 1
        for number in np.unique(part_B):
            places = np.flatnonzero(part_B == number)
            inside = (index_B[places] - self._starts[number]).tolist()
            for place, payload in zip(places.tolist(), self.parts[number].payloads(inside), strict=True):
                found[place] = payload
        return found

    @cached_property
    def length_N(self) -> np.ndarray:
        """int64: bytes of each encoded picture."""
        return np.concatenate([np.asarray(part.lengths(), np.int64) for part in self.parts])

    def key(self, index: int) -> str:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.parts[number].key(index - int(self._starts[number]))


def open_sources(paths: Sequence[str | Path], weights: Sequence[float] = ()) -> Sources:
    """Opens and checks the training data; `weights` is only checked to fit.

    Raises InputError when a path is absent, holds no pictures, or its labels leave holes, or all is one class;
    UsageError when the number of weights is not the number of paths.
    """
    if weights and len(weights) != len(paths):
        raise UsageError(
            f"train.data_weights has {len(weights)} values for {len(paths)} data sets.", "Give one weight for each."
        )
    sources = Sources([open_source(Path(path)) for path in paths])
    if sources.num_classes < 2:
        raise InputError(
            f"The data in {', '.join(map(str, paths))} has one class; recognition is learned from differences.",
            "Train on a dataset of at least two people.",
        )
    return sources


def open_source(path: Path) -> Source:
    """A RecordIO folder or a class folder, checked. Raises InputError; see `open_sources`."""
    from synthface.dataset import open_dataset

    source: Source = open_dataset(path)
    if len(source.labels_N) == 0:
        raise InputError(
            f"The dataset {path} holds no pictures.",
            "A RecordIO folder has train.rec and train.idx; a class folder has one folder of pictures for each person.",
        )
    _check_labels(source)
    return source


def _check_labels(source: Source) -> None:
    smallest, largest = int(source.labels_N.min()), int(source.labels_N.max())
    if smallest < 0 or largest >= source.num_classes:
        raise InputError(
            f"The labels of {source.path} run from {smallest} to {largest}, its header says {source.num_classes} classes.",
            "Pack the dataset again: `synthface export` it to class folders, then `synthface pack` those.",
        )
    missing = np.flatnonzero(np.bincount(source.labels_N, minlength=source.num_classes) == 0)
    if len(missing):
        raise InputError(
            f"The labels of {source.path} leave holes: {len(missing):,} of {source.num_classes:,} classes have no "
            f"picture, the first of them {missing[0]}.",
            "Number the people without holes: `synthface export` to class folders, then `synthface pack` those.",
        )
