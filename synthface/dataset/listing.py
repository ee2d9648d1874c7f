"""`.lst` files: the two dialects of MXNet's world, written and read.

face2rec2   "1<TAB>path<TAB>label"       line n is key n; the 1 says that the face is aligned
im2rec      "index<TAB>label<TAB>path"   the index is the key; several label columns are possible
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
