"""Reads a dataset as the data sets of insightface's arcface_torch and of AdaFace do. Run where MXNet is.

Both take record 0 for a header, and its first label for the end of the pictures' keys; without a header they take all keys
of the index. AdaFace also numbers people by the identity records between the header's two labels. Pictures come out RGB.
"""

from __future__ import annotations

import hashlib
import json
import numbers
import sys
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np


class Trainer:
    """What both have in common."""

    def __init__(self, folder: Path) -> None:
        self.records = mx.recordio.MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "r")
        header, _ = mx.recordio.unpack(self.records.read_idx(0))
        self.header0: tuple[int, int] | None = None
        if header.flag > 0:
            self.header0 = int(header.label[0]), int(header.label[1])
            self.keys = np.arange(1, self.header0[0])
        else:
            self.keys = np.array(list(self.records.keys))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        header, payload = mx.recordio.unpack(self.records.read_idx(self.keys[index]))
        label = header.label if isinstance(header.label, numbers.Number) else header.label[0]
        return mx.image.imdecode(payload).asnumpy(), int(label)

    def identity_ranges(self) -> list[list[int]]:
        """First and last + 1 key of each person."""
        if self.header0 is None:
            return []
        headers = [mx.recordio.unpack(self.records.read_idx(key))[0] for key in range(*self.header0)]
        return [[int(value) for value in header.label] for header in headers]


def main(folder: Path) -> None:
    data = Trainer(folder)
    samples: list[dict[str, Any]] = []
    for index in range(len(data)):
        image, label = data[index]
        samples.append({"label": label, "shape": image.shape, "pixels": hashlib.sha256(image.tobytes()).hexdigest()})
    content = {"samples": samples, "keys": data.keys.tolist(), "ranges": data.identity_ranges()}
    if len(sys.argv) > 2:
        side = int(sys.argv[2])
        batches = mx.io.ImageRecordIter(
            path_imgrec=str(folder / "train.rec"), data_shape=(3, side, side), batch_size=1, preprocess_threads=1,
            round_batch=False,
        )  # fmt: skip
        content["iterator_labels"] = [float(batch.label[0].asscalar()) for batch in batches]
    print(json.dumps(content))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
