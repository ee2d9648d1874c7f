"""RecordIO for readers that go through the file from front to back, such as DALI's `readers.mxnet`.

No header record and no identity records, which such readers would take for pictures; keys from 0, scalar labels, and the
order already shuffled. train.lst is in im2rec's dialect.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthface.dataset import layout, listing
from synthface.dataset.decode import picture_size
from synthface.dataset.export.samples import ManifestBeside, Samples
from synthface.dataset.record_writer import RecordWriter
from synthface.seeds import generator


def write(samples: Samples, folder: Path) -> None:
    order_N = generator(samples.seed, "export", "dali").permutation(len(samples)).astype(np.int64)
    height, width = picture_size(samples.dataset.payloads([0])[0])
    (folder / "property").write_text(layout.property_text(samples.num_classes, height, width), encoding="ascii")
    with (
        ManifestBeside(folder) as beside,
        open(folder / "train.lst", "w", encoding="ascii", newline="\n") as listed,
        RecordWriter(folder / "train.rec", folder / "train.idx") as writer,
    ):
        for batch in samples.batches(order_N, renumber=True):
            for key, label, suffix, payload in zip(
                batch.keys, batch.labels, batch.suffixes(), batch.payloads, strict=True
            ):
                writer.write(key, label, payload)
                listed.write(listing.im2rec_line(key, label, f"{label:06d}/{key:08d}{suffix}"))
            beside.write(batch)
