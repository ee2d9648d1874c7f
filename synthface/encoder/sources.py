"""Photographs, folders of them, class folders and RecordIO as one numbered stream of pictures.

Nothing is decoded here, and of 42M pictures no more is held than a count for each person: class folders are listed when
their turn comes, RecordIO is read through its memory map.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from synthface.encoder.pictures import Payload
from synthface.errors import InputError, UsageError
from synthface.progress import Progress

if TYPE_CHECKING:
    from hashlib import _Hash

    from synthface.dataset import Dataset

INNER_FOLDER = "folder inside a class folder"


class Picture(NamedTuple):
    """An undecoded picture: what a person finds it by, its file or bytes, its person within its source."""

    name: str
    source: Path | Payload
    label: int


class Source(Protocol):
    """Pictures with one kind of label. `labelled`: the labels tell people apart; else all are 0.

    `aligned`: the pictures are crops already. `people`: number of labels. `skipped`: what was passed over, by reason.
    """

    labelled: bool
    aligned: bool
    people: int
    skipped: Counter[str]

    def __len__(self) -> int: ...

    def pictures(self, start: int, stop: int) -> list[Picture]:
        """Pictures `start` … `stop` − 1."""
        ...

    def identify(self, digest: _Hash) -> None:
        """Feeds what tells these pictures from others: names, sizes and times of change, not where the folder lies."""
        ...


class Files:
    """Pictures of nobody in particular: named one by one, or those of a folder without folders in it."""

    labelled, aligned, people = False, False, 1

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.skipped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.paths)

    def pictures(self, start: int, stop: int) -> list[Picture]:
        return [Picture(str(path), path, 0) for path in self.paths[start:stop]]

    def identify(self, digest: _Hash) -> None:
        for path in self.paths:
            _feed(digest, path)


class ClassFolders:
    """One folder of pictures for each person, numbered as `open_dataset` numbers them."""

    labelled, aligned = True, False

    def __init__(self, path: Path, folders: Sequence[Path]) -> None:
        from synthface.dataset.class_folders import pictures_of, subfolders

        self.path = path
        self.skipped: Counter[str] = Counter()
        self.folders: list[Path] = []
        counts: list[int] = []
        with Progress(len(folders), "folders", f"listing {path}") as progress:
            for folder in folders:
                found = len(pictures_of(folder))
                self.skipped[INNER_FOLDER] += len(subfolders(folder))
                if found:
                    self.folders.append(folder)
                    counts.append(found)
                progress.update(1)
        self.people = len(self.folders)
        self._end_C = np.cumsum(counts, dtype=np.int64)
        self._files = lru_cache(maxsize=8)(pictures_of)

    def __len__(self) -> int:
        return int(self._end_C[-1]) if self.people else 0

    def pictures(self, start: int, stop: int) -> list[Picture]:
        found: list[Picture] = []
        label = int(np.searchsorted(self._end_C, start, side="right"))
        while start < stop:
            begin, end = int(self._end_C[label - 1]) if label else 0, int(self._end_C[label])
            files = self._files(self.folders[label])
            if len(files) != end - begin:
                raise InputError(
                    f"{self.folders[label]} held {end - begin:,} pictures a moment ago and holds {len(files):,} now.",
                    "Run the command again when nothing writes into the folder.",
                )
            found += [Picture(str(path), path, label) for path in files[start - begin : stop - begin]]
            start, label = min(stop, end), label + 1
        return found

    def identify(self, digest: _Hash) -> None:
        with Progress(self.people, "folders", f"comparing {self.path}") as progress:
            for folder in self.folders:
                digest.update(folder.name.encode() + b"/")
                for path in self._files(folder):
                    _feed(digest, path)
                progress.update(1)


class Records:
    """A RecordIO folder of anyone's: aligned crops. `file`: the one with the records."""

    labelled, aligned = True, True

    def __init__(self, dataset: Dataset, file: Path) -> None:
        self.dataset, self.file = dataset, file
        self.label_N: NDArray[np.int64] = dataset.labels_N
        self.people = max(int(dataset.num_classes), int(self.label_N.max(initial=-1)) + 1)
        self.skipped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.dataset)

    def pictures(self, start: int, stop: int) -> list[Picture]:
        payloads = self.dataset.payloads(range(start, stop))
        return [
            Picture(self.dataset.key(index), payload, int(self.label_N[index]))
            for index, payload in zip(range(start, stop), payloads, strict=True)
        ]

    def identify(self, digest: _Hash) -> None:
        _feed(digest, self.file)
        digest.update(np.ascontiguousarray(self.label_N).tobytes())
        digest.update(np.ascontiguousarray(self.dataset.lengths(), np.int64).tobytes())


class Sources:
    """Several sources as one: pictures and people numbered through.

    `labelled`: labels tell people apart. `people` counts every source's; without labels that is one a source.
    """

    def __init__(self, parts: Sequence[Source]) -> None:
        self.parts = list(parts)
        self.labelled = all(part.labelled for part in parts)
        self.people = sum(part.people for part in parts)
        self.skipped = sum((part.skipped for part in parts), Counter())
        self._end_S = np.cumsum([len(part) for part in parts])
        self._first_person_S = np.cumsum([0, *(part.people for part in parts)])

    def __len__(self) -> int:
        return int(self._end_S[-1])

    def pictures(self, start: int, stop: int) -> list[tuple[Picture, bool]]:
        """Pictures `start` … `stop` − 1, people numbered through, and whether each is aligned already."""
        found: list[tuple[Picture, bool]] = []
        number = int(np.searchsorted(self._end_S, start, side="right"))
        while start < stop:
            part, begin = self.parts[number], int(self._end_S[number]) - len(self.parts[number])
            end = min(stop, int(self._end_S[number]))
            first = int(self._first_person_S[number])
            found += [
                (picture._replace(label=picture.label + first), part.aligned)
                for picture in part.pictures(start - begin, end - begin)
            ]
            start, number = end, number + 1
        return found

    def fingerprint(self) -> str:
        """Tells these pictures in this order from others; a file that is written anew counts as another one.

        Nothing is read for it: files are told by name, size and time of change, RecordIO by labels and lengths as well.
        """
        import hashlib

        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(f"{type(part).__name__} {len(part)}\n".encode())
            part.identify(digest)
        return digest.hexdigest()


def open_sources(paths: Sequence[Path]) -> Sources:
    """The pictures behind the arguments of a command, in their order.

    Raises InputError for absent and empty places, UsageError where some pictures have people and others have none.
    """
    parts: list[Source] = []
    loose: list[Path] = []
    for path in paths:
        if path.is_dir() or path.suffix == ".rec":
            if loose:
                parts.append(Files(loose))
                loose = []
            parts.append(_open_folder(path))
        elif path.is_file():
            loose.append(path)
        else:
            raise InputError(f"There is no picture, folder or dataset {path}.", "Check the path.")
    if loose:
        parts.append(Files(loose))
    named = [path for path in paths if path.is_dir() or path.suffix == ".rec"]
    labelled = [part for part in parts if part.labelled]
    if labelled and len(labelled) < len(parts):
        raise UsageError(
            f"Some of the pictures are sorted by person and others are not ({', '.join(map(str, named[:3]))} …).",
            "Embed them into two files, or put each person's pictures into a class folder.",
        )
    return Sources(parts)


def _open_folder(path: Path) -> Source:
    from synthface.dataset import open_dataset
    from synthface.dataset.class_folders import pictures_of, subfolders
    from synthface.dataset.opening import find_record_file

    record = path if path.suffix == ".rec" else find_record_file(path)
    if record is not None:
        return _filled(Records(open_dataset(path), record), path)
    folders, files = subfolders(path), pictures_of(path)
    if folders and files:
        raise InputError(
            f"{path} holds {len(files):,} pictures and {len(folders):,} folders: who is in which cannot be told.",
            "Give a folder of pictures alone, or a folder that holds one folder for each person.",
        )
    if not folders:
        return _filled(Files(files), path)
    classes = ClassFolders(path, folders)
    if not len(classes) and classes.skipped[INNER_FOLDER]:
        raise InputError(f"{path} holds folders of folders.", "Give the folder right above the class folders.")
    return _filled(classes, path)


def _filled(source: Source, path: Path) -> Source:
    if not len(source):
        raise InputError(f"{path} holds no pictures.", "Read are .jpg, .jpeg, .png, .bmp and .webp, and RecordIO.")
    return source


def _feed(digest: _Hash, path: Path) -> None:
    """Name, size in bytes and time of change in nanoseconds."""
    try:
        about = path.stat()
        size, changed = about.st_size, about.st_mtime_ns
    except OSError:  # counted as unreadable when its turn comes
        size = changed = -1
    digest.update(f"{path.name}\0{size} {changed}\n".encode())
