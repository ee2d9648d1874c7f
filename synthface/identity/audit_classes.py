"""All pictures of one person after the other, whatever their order in the files; no more embeddings are held than a run's.

Rows whose labels ascend are streamed as they lie. Others are first put into the order of their labels in a scratch file
on the disk. What is looked at together is a run of whole people; a person is never cut.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.errors import InputError
from synthface.identity.embeddings import EmbeddingSet
from synthface.progress import Progress

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_ROWS = 8_192  # rows of a run: 16 MiB at 512 dimensions


class Run(NamedTuple):
    """Whole people `first_class` …: row_BD (B, d) unit rows, person k in rows edge_K[k] … edge_K[k + 1] − 1.

    number_B: the rows' numbers in the set.
    """

    first_class: int
    edge_K: Ints
    row_BD: Floats
    number_B: Ints


class People(NamedTuple):
    """Who is in a set. label_C: the labels that occur, ascending; class_N: place of each row's label in it; count_C."""

    label_C: Ints
    class_N: Ints
    count_C: Ints

    def __len__(self) -> int:
        return len(self.label_C)


def people_of(rows: EmbeddingSet) -> People:
    """Raises InputError when the files have no labels."""
    if rows.labels_N is None:
        raise InputError(
            f"{rows.paths[0]} has no labels: who is in which picture cannot be told.",
            "Give a dataset, class folders, or embeddings that `synthface embed` made of them.",
        )
    return People(*np.unique(rows.labels_N, return_inverse=True, return_counts=True))


def runs(rows: EmbeddingSet, people: People, scratch: Path | None = None) -> Iterator[Run]:
    """All people in the order of their labels. scratch: a folder for the sorted copy, where one is needed."""
    if (np.diff(people.class_N) >= 0).all():
        yield from _cut((chunk.embedding_BD for chunk in rows.chunks(_ROWS)), people, np.arange(len(rows)))
        return
    order_N = np.argsort(people.class_N, kind="stable")
    with files.writing(scratch or tempfile.gettempdir()), tempfile.TemporaryFile(dir=scratch) as file:
        sorted_ND = np.memmap(file, np.float32, "w+", shape=(len(rows), rows.dimension))
        place_N = np.empty(len(rows), np.int64)
        place_N[order_N] = np.arange(len(rows))
        with Progress(len(rows), "embeddings", "sorting by person") as progress:
            for chunk in rows.chunks(_ROWS, reuse=True):
                sorted_ND[place_N[chunk.start : chunk.start + len(chunk.embedding_BD)]] = chunk.embedding_BD
                progress.update(len(chunk.embedding_BD))
        pieces = (np.asarray(sorted_ND[start : start + _ROWS]) for start in range(0, len(rows), _ROWS))
        yield from _cut(pieces, people, order_N)


def _cut(pieces: Iterator[Floats], people: People, number_N: Ints) -> Iterator[Run]:
    """Joins and cuts pieces of sorted rows into runs of whole people."""
    end_C = np.cumsum(people.count_C)
    waiting: list[Floats] = []
    first_class = first_row = have = 0
    for piece in pieces:
        waiting.append(piece)
        have += len(piece)
        last_class = int(np.searchsorted(end_C, first_row + have, side="right"))
        if last_class == first_class:
            continue
        row_BD = np.concatenate(waiting) if len(waiting) > 1 else waiting[0]
        begin = int(end_C[first_class - 1]) if first_class else 0
        edge_K = np.append(begin, end_C[first_class:last_class]) - begin
        whole = int(edge_K[-1])
        run = Run(first_class, edge_K, row_BD[:whole], number_N[begin : begin + whole])
        waiting = [row_BD[whole:].copy()] if whole < len(row_BD) else []
        first_class, first_row, have = last_class, begin + whole, len(row_BD) - whole
        yield run
