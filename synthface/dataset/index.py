"""The `.idx` file: one line `key<TAB>offset` a record, in any order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TAB, _NEWLINE, _ZERO, _NINE = 9, 10, 48, 57
_DIGITS = 18  # of a number that surely fits into int64


class BadIndex(ValueError):
    """Why the text is no index."""


def line(key: int, offset: int) -> str:
    return f"{key}\t{offset}\n"


def text(keys: Iterable[int], offsets: Iterable[int]) -> str:
    """The content of an `.idx` file."""
    return "".join(map(line, keys, offsets))


def read(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys and offsets of all lines, in the file's order. Raises BadIndex, which names the line; OSError."""
    return parse(path.read_bytes())


def parse(content: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `read`, from the file's bytes; 1.2M lines take a fraction of a second."""
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
    if content and not content.endswith(b"\n"):
        content += b"\n"
    byte_B = np.frombuffer(content, np.uint8)
    place_S = np.flatnonzero(byte_B < _ZERO)  # of the separators
    width_S = np.diff(place_S, prepend=-1) - 1
    separators = byte_B[place_S]
    well_formed = (
        len(place_S) % 2 == 0
        and bool((separators[0::2] == _TAB).all() and (separators[1::2] == _NEWLINE).all())
        and bool(((width_S > 0) & (width_S <= _DIGITS)).all())
        and not bool((byte_B > _NINE).any())
    )
    if not well_formed:
        raise BadIndex(_explain(content))
    number_S = _numbers(byte_B, place_S, width_S)
    return number_S[0::2].copy(), number_S[1::2].copy()


def _numbers(byte_B: NDArray[np.uint8], place_S: NDArray[np.int64], width_S: NDArray[np.int64]) -> NDArray[np.int64]:
    """The decimal numbers that end before each separator: one pass a digit, over the numbers that are so long."""
    value_S = np.zeros(len(place_S), np.int64)
    power = 1
    for digit in range(int(width_S.max(initial=0))):
        long = np.flatnonzero(width_S > digit)
        value_S[long] += (byte_B[place_S[long] - 1 - digit].astype(np.int64) - _ZERO) * power
        power *= 10
    return value_S


def _explain(content: bytes) -> str:
    for number, row in enumerate(content.split(b"\n")[:-1], 1):
        fields = row.split(b"\t")
        if len(fields) != 2 or not all(field.isdigit() and len(field) <= _DIGITS for field in fields):
            return f"line {number} is not 'key<TAB>offset': {row[:40]!r}"
    return "its lines are not 'key<TAB>offset'"
