"""Class folders: `LABEL/KEY.jpg`, zero-padded so that names sort as numbers, and manifest.parquet beside them."""

from __future__ import annotations

from pathlib import Path

from synthface.dataset.export.samples import ManifestBeside, Samples


def write(samples: Samples, folder: Path) -> None:
    label_width = max(len(str(samples.num_classes - 1)), 6)
    key_width = max(len(str(int(samples.dataset.key_N.max()))), 8)
    made: set[int] = set()
    with ManifestBeside(folder) as beside:
        for batch in samples.batches():
            names = zip(batch.labels, batch.keys, batch.suffixes(), batch.payloads, strict=True)
            for label, key, suffix, payload in names:
                place = folder / f"{label:0{label_width}d}"
                if label not in made:
                    place.mkdir(exist_ok=True)
                    made.add(label)
                (place / f"{key:0{key_width}d}{suffix}").write_bytes(payload)
            beside.write(batch)
