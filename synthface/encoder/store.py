"""Embeddings on their way to the disk: rows are appended, and a kill costs no more than what came after the last save.

OUT.part/rows         the embedding file in the making: room for its head, then the rows
OUT.part/labels       int64, one a row           .OUT.part/indices   int64, one a row: its picture
OUT.part/skipped      a line for each picture without a row: name, tab, reason
OUT.part/state.json   what is being made, how far it is, and how much of each file counts; written last
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.encoder.formats import Columns, Format
from synthface.errors import InputError, RunConflictError

_FILES = ("rows", "labels", "indices", "skipped")


@dataclass
class Tally:
    """How far an embedding is: pictures seen, rows written, and what became of the others."""

    seen: int = 0
    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # reason → pictures
    padding: Counter[str] = field(default_factory=Counter)  # margin → pictures whose face was found with it
    several: int = 0  # pictures with more than one face

    def facts(self) -> dict[str, Any]:
        return {
            "seen": self.seen,
            "rows": self.rows,
            "skipped": dict(sorted(self.skipped.items())),
            "padding": dict(sorted(self.padding.items())),
            "several": self.several,
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Tally:
        return cls(facts["seen"], facts["rows"], Counter(facts["skipped"]), Counter(facts["padding"]), facts["several"])


class Store:
    """The beginning of an embedding file. Opening takes up what an interrupted run of the same `task` left.

    task: what decides the rows; RunConflictError names where the beginning on the disk has another.
    """

    def __init__(self, folder: Path, task: dict[str, Any], layout: Format) -> None:
        self.folder, self.task, self.layout = folder, task, layout
        state_file = folder / "state.json"
        if state_file.exists():
            state = files.read_json(state_file)
            self._check(state["task"])
            self.tally, self._lengths = Tally.of(state["tally"]), dict(state["lengths"])
        else:
            files.make_directory(folder)
            self.tally, self._lengths = Tally(), dict.fromkeys(_FILES, 0) | {"rows": layout.head}
        self._files = {name: self._opened(name) for name in _FILES}
        self._marked = self.tally.facts()

    def append(
        self,
        row_ND: NDArray[np.floating],
        label_N: NDArray[np.int64],
        index_N: NDArray[np.int64],
        skipped: list[tuple[str, str]],
    ) -> None:
        """Rows with their people and pictures, and (name, reason) of pictures that gave none."""
        with files.writing(self.folder):
            self._files["rows"].write(np.ascontiguousarray(row_ND, self.layout.dtype).data)
            self._files["labels"].write(np.ascontiguousarray(label_N, "<i8").data)
            self._files["indices"].write(np.ascontiguousarray(index_N, "<i8").data)
            lines = [f"{' '.join(name.split())}\t{reason}\n" for name, reason in skipped]
            self._files["skipped"].write("".join(lines).encode("utf-8", "surrogateescape"))

    def mark(self) -> None:
        """What was appended and `tally` belong together now: the next `save` keeps this."""
        self._lengths = {name: file.tell() for name, file in self._files.items()}
        self._marked = self.tally.facts()

    def save(self) -> None:
        """Makes what was marked outlast a kill. May be called at any moment, also after an interruption."""
        with files.writing(self.folder):
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
        content = {"task": self.task, "tally": self._marked, "lengths": self._lengths}
        files.write_json(self.folder / "state.json", content)

    def rows(self) -> NDArray[Any]:
        """The rows (N, d), memory-mapped."""
        shape = (self.tally.rows, self.layout.dimension)
        return np.memmap(self.folder / "rows", self.layout.dtype, "r", self.layout.head, shape)

    def column(self, name: str) -> NDArray[np.int64]:
        """`labels` or `indices` (N,), memory-mapped."""
        return np.memmap(self.folder / name, np.dtype("<i8"), "r", 0, (self.tally.rows,))

    def finish(self, out: Path, columns: Columns, facts: dict[str, Any]) -> None:
        """Completes the file in place and gives it its name. A kill in between leaves the state to do it again."""
        with files.writing(out):
            rows = self._files["rows"]
            rows.truncate(self._lengths["rows"])
            self.layout.finish(rows, self.tally.rows, columns, facts)
            rows.flush()
            os.fsync(rows.fileno())
            self.close()
            os.replace(self.folder / "rows", out)
            files.fsync_directory(out.parent)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def remove(self) -> None:
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _opened(self, name: str) -> IO[bytes]:
        """The file, cut to the length that counts. A new `rows` begins with room for its head."""
        path, length = self.folder / name, self._lengths[name]
        with files.writing(path):
            file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115 - closed with the store
            if file.seek(0, os.SEEK_END) < length and self.tally.seen:
                file.close()
                raise InputError(
                    f"{path} is shorter than what was saved.", f"Remove {self.folder} and run the command again."
                )
            file.truncate(length)
            file.seek(length)
        return file

    def _check(self, begun: dict[str, Any]) -> None:
        differing = [key for key in {**begun, **self.task} if begun.get(key) != self.task.get(key)]
        if differing:
            lines = "".join(f"\n  {key}: {begun.get(key)} there, {self.task.get(key)} now" for key in differing)
            raise RunConflictError(
                f"{self.folder} holds the beginning of another embedding:{lines}",
                "\nGive those values again, remove the folder, or choose another --out.",
            )
