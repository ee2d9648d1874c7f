"""Labels of people given by the user: a table with a row a person or a picture, and columns of attributes.

Several rows of one person: of groups the most frequent value counts, of values equally frequent the first in the table; of
numbers the mean. How many people have rows that disagree is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError, did_you_mean
from synthface.identity import audit_balance
from synthface.progress import say

_KEYS = ("label", "identity")
_MOST_GROUPS = 24  # a column of text with more different values holds names; one of numbers, measured values
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Labels:
    """A table whose people are known. by: `label`, `identity` or `folder`, what its rows call them by.

    rows_of: person → rows of the columns; the person is a label of the dataset, or with `identity` one of the manifest.
    """

    path: Path
    by: str
    rows_of: dict[int, list[int]]
    columns: dict[str, list[Any]]

    def demand(self, label_C: NDArray[np.int64], identity_C: NDArray[np.int64]) -> None:
        """Raises InputError when nobody of these is in the table."""
        if not self.rows_of.keys() & set(self._keys(label_C, identity_C)):
            raise InputError(
                f"None of the dataset's people is in {self.path}.",
                "Its column `label` holds the dataset's labels or the names of its class folders, `identity` the manifest's "
                "identities.",
            )

    def balance(
        self, label_C: NDArray[np.int64], identity_C: NDArray[np.int64], images_C: NDArray[np.int64]
    ) -> dict[str, Any]:
        """How the dataset's people spread. label_C, identity_C: of each person; images_C: pictures.

        `columns`: those of groups, with their balance. `measured`: those of numbers, with mean, deviation and range over
        people. `left_out`: the others, with the reason. `disagreeing`: column → people whose rows disagree, where there are
        any. `unknown`: people whom the file leaves out. Raises InputError when it leaves out all.
        """
        self.demand(label_C, identity_C)
        rows_C = [self.rows_of.get(key, []) for key in self._keys(label_C, identity_C)]
        known_C = np.array([bool(rows) for rows in rows_C])
        groups: dict[str, Any] = {}
        measured: dict[str, Any] = {}
        left_out: dict[str, str] = {}
        disagreeing: dict[str, int] = {}
        for name, values in self.columns.items():
            values_P = [[values[row] for row in rows if values[row] is not None] for rows in rows_C if rows]
            different = {value for values in values_P for value in values}
            numbers = bool(different) and all(isinstance(value, int | float) for value in different)
            several = len(different) > _MOST_GROUPS
            if numbers and (several or any(value != int(value) for value in different)):
                measured[name] = _spread([float(np.mean(values)) for values in values_P if values])
            elif several:
                left_out[name] = f"{len(different):,} different values: more than {_MOST_GROUPS} are taken for names"
                continue
            else:
                groups[name] = audit_balance.balance([_most_frequent(values) for values in values_P], images_C[known_C])
            if differing := sum(len(set(values)) > 1 for values in values_P):
                disagreeing[name] = differing
        return {
            "file": self.path.name,
            "by": self.by,
            "people": int(known_C.sum()),
            "unknown": int((~known_C).sum()),
            "columns": groups,
            "measured": measured,
            "left_out": left_out,
            "disagreeing": disagreeing,
        }

    def _keys(self, label_C: NDArray[np.int64], identity_C: NDArray[np.int64]) -> list[int]:
        keys: list[int] = (identity_C if self.by == "identity" else label_C).tolist()
        return keys


def read(path: Path, names: Sequence[str] | None = None) -> Labels:
    """A .csv or .parquet file with a column `label` or `identity`.

    names: the class folder of each label, where the dataset has such. `label` may hold these names: a column of numbers is
    taken for names only where each of them is one, which is said where they could be labels. Raises InputError when the file
    cannot be read, has no column of people or of attributes, and for people called by a name in a dataset without names.
    """
    columns = _columns(path)
    key = "label" if "label" in columns else "identity"
    if not columns.keys() - set(_KEYS):
        raise InputError(f"{path} has no column beside those of people.", "Add columns of groups or of numbers.")
    text_R = [_text(value) for value in columns[key]]
    told = dict.fromkeys(text for text in text_R if text is not None)
    number_of = {text: int(text) for text in told if text.isdecimal()}
    by, label_of = key, {name: label for label, name in enumerate(names or ())}
    if key == "label" and told and (told.keys() <= label_of.keys() or (names and len(number_of) < len(told))):
        other = [text for text, number in number_of.items() if text in label_of and label_of[text] != number]
        if any(number_of[text] < len(label_of) for text in other):
            say(
                f"The numbers in {path}'s column `label` are taken for the names of the dataset's folders, which they are."
            )
        by, number_of = "folder", label_of
    elif len(number_of) < len(told):
        wrong = next(text for text in told if text not in number_of)
        unnamed = ", and the dataset has no folders of that name" if key == "label" else ""
        raise InputError(
            f"{path} has '{wrong}' in its column `{key}`, which is no number{unnamed}.",
            "Give the dataset's labels (`label`) or the manifest's identities (`identity`).",
        )
    rows_of: dict[int, list[int]] = {}
    for row, text in enumerate(text_R):
        if text is not None and text in number_of:
            rows_of.setdefault(number_of[text], []).append(row)
    return Labels(path, by, rows_of, {name: _known(column) for name, column in columns.items() if name not in _KEYS})


def _columns(path: Path) -> dict[str, list[Any]]:
    """The table's columns; those of people in a .csv as text, so that a folder 007 keeps its name."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Give a .csv or .parquet with a column `label` or `identity`.")
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(_KEYS, pa.string()))
    try:
        if path.suffix == ".parquet":
            table = parquet.read_table(path)
        else:
            table = csv.read_csv(path, convert_options=as_text)
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


def _text(value: Any) -> str | None:
    """A person as the table calls them; None where the cell is empty."""
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None if np.isnan(value) else value
    return None if value is None or value == "" else str(value)


def _known(column: list[Any]) -> list[Any]:
    """Numbers as they are, all else as text; None where a cell is empty."""
    found: list[Any] = []
    for value in column:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        empty = value is None or value == "" or (number and not np.isfinite(value))
        found.append(None if empty else value if number else str(value))
    return found


def _most_frequent(values: list[Any]) -> str:
    return str(Counter(values).most_common(1)[0][0]) if values else UNKNOWN


def _spread(values: list[float]) -> dict[str, Any]:
    return {
        "people": len(values),
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "min": min(values),
        "max": max(values),
    }
