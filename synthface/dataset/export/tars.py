"""WebDataset: tar files of 10,000 samples; a sample is KEY.jpg, KEY.cls (the label) and KEY.json (its manifest row)."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from synthface.dataset.export.samples import Samples

SAMPLES_PER_TAR = 10_000


def write(samples: Samples, folder: Path) -> None:
    tar: tarfile.TarFile | None = None
    written = 0
    try:
        for batch in samples.batches():
            rows = batch.rows.to_pylist()
            for key, label, suffix, payload, row in zip(
                batch.keys, batch.labels, batch.suffixes(), batch.payloads, rows, strict=True
            ):
                if written % SAMPLES_PER_TAR == 0:
                    if tar is not None:
                        tar.close()
                    path = folder / f"{written // SAMPLES_PER_TAR:06d}.tar"
                    tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed here and below
                assert tar is not None
                known = {name: value for name, value in row.items() if value is not None}
                _add(tar, f"{key:09d}{suffix}", payload)
                _add(tar, f"{key:09d}.cls", str(label).encode("ascii"))
                _add(tar, f"{key:09d}.json", json.dumps(known).encode("utf-8"))
                written += 1
    finally:
        if tar is not None:
            tar.close()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """A file of the archive whose bytes depend on name and content alone."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))
