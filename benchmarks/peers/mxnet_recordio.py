"""MXNet's own reader and writer on one file; prints JSON. Run by benchmarks/recordio.py with the interpreter that has MXNet.

python mxnet_recordio.py STEM COUNT DECODED
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import mxnet as mx
import numpy as np


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main(stem: str, count: int, decoded: int) -> None:
    cv2.setNumThreads(1)
    times = {}
    times["open"] = seconds(lambda: mx.recordio.MXIndexedRecordIO(f"{stem}.idx", f"{stem}.rec", "r"))
    indexed = mx.recordio.MXIndexedRecordIO(f"{stem}.idx", f"{stem}.rec", "r")
    order = np.random.default_rng(0).permutation(count).tolist()

    def sequential() -> None:
        plain = mx.recordio.MXRecordIO(f"{stem}.rec", "r")
        while plain.read() is not None:
            pass

    def random_unpack() -> None:
        for key in order:
            mx.recordio.unpack(indexed.read_idx(key))

    def random_decode() -> None:
        for key in order[:decoded]:
            cv2.imdecode(np.frombuffer(mx.recordio.unpack(indexed.read_idx(key))[1], np.uint8), cv2.IMREAD_COLOR)

    times["sequential"] = seconds(sequential)
    times["random_unpack"] = seconds(random_unpack)
    times["random_decode"] = seconds(random_decode)
    payloads = [mx.recordio.unpack(indexed.read_idx(key))[1] for key in range(min(count, 20_000))]
    with tempfile.TemporaryDirectory(dir=os.path.dirname(stem)) as folder:

        def write() -> None:
            writer = mx.recordio.MXIndexedRecordIO(f"{folder}/w.idx", f"{folder}/w.rec", "w")
            for key in range(count):
                header = mx.recordio.IRHeader(0, float(key % 1_000), key, 0)
                writer.write_idx(key, mx.recordio.pack(header, payloads[key % len(payloads)]))
            writer.close()

        times["write"] = seconds(write)
        times["written_bytes"] = Path(f"{folder}/w.rec").stat().st_size
    print(json.dumps({"seconds": times, "mxnet": mx.__version__, "numpy": np.__version__, "opencv": cv2.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
