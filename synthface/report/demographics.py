"""Labels of people given by the user: a table with a row a person or a picture, and columns of attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError, did_you_mean
from synthface.identity import audit_balance

_KEYS = ("label", "identity")
_MOST_GROUPS = 24  # a column with more different values is taken for a measured one, or for names


def read(path: Path) -> dict[str, list[Any]]:
    """The columns of a .csv or .parquet file. Raises InputError when it cannot be read or has no column of people."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Give a .csv or .parquet with a column `label` or `identity`.")
    try:
        table = parquet.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}.", "Give .csv or .parquet.") from error  # fmt: skip
    names = table.column_names
    if not set(_KEYS) & set(names):
        hint = next((hint for name in names if (hint := did_you_mean(name, list(_KEYS)))), "")
        raise InputError(
            f"{path} has no column `label` or `identity`; it has {', '.join(names[:6])}.",
            f"{hint} One row a person, with the dataset's label, or with the manifest's identity.".strip(),
        )
    columns: dict[str, list[Any]] = table.to_pydict()
    return columns


def balance(path: Path, label_C: NDArray[np.int64], identity_C: NDArray[np.int64], images_C: NDArray[np.int64]) -> dict[str, Any]:  # fmt: skip
    """Column → its balance over the dataset's people, for every column of groups; `unknown`: people the file leaves out.

    label_C, identity_C: of each person in the dataset; images_C: pictures. Raises InputError when nobody is known.
    """
    columns = read(path)
    by_label = "label" in columns
    row_of = {int(key): row for row, key in enumerate(columns["label" if by_label else "identity"]) if key is not None}
    row_C = np.array([row_of.get(int(key), -1) for key in (label_C if by_label else identity_C)], np.int64)
    known_C = row_C >= 0
    if not known_C.any():
        raise InputError(
            f"None of the dataset's people is in {path}.",
            "Its column `label` holds the dataset's labels, `identity` the manifest's identities.",
        )
    found = {}
    for name, values in columns.items():
        chosen = ["unknown" if values[row] is None else str(values[row]) for row in row_C[known_C].tolist()]
        if name not in _KEYS and len(set(chosen)) <= _MOST_GROUPS:
            found[name] = audit_balance.balance(chosen, images_C[known_C])
    return {"file": path.name, "people": int(known_C.sum()), "unknown": int((~known_C).sum()), "columns": found}
