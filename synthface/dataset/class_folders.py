"""A folder with one folder of pictures for each person, as a numbered set of pictures with labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthface.dataset.decode import decode
from synthface.errors import InputError

if TYPE_CHECKING:
    import pyarrow

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class FolderDataset:
    """Pictures of class folders; people are numbered in the order of their folders' names, pictures by file name.

    Folders without pictures get no number. `names`: the folder of each label.
    """

    kind = "folder"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[Path] = []
        self.names: list[str] = []
        labels: list[int] = []
        for folder in subfolders(path):
            pictures = pictures_of(folder)
            if pictures:
                labels += [len(self.names)] * len(pictures)
                self.names.append(folder.name)
                self.files += pictures
        self.labels_N = np.array(labels, np.int64)
        self.num_classes = len(self.names)
        self.key_N = np.arange(len(self.files), dtype=np.int64)
        self.manifest_file = self._own_manifest()

    def __len__(self) -> int:
        return len(self.files)

    def payloads(self, indices: Sequence[int] | NDArray[np.integer]) -> list[bytes]:
        """The bytes of these files."""
        return [self._payload(int(index)) for index in indices]

    def _payload(self, index: int) -> bytes:
        try:
            return self.files[index].read_bytes()
        except OSError as error:
            raise InputError(f"{self.files[index]} cannot be read: {error.strerror}.") from error

    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each encoded picture."""
        return np.array([file.stat().st_size for file in self.files], np.int64)

    def image(self, index: int) -> NDArray[np.uint8]:
        """A picture, (H, W, 3) uint8 RGB. Raises InputError that names its file."""
        try:
            return decode(self._payload(index))
        except InputError as error:
            raise InputError(f"{self.key(index)}: {error.problem}", error.fix) from error

    def key(self, index: int) -> str:
        """What a person finds a picture by."""
        return str(self.files[index])

    def manifest(self, columns: Sequence[str] | None = None) -> pyarrow.Table | None:
        """The manifest that `export --to folder` wrote, in the pictures' order, or None.

        Raises InputError when it is not of these pictures.
        """
        from synthface.dataset import manifest

        return self.manifest_file and manifest.read_for(self.manifest_file, self.key_N, columns)

    def _own_manifest(self) -> Path | None:
        """The manifest in the folder; then the files are named by their keys, and `key_N` is taken from the names."""
        path = self.path / "manifest.parquet"
        if not path.is_file() or not all(file.stem.isdecimal() for file in self.files):
            return None
        self.key_N = np.array([int(file.stem) for file in self.files], np.int64)
        return path


def subfolders(path: Path) -> list[Path]:
    """The visible folders inside, by name."""
    with os.scandir(path) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def pictures_of(folder: Path) -> list[Path]:
    """The visible pictures inside, by name."""
    with os.scandir(folder) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if entry.name.lower().endswith(PICTURES) and not entry.name.startswith(".") and entry.is_file()
        )
