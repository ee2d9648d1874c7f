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
from typing import NamedTuple

from synthface.dataset.export import class_tree, dali, hugging_face, lmdb_file, tars
from synthface.dataset.export.samples import Samples
from synthface.dataset.opening import open_dataset
from synthface.dataset.publish import publishing
from synthface.errors import InputError


class Format(NamedTuple):
    """write(samples, folder); marker: a file or folder by which an earlier export is known; meaning: for `--help`."""

    write: Callable[[Samples, Path], None]
    marker: str
    meaning: str


FORMATS = {
    "folder": Format(class_tree.write, "manifest.parquet", "class folders LABEL/KEY.jpg"),
    "webdataset": Format(tars.write, "000000.tar", "tar files of KEY.jpg, KEY.cls, KEY.json"),
    "dali": Format(dali.write, "train.rec", "RecordIO without header records, shuffled, keys from 0"),
    "lmdb": Format(lmdb_file.write, "train.lmdb", "one LMDB file of [picture, label], as Vec2Face trains from"),
    "hf": Format(hugging_face.write, "data", "parquet files that datasets.load_dataset opens"),
}


def export(
    path: str | os.PathLike[str], to: str, out: str | os.PathLike[str], *, seed: int, overwrite: bool = False
) -> int:
    """Writes the dataset at `path` in the format `to` into the folder `out`; gives the number of pictures.

    seed: decides the order of `dali`. The folder appears whole, at the end. Raises InputError for a damaged or empty
    dataset, OutputError for a place that is taken or full, MissingPackageError where a format needs an extra.
    """
    form = FORMATS[to]
    samples = Samples(open_dataset(path), seed)
    if not len(samples):
        raise InputError(
            f"The dataset {os.fspath(path)} holds no pictures to export.", "Name another, or pack some first."
        )
    with publishing(Path(out), overwrite=overwrite, marker=form.marker) as folder:
        form.write(samples, folder)
    return len(samples)
