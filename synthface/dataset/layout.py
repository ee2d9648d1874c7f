"""The insightface layout of a RecordIO dataset: which keys are pictures, which describe people, and the small files.

    key 0             header record, label [N + 1, N + C + 1), no payload, id2 1; written last
    keys 1 … N        pictures
    keys N + 1 … N + C  one record a person, label [first key, last key + 1), no payload
    property          "C,height,width"
    train.lst         face2rec2's dialect  "1<TAB>path<TAB>label"; line n is key n
                      im2rec's dialect     "index<TAB>label<TAB>path"

Datasets of MXNet's im2rec have no header record: every key is a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.dataset.record_file import Headers, RecordFile
from synthface.errors import InputError

EXACT = 1 << 24  # float32, in which RecordIO keeps labels and keys, holds all integers up to here


@dataclass(frozen=True)
class Layout:
    """Rows of the record file. picture_N: pictures in reading order, by key where there is a header record.

    identity_C: records of people by key. header: row of the header record, or None.
    first_C, end_C: the key range of each person, as the identity records tell it.
    """

    picture_N: NDArray[np.int64]
    identity_C: NDArray[np.int64]
    header: int | None
    first_C: NDArray[np.float32]
    end_C: NDArray[np.float32]


class Property(NamedTuple):
    """The file `property`."""

    num_classes: int
    height: int
    width: int


def read_layout(file: RecordFile, headers: Headers) -> Layout:
    """Which record is what. Raises InputError when the header record and the records contradict each other."""
    parts = sort_out(file.key_R, headers)
    lost = parts.header is None and len(parts.identity_C) and bool((file.key_R == 0).any())
    problem = contradiction(file.key_R, headers) if parts.header is not None else ""
    if lost:
        problem = f"there are {len(parts.identity_C):,} identity records, and no header at key 0"
    if problem:
        raise InputError(
            f"The header record of {file.path} does not fit its records: {problem}.",
            f"Take another copy of the dataset; `synthface verify {file.path.parent}` tells more.",
        )
    return parts


def sort_out(key_R: NDArray[np.int64], headers: Headers) -> Layout:
    """As `read_layout`, without asking whether the header record tells the truth."""
    special_R = is_special(headers)
    at_zero = np.flatnonzero(special_R & (key_R == 0))
    header = int(at_zero[0]) if len(at_zero) else None
    picture_N = np.flatnonzero(~special_R)
    identity_C = np.flatnonzero(special_R & (key_R != 0))
    if header is not None:
        picture_N = picture_N[np.argsort(key_R[picture_N])]
    identity_C = identity_C[np.argsort(key_R[identity_C])]
    return Layout(picture_N, identity_C, header, headers.label_R[identity_C], headers.second_R[identity_C])


def is_special(headers: Headers) -> NDArray[np.bool_]:
    """Which records carry a range of keys and no payload."""
    special_R: NDArray[np.bool_] = (headers.flag_R >= 2) & (headers.payload_R == 0) & (headers.begin_R >= 0)
    return special_R


def contradiction(key_R: NDArray[np.int64], headers: Headers) -> str:
    """How the header record at key 0 contradicts the other records; "" where it does not."""
    special_R = is_special(headers)
    row = np.flatnonzero(special_R & (key_R == 0))
    if len(row) != 1:
        return "there is no header record at key 0"
    pictures = int((~special_R).sum())
    people = int(special_R.sum()) - 1
    tells = headers.label_R[row[0]], headers.second_R[row[0]]
    if tells[0] != np.float32(pictures + 1):
        return f"it tells of {tells[0] - 1:,.0f} pictures, there are {pictures:,}"
    if tells[1] != np.float32(pictures + people + 1):
        return f"it tells of {tells[1] - tells[0]:,.0f} identity records, there are {people:,}"
    if not np.array_equal(np.sort(key_R[~special_R]), np.arange(1, pictures + 1)):
        return f"the keys of the pictures are not 1 … {pictures:,}"
    if not np.array_equal(np.sort(key_R[special_R]), np.append(0, np.arange(pictures + 1, pictures + people + 1))):
        return f"the keys of the identity records are not {pictures + 1:,} … {pictures + people:,}"
    return ""


def complete(key_R: NDArray[np.int64], headers: Headers) -> bool:
    """Whether a header record says that all records are there."""
    return contradiction(key_R, headers) == ""


def special_records(
    range_C2: Sequence[tuple[int, int]] | NDArray[np.int64], pictures: int
) -> Iterable[tuple[int, tuple[int, int], int]]:
    """(key, label, id2) of the records behind the pictures: one a person, then the header.

    range_C2: first and last + 1 key of each person. Raises InputError when float32 cannot hold the keys.
    """
    end = pictures + 1 + len(range_C2)
    if end > EXACT:
        raise InputError(
            f"The insightface layout keeps keys as float32, exact up to {EXACT:,}; this dataset needs {end:,}.",
            "Pack it as several datasets; train-fr joins those that --data names.",
        )
    for number, (first, behind) in enumerate(range_C2):
        yield pictures + 1 + number, (first, behind), 0
    yield 0, (pictures + 1, end), 1


def property_text(num_classes: int, height: int, width: int) -> str:
    return f"{num_classes},{height},{width}\n"


def read_property(folder: Path) -> Property | None:
    """The file `property`, or None where there is none. Raises InputError when it is not three numbers."""
    path = folder / "property"
    try:
        content = path.read_bytes()[:200].decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    fields = content.split(",")
    if len(fields) != 3 or not all(field.strip().isdigit() for field in fields):
        raise InputError(
            f"{path} holds {content[:40]!r} where 'classes,height,width' was expected.",
            "Write it as, for example, 10000,112,112.",
        )
    return Property(*(int(field) for field in fields))
