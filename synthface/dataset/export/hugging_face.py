"""A folder that `datasets.load_dataset(FOLDER)` opens: parquet files with an image column and the manifest's columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthface.dataset import manifest
from synthface.dataset.export import samples as samples_module
from synthface.dataset.export.samples import Batch, Samples

if TYPE_CHECKING:
    import pyarrow

BYTES_PER_FILE = 400 << 20


def write(samples: Samples, folder: Path) -> None:
    import pyarrow.parquet as pq

    (folder / "data").mkdir()
    columns = schema()
    number_of = _file_numbers(samples)
    writer: Any = None
    try:
        for batch_number, batch in enumerate(samples.batches()):
            number = number_of[batch_number]
            if batch_number == 0 or number != number_of[batch_number - 1]:
                if writer is not None:
                    writer.close()
                path = folder / "data" / f"train-{number:05d}-of-{number_of[-1] + 1:05d}.parquet"
                writer = pq.ParquetWriter(path, columns, compression="zstd")
            writer.write_table(_table(batch, columns))
    finally:
        if writer is not None:
            writer.close()
    (folder / "README.md").write_text(_card(samples), encoding="utf-8")


def _file_numbers(samples: Samples) -> list[int]:
    """The file of each batch: a new one wherever the pictures so far have filled another BYTES_PER_FILE."""
    begin_N = np.concatenate([[0], np.cumsum(samples.dataset.lengths())[:-1]])
    filled_B = begin_N[:: samples_module.BATCH] // BYTES_PER_FILE
    numbers: list[int] = np.unique(filled_B, return_inverse=True)[1].tolist()
    return numbers


def schema() -> pyarrow.Schema:
    """image {bytes, path}, then the manifest's columns, with the metadata from which `datasets` knows its features."""
    import pyarrow as pa

    image = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    known = manifest.schema()
    features = {"image": {"_type": "Image"}, **{field.name: _feature(field.type) for field in known}}
    metadata = {**known.metadata, b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return pa.schema([image, *known], metadata)


def _feature(kind: pyarrow.DataType) -> dict[str, Any]:
    import pyarrow as pa

    if pa.types.is_list(kind):
        return {"_type": "List", "feature": _feature(kind.value_type)}
    name = {"float": "float32", "double": "float64"}.get(str(kind), str(kind))
    return {"_type": "Value", "dtype": name}


def _table(batch: Batch, columns: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow as pa

    names = [f"{key:08d}{suffix}" for key, suffix in zip(batch.keys, batch.suffixes(), strict=True)]
    image = pa.StructArray.from_arrays(
        [pa.array(batch.payloads, pa.binary()), pa.array(names, pa.string())], fields=list(columns.field("image").type)
    )
    return pa.Table.from_arrays([image, *(column.combine_chunks() for column in batch.rows.columns)], schema=columns)


def _card(samples: Samples) -> str:
    """The head that the hub and `load_dataset` read."""
    return (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
        "task_categories:\n- image-classification\n---\n\n"
        f"{len(samples):,} face pictures of {samples.num_classes:,} identities. `image`: the encoded picture; `label`: the "
        "identity, 0 … C − 1; the other columns are described in the parquet schema's metadata.\n"
    )
