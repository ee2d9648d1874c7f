"""Commands in processes of their own, and what a run directory holds."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Command(subprocess.Popen[str]):
    """`synthface ARGS...` in a process of its own."""

    def result(self, timeout: float = 240) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        out, err = self.communicate(timeout=timeout)
        return self.returncode, out, err

    def json(self) -> dict[str, Any]:
        code, out, err = self.result()
        assert code in (0, 3), err
        content: dict[str, Any] = json.loads(out)
        return content


def until(condition: Callable[[], bool], seconds: float = 120, by: Command | None = None) -> None:
    """Waits for something that another process does; where that is `by`, a process that ends before says why."""
    end = time.monotonic() + seconds
    while not condition():
        assert by is None or by.poll() is None, f"it ended before: {by.result()}"
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def rows_of(dataset: Path) -> list[dict[str, Any]]:
    """The manifest, row by row."""
    from synthface.dataset import open_dataset

    table = open_dataset(dataset).manifest()
    assert table is not None
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def dataset_of(run: Path) -> str:
    """Hash over the bytes of the dataset's files."""
    from synthface.render.finish import dataset_files, dataset_hash

    hashes = dataset_files(run / "dataset")
    assert len(hashes) == 5
    return dataset_hash(hashes)


def settled(run: Path) -> int:
    """Shards of a run that have a marker."""
    return sum(1 for path in (run / "shards").glob("?????.json"))
