"""fit-prior on 1M × 512 float16 rows from disk, against scikit-learn's IncrementalPCA fed the same file.

The limit is the machine's float32 matrix product: 2·N·d² operations for the second moment of N rows. The memory is
measured on ten times as many rows, with labels: the file is given ten times, as files of one set, each time of other
people. With 1M rows that is 10M of 500,000 people, whose sums lie in a scratch file.

    python benchmarks/fit_prior.py --keep
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure
import numpy as np

from synthface.identity import fit
from synthface.identity.embeddings import open_embeddings
from synthface.recipe.people import PriorRecipe

_TIMES = 10
_PHOTOGRAPHS = 20  # of each person


def write_rows(path: Path, rows: int, dimension: int) -> None:
    """Random rows with a falling spectrum, float16, as .npy; beside it .safetensors with labels."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    scale = np.linspace(2, 0.3, dimension, dtype=np.float32)
    target = np.lib.format.open_memmap(path, "w+", np.float16, (rows, dimension))
    for start in range(0, rows, 50_000):
        block = rng.standard_normal((min(50_000, rows - start), dimension), dtype=np.float32) * scale
        target[start : start + len(block)] = block
    target.flush()
    labels = np.arange(rows) // _PHOTOGRAPHS
    save_file({"embeddings": np.asarray(target), "labels": labels}, path.with_suffix(".safetensors"))


def ours(path: Path) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    prior = fit.fit_prior(open_embeddings([path]), PriorRecipe())
    return time.perf_counter() - start, prior.eigenvalue_K


def incremental_pca(path: Path, limit: int | None) -> tuple[float, np.ndarray, int]:
    """The usual loop: batches of scikit-learn's default size, normalised, given to `partial_fit`."""
    from sklearn.decomposition import IncrementalPCA

    array = np.load(path, mmap_mode="r")
    rows, dimension = array.shape
    rows = min(rows, limit or rows)
    batch = 5 * dimension
    pca = IncrementalPCA(batch_size=batch)
    start = time.perf_counter()
    for first in range(0, rows - rows % batch, batch):
        x = array[first : first + batch].astype(np.float32)
        pca.partial_fit(x / np.linalg.norm(x, axis=1, keepdims=True))
    return time.perf_counter() - start, pca.explained_variance_, rows - rows % batch


def peak_above_imports(path: Path, times: int) -> tuple[float, int]:
    """MiB that a fit of the file, given so many times, adds to an interpreter that has fitted 1,000 rows; and its people.

    The labels are numbered on from one time to the next, in place: ten files of 1 GB would say the same.
    """
    program = (
        "import sys; from synthface.identity import fit; from synthface.identity.embeddings import open_embeddings\n"
        "from synthface.recipe.people import PriorRecipe; import numpy as np\n"
        "rows = open_embeddings(sys.argv[1:])\n"
        "if len(sys.argv) > 2:\n"
        "    people = int(rows.labels_N.max()) + 1\n"
        "    for time, label_N in enumerate(np.split(rows.labels_N, len(sys.argv) - 1)):\n"
        "        label_N += time * people\n"
        "print('people', fit.fit_prior(rows, PriorRecipe()).facts['people'])\n"
        "print(open('/proc/self/status').read())"
    )
    small = path.with_name("small.npz")
    labels = np.arange(1_000) // _PHOTOGRAPHS
    np.savez(small, embeddings=np.load(path.with_suffix(".npy"), mmap_mode="r")[:1_000], labels=labels)
    peaks, people = [], 0
    for files in ([small], [path] * times):
        said = subprocess.run(
            [sys.executable, "-c", program, *files], capture_output=True, text=True, check=True
        ).stdout
        peaks.append(int(re.search(r"VmHWM:\s+(\d+)", said)[1]) / 1024)  # type: ignore[index]
        people = int(re.search(r"people (\d+)", said)[1])  # type: ignore[index]
    return peaks[1] - peaks[0], people


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peer-rows", type=int, default=None, help="fewer rows for the peer; its time is scaled up")
    parser.add_argument("--folder", type=Path, default=None, help="where rows lie that an earlier call has written")
    chosen = parser.parse_args()
    dimension = 512
    with tempfile.TemporaryDirectory() as folder:
        path = (chosen.folder or Path(folder)) / f"{chosen.rows}.npy"
        if not path.with_suffix(".safetensors").exists():
            write_rows(path, chosen.rows, dimension)
        ours(path)  # the file is in the page cache for both
        seconds, eigenvalues = min((ours(path) for _ in range(3)), key=lambda run: run[0])
        gflops = measure.matmul_gflops(n=8_192)
        peer_seconds, peer_eigenvalues, peer_rows = incremental_pca(path, chosen.peer_rows)
        peer_seconds *= chosen.rows / peer_rows
        memory, people = peak_above_imports(path.with_suffix(".safetensors"), _TIMES)
    limit = 2 * chosen.rows * dimension**2 / gflops / 1e9
    measure.report(
        "fit_prior",
        {
            "rows": chosen.rows,
            "dimension": dimension,
            "seconds": round(seconds, 2),
            "rows_per_second": round(chosen.rows / seconds),
            "incremental_pca_seconds": round(peer_seconds, 1),
            "incremental_pca_rows_measured": peer_rows,
            "ratio": round(peer_seconds / seconds, 1),
            "float32_matmul_gflops": round(gflops, 1),
            "matmul_limit_seconds": round(limit, 2),
            "share_of_limit": round(limit / seconds, 2),
            "largest_relative_difference_of_eigenvalues": float(np.abs(eigenvalues / peer_eigenvalues - 1).max())
            if peer_rows > 0.99 * chosen.rows
            else None,
            "rows_of_the_memory_test": _TIMES * chosen.rows,
            "people_of_the_memory_test": people,
            "peak_mib_above_a_fit_of_1000_rows": round(memory),
        },
        chosen.keep,
    )


if __name__ == "__main__":
    main()
