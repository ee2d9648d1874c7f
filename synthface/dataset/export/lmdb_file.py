"""LMDB as the training code of Vec2Face and its relatives reads it: one file, values packed with msgpack.

    b"0" … b"N − 1"   [encoded picture, label]
    __len__           N
    __keys__          list of all keys
    __classnum__      number of classes

The manifest lies beside the file; its keys are these numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthface.dataset.export.samples import ManifestBeside, Samples
from synthface.errors import MissingPackageError

_PAGE = 4_096


def write(samples: Samples, folder: Path) -> None:
    try:
        import lmdb
        import msgpack
    except ImportError as error:
        raise MissingPackageError(
            f"Writing LMDB needs the package {error.name}, which is not installed.", "pip install 'synthface[lmdb]'"
        ) from error
    environment = lmdb.open(
        str(folder / "train.lmdb"), subdir=False, lock=False, map_size=_map_size(samples), meminit=False
    )
    try:
        with ManifestBeside(folder) as beside:
            for batch in samples.batches(renumber=True):
                with environment.begin(write=True) as transaction:
                    for key, label, payload in zip(batch.keys, batch.labels, batch.payloads, strict=True):
                        transaction.put(b"%d" % key, msgpack.dumps((payload, label)))
                beside.write(batch)
        with environment.begin(write=True) as transaction:
            transaction.put(b"__keys__", msgpack.dumps([b"%d" % key for key in range(len(samples))]))
            transaction.put(b"__len__", msgpack.dumps(len(samples)))
            transaction.put(b"__classnum__", msgpack.dumps(samples.num_classes))
        environment.sync(True)
    except lmdb.DiskError as error:
        raise OSError(28, str(error)) from error
    finally:
        environment.close()


def _map_size(samples: Samples) -> int:
    """More than the file can need: whole pages for every value, twice for the tree and its copies on write."""
    pages = np.ceil((samples.dataset.lengths() + 64) / _PAGE) + 1
    return 2 * _PAGE * int(pages.sum()) + 64 * len(samples) + (64 << 20)
