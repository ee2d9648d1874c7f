"""`export`: a dataset in the forms that other tools read, picture by picture, without encoding anything again.

samples.py       pictures with their manifest rows, in batches
class_tree.py    class folders
tars.py          WebDataset
dali.py          RecordIO without header records, shuffled, for sequential readers
lmdb_file.py     LMDB as Vec2Face's and its siblings' training reads it
hugging_face.py  parquet files that `datasets.load_dataset` opens
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from synthface.dataset.export import class_tree, dali, hugging_face, lmdb_file, tars
from synthface.dataset.export.samples import Samples
from synthface.dataset.opening import open_dataset
from synthface.dataset.publish import publishing
from synthface.errors import InputError

# name → (writes into a folder, a file or folder by which an earlier export is known)
FORMATS: dict[str, tuple[Callable[[Samples, Path], None], str]] = {
    "folder": (class_tree.write, "manifest.parquet"),
    "webdataset": (tars.write, "000000.tar"),
    "dali": (dali.write, "train.rec"),
    "lmdb": (lmdb_file.write, "train.lmdb"),
    "hf": (hugging_face.write, "data"),
}


def export(
    path: str | os.PathLike[str], to: str, out: str | os.PathLike[str], *, seed: int, overwrite: bool = False
) -> int:
    """Writes the dataset at `path` in the format `to` into the folder `out`; gives the number of pictures.

    seed: decides the order of `dali`. The folder appears whole, at the end. Raises InputError for a damaged or empty
    dataset, OutputError for a place that is taken or full, MissingPackageError where a format needs an extra.
    """
    write, marker = FORMATS[to]
    samples = Samples(open_dataset(path), seed)
    if not len(samples):
        raise InputError(f"The dataset {os.fspath(path)} holds no pictures to export.")
    with publishing(Path(out), overwrite=overwrite, marker=marker) as folder:
        write(samples, folder)
    return len(samples)
