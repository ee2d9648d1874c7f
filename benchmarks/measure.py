"""What all benchmarks share: a stopwatch, peak memory, and one JSON with hardware, versions, peer and ratio."""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthface import files
from synthface.run import machine

RESULTS = Path(__file__).parent / "results"


def seconds(function: Callable[[], Any], repeat: int = 3, warm_up: int = 1) -> float:
    """Median wall-clock seconds of `repeat` calls after `warm_up` unmeasured ones."""
    for _ in range(warm_up):
        function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_mib() -> float:
    """Largest resident size of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matmul_gflops(dtype: str = "float32", n: int = 4096, k: int = 512) -> float:
    """What this machine's (n, k) × (k, n) NumPy product reaches, GFLOP/s: the limit to quote shares of."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((n, k)).astype(dtype)
    b = np.ascontiguousarray(a.T)
    return 2 * n * n * k / seconds(lambda: a @ b, repeat=5) / 1e9


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with `--keep`, which writes the result under benchmarks/results/."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/NAME.json")
    return parser


def report(name: str, result: dict[str, Any], keep: bool) -> None:
    """Prints the result as JSON, with the command, the machine and the date; `keep` also writes it to results/NAME.json."""
    words = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
    content = {
        "benchmark": name,
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words]),
        "machine": machine(),
        **result,
    }
    print(json.dumps(content, indent=2))
    if keep:
        files.write_json(RESULTS / f"{name}.json", content)
