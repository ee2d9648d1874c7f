"""`.lst` files: the two dialects of MXNet's world, written and read.

face2rec2   "1<TAB>path<TAB>label"       line n is key n; the 1 says that the face is aligned
im2rec      "index<TAB>label<TAB>path"   the index is the key; several label columns are possible
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError


@dataclass(frozen=True)
class Listing:
    """What a `.lst` file tells, line by line: key, label, path, and the dialect's name."""

    dialect: str
    keys: list[int]
    labels: list[float]
    paths: list[str]


def face2rec2_line(path: str, label: int) -> str:
    return f"1\t{path}\t{label}\n"


def im2rec_line(key: int, label: float, path: str) -> str:
    return f"{key}\t{label:f}\t{path}\n"


def read(path: Path) -> Listing:
    """A `.lst` file of either dialect. Raises InputError that names the line."""
    listing: Listing | None = None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for number, row in enumerate(file, 1):
                fields = row.rstrip("\r\n").split("\t")
                if listing is None:
                    listing = Listing(_dialect(path, fields), [], [], [])
                try:
                    key, label, picture = _parse(listing.dialect, number, fields)
                except (ValueError, IndexError):
                    raise InputError(
                        f"{path}, line {number}: {row[:60].rstrip()!r} does not fit the dialect of {listing.dialect} "
                        "in which the file begins.",
                        "Make the list again with the tool that made it.",
                    ) from None
                listing.keys.append(key)
                listing.labels.append(label)
                listing.paths.append(picture)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    return listing or Listing("face2rec2", [], [], [])


def read_labels(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Key and label of each line, as `read` gives them; millions of lines a second. Raises InputError."""
    import pyarrow as pa
    from pyarrow import csv

    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            head = file.readline()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if not head:
        return np.zeros(0, np.int64), np.zeros(0)
    fields = head.rstrip("\r\n").split("\t")
    classic = _dialect(path, fields) == "face2rec2"
    kinds = {"first": pa.int64(), "label": pa.float64()}
    names = (
        ["first", "path", "label"] if classic else ["first", "label", *(f"other{n}" for n in range(len(fields) - 2))]
    )
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(column_names=names),
            csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(column_types=kinds, include_columns=list(kinds), check_utf8=False, null_values=[]),
        )
    except pa.ArrowException:  # lines of another number of fields: `read` knows which of them are right
        told = read(path)
        try:
            return np.array(told.keys, np.int64), np.array(told.labels, np.float64)
        except OverflowError:
            raise InputError(
                f"{path} names a key beyond 2⁶³.", "Make the list again with the tool that made it."
            ) from None
    label_M = table["label"].to_numpy()
    return np.arange(1, len(label_M) + 1) if classic else table["first"].to_numpy(), label_M


def differences(
    key_M: NDArray[np.int64], label_M: NDArray[np.float64], key_N: NDArray[np.int64], label_N: NDArray[np.number]
) -> NDArray[np.int64] | None:
    """Which pictures, with these keys and labels, have another label in the list; None where its keys are others."""
    order_M = np.argsort(key_M, kind="stable")
    if not np.array_equal(key_M[order_M], np.sort(key_N)):
        return None
    listed_N = label_M[order_M[np.searchsorted(key_M[order_M], key_N)]]
    return np.flatnonzero(listed_N.astype(np.float32) != label_N.astype(np.float32))


def _dialect(path: Path, fields: list[str]) -> str:
    if len(fields) == 3 and fields[0] in ("0", "1") and _is_number(fields[2]) and not _is_number(fields[1]):
        return "face2rec2"
    if len(fields) >= 3 and fields[0].isdigit() and _is_number(fields[1]):
        return "im2rec"
    raise InputError(
        f"{path} is neither '1<TAB>path<TAB>label' nor 'index<TAB>label<TAB>path'.",
        "Make the list again with face2rec2 or im2rec.",
    )


def _parse(dialect: str, number: int, fields: list[str]) -> tuple[int, float, str]:
    if dialect == "face2rec2":
        _, picture, label = fields
        return number, float(label), picture
    return int(fields[0]), float(fields[1]), fields[-1]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
