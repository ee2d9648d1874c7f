"""Our RecordIO reader and writer against MXNet's own, on one file of 100,000 pictures, in turns within one run.

Every pass of MXNet is followed by one of ours; rates are medians over the passes. The file is in the page cache. One thread.
MXNet copies every record into a `bytes`; ours gives slices of the mapped file (`slices`), and is also measured with a copy
into `bytes` (`copies`), in the same order of random keys.

    make test-interop     # makes .venv-interop
    python benchmarks/recordio.py --keep
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np

from synthface.dataset import open_dataset
from synthface.dataset.record_file import open_records
from synthface.dataset.record_writer import RecordWriter
from synthface.dataset.records import RecordDataset
from synthface.dataset.verify import verify
from synthface.devices import cores
from synthface.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
PEER = ROOT / "benchmarks/peers/mxnet_recordio.py"
DISTINCT, BATCH = 2_000, 512


def pictures() -> list[bytes]:
    """JPEGs of 112 × 112 at quality 95, of some 6 KB: smooth colours and a little noise."""
    import cv2
    import simplejpeg

    rng = np.random.default_rng(0)
    made = []
    for _ in range(DISTINCT):
        smooth = cv2.resize(rng.integers(0, 256, (7, 7, 3), np.uint8), (112, 112), interpolation=cv2.INTER_CUBIC)
        noisy = smooth.astype(np.int16) + rng.normal(0, 2, smooth.shape).astype(np.int16)
        made.append(bytes(simplejpeg.encode_jpeg(noisy.clip(0, 255).astype(np.uint8), quality=95)))
    return made


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def write(stem: Path, payloads: list[bytes], count: int) -> None:
    with RecordWriter(stem.with_suffix(".rec"), stem.with_suffix(".idx")) as writer:
        for key in range(count):
            writer.write(key, key % 1_000, payloads[key % len(payloads)])


def ours(stem: Path, payloads: list[bytes], count: int, decoded: int) -> dict[str, float]:
    """Seconds of one pass over everything."""
    record = stem.with_suffix(".rec")
    times = {"open": seconds(lambda: open_records(record))}
    data = open_dataset(record)
    assert isinstance(data, RecordDataset)
    order = np.random.default_rng(0).permutation(count)
    keys = order.tolist()
    labels = data.labels_N
    batches = np.split(order, range(BATCH, count, BATCH))

    def one_at_a_time() -> None:
        for key in keys:
            data.file.read(key)

    def random_slices() -> None:
        for batch in batches:
            list(zip(labels[batch].tolist(), data.payloads(batch), strict=True))

    def random_copies() -> None:
        for batch in batches:
            for _, payload in zip(labels[batch].tolist(), data.payloads(batch), strict=True):
                bytes(payload)

    def sequential_copies() -> None:
        for begin in range(0, count, BATCH):
            for payload in data.payloads(range(begin, min(begin + BATCH, count))):
                bytes(payload)

    times["sequential"] = seconds(sequential_copies)
    times["random_unpack_slices"] = seconds(random_slices)
    times["random_unpack_copies"] = seconds(random_copies)
    times["random_unpack_one_at_a_time"] = seconds(one_at_a_time)
    times["random_decode"] = seconds(lambda: [data.image(key) for key in keys[:decoded]])
    with tempfile.TemporaryDirectory(dir=stem.parent) as folder:
        times["write"] = seconds(lambda: write(Path(folder) / "w", payloads, count))
    times["verify"] = verify(record).seconds
    return times


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--decoded", type=int, default=20_000)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--interop", default=str(ROOT / ".venv-interop/bin/python"), help="interpreter with MXNet")
    chosen = parser.parse_args()
    if not Path(chosen.interop).exists():
        raise InputError(f"There is no {chosen.interop}.", "`make test-interop` makes it.")
    mine: list[dict[str, float]] = []
    theirs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        stem, payloads = Path(folder) / "train", pictures()
        write(stem, payloads, chosen.images)
        size = stem.with_suffix(".rec").stat().st_size
        for _ in range(chosen.passes):
            done = subprocess.run(
                [chosen.interop, str(PEER), str(stem), str(chosen.images), str(chosen.decoded)],
                capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            theirs.append(json.loads(done.stdout))
            mine.append(ours(stem, payloads, chosen.images, chosen.decoded))
    measure.report("recordio", summary(mine, theirs, chosen.images, chosen.decoded, size), chosen.keep)


def summary(
    mine: list[dict[str, float]], theirs: list[dict[str, Any]], images: int, decoded: int, size: int
) -> dict[str, Any]:
    """Rates, and their ratios."""

    def rate(name: str, passes: list[dict[str, float]]) -> float:
        return (decoded if name == "random_decode" else images) / statistics.median(part[name] for part in passes)

    peers = [part["seconds"] for part in theirs]
    pairs = {
        "sequential_read": ("sequential", "sequential"),
        "random_read_unpack_slices": ("random_unpack_slices", "random_unpack"),
        "random_read_unpack_copies": ("random_unpack_copies", "random_unpack"),
        "random_read_unpack_one_at_a_time": ("random_unpack_one_at_a_time", "random_unpack"),
        "write": ("write", "write"),
        "random_read_decode": ("random_decode", "random_decode"),
    }
    rows = {}
    for name, (our_name, peer_name) in pairs.items():
        our_rate, peer_rate = rate(our_name, mine), rate(peer_name, peers)
        ratios = sorted(peer[peer_name] / our[our_name] for our, peer in zip(mine, peers, strict=True))
        rows[name] = {
            "ours_per_second": round(our_rate),
            "mxnet_per_second": round(peer_rate),
            "ratio": round(our_rate / peer_rate, 2),
            "ratio_of_each_pass": [round(ratio, 2) for ratio in ratios],
        }
    return {
        "images": images,
        "file_mb": round(size / 1e6, 1),
        "passes": len(mine),
        "peer": {name: theirs[0][name] for name in ("mxnet", "numpy", "opencv")},
        "open_seconds": {
            "ours": round(statistics.median(part["open"] for part in mine), 4),
            "mxnet": round(statistics.median(part["open"] for part in peers), 4),
        },
        "verify": {
            "images_per_second": round(rate("verify", mine)),
            "minutes_for_500000": round(500_000 / rate("verify", mine) / 60, 2),
            "processes": cores(),
        },
        **rows,
    }


if __name__ == "__main__":
    main()
