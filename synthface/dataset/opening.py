"""`open_dataset`: whatever lies at a path, as one kind of object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from synthface.dataset.class_folders import FolderDataset, subfolders
from synthface.dataset.record_file import open_records
from synthface.dataset.records import RecordDataset
from synthface.errors import InputError

Dataset: TypeAlias = RecordDataset | FolderDataset


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
    """A RecordIO folder (or its `.rec` file) or a folder of class folders, as a numbered set of pictures.

    Both give `len()`, `.path`, `.labels_N` (int64), `.num_classes`, `.payloads(indices)` (encoded pictures),
    `.image(i)` ((H, W, 3) uint8 RGB) and `.manifest()` (pyarrow.Table or None).
    Raises InputError when there is no dataset or it is damaged; wrong labels are told when `labels_N` is asked for.
    """
    path = Path(path)
    if path.suffix == ".rec" and path.is_file():
        return RecordDataset(path.parent, open_records(path))
    if not path.is_dir():
        raise InputError(f"There is no dataset {path}.", "A dataset is a RecordIO folder or a folder of class folders.")
    record = find_record_file(path)
    if record is not None:
        return RecordDataset(path, open_records(record))
    if not subfolders(path):
        raise InputError(
            f"{path} holds neither a .rec file nor folders of pictures.",
            "A RecordIO folder has train.rec and train.idx; class folders hold one folder of pictures for each person.",
        )
    return FolderDataset(path)


def find_record_file(folder: Path) -> Path | None:
    """`train.rec`, else the only `.rec` file, else None. Raises InputError when there are several."""
    found = sorted(file for file in folder.glob("*.rec") if not file.name.startswith("."))
    named = folder / "train.rec"
    if named in found:
        return named
    if len(found) > 1:
        raise InputError(
            f"{folder} holds {len(found)} .rec files and none is train.rec: {', '.join(f.name for f in found[:4])} …",
            "Name one of the files.",
        )
    return found[0] if found else None


def shards_in(folder: Path) -> list[Path]:
    """The finished shards of a folder, those with a manifest, by name; empty where `folder` is another kind of source."""
    if not folder.is_dir() or (folder / "train.rec").exists():
        return []
    records = sorted(file for file in folder.glob("*.rec") if not file.name.startswith("."))
    return [file for file in records if file.with_suffix(".parquet").exists()]
