"""`verify`: the whole check of a RecordIO folder, and its repair."""

from __future__ import annotations

import os
import time
from pathlib import Path

from synthface.dataset.opening import find_record_file
from synthface.dataset.verify import repair as repairs
from synthface.dataset.verify.findings import NAMES, Report
from synthface.dataset.verify.pictures import check_pictures
from synthface.dataset.verify.structure import examine
from synthface.errors import InputError


def verify(path: str | os.PathLike[str], *, repair: bool = False, workers: int | None = None) -> Report:
    """Checks everything about a RecordIO folder or `.rec` file; `Report.ok` tells whether it can be trusted.

    repair: writes a new index and cuts an incomplete record off the tail where that is needed, then checks.
    workers: processes that decode; None: one a core. Raises InputError where there is no RecordIO file at all.
    """
    began = time.monotonic()
    record = _record_file(Path(path))
    repaired = repairs.repair(record) if repair else []
    report = Report(path=str(path), repaired=repaired)
    structure = examine(record, report)
    check_pictures(structure, report, workers)
    order = list(NAMES)  # causes before consequences
    report.findings.sort(key=lambda found: (("error", "warning", "note").index(found.level), order.index(found.name)))
    report.seconds = time.monotonic() - began
    return report


def _record_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"There is no dataset {path}.", "Name a RecordIO folder, or a .rec file.")
    record = find_record_file(path)
    if record is None:
        raise InputError(
            f"{path} holds no .rec file.", f"Class folders become a dataset by `synthface pack {path} --out DATASET`."
        )
    return record
