"""IRHeader: the 24 bytes before the picture in a record, and the label array behind them.

    flag (u32) | label (f32) | id (u64) | id2 (u64) | flag × f32 | picture

flag 0: `label` is the label. flag n > 0: n float32 labels follow and `label` is 0. The insightface layout uses n = 2 for
records without a picture. Source: MXNet, `python/mxnet/recordio.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.dataset.recordio import Buffer
from synthface.errors import InputError

HEADER = struct.Struct("<IfQQ")


class IRHeader(NamedTuple):
    """flag: number of labels in an array, 0 for a scalar. label: float, or (flag,) float32."""

    flag: int
    label: float | NDArray[np.float32]
    id: int
    id2: int


def pack(label: float | Sequence[float] | NDArray[np.floating], id: int, payload: Buffer = b"", id2: int = 0) -> bytes:
    """The bytes of a record: header, label array where `label` is not a number, payload."""
    if isinstance(label, int | float | np.number):
        return HEADER.pack(0, label, id, id2) + payload
    label_F = np.asarray(label, dtype="<f4")
    return b"".join((HEADER.pack(label_F.size, 0.0, id, id2), label_F.tobytes(), payload))


def unpack(record: Buffer) -> tuple[IRHeader, Buffer]:
    """Header and payload; the payload of a memoryview is a memoryview. Raises InputError for a record too short."""
    if len(record) < HEADER.size:
        raise InputError(f"A record of {len(record)} bytes is too short for the {HEADER.size} bytes of its header.")
    flag, label, id, id2 = HEADER.unpack_from(record)
    if flag == 0:
        return IRHeader(0, label, id, id2), record[HEADER.size :]
    begin = HEADER.size + 4 * flag
    if begin > len(record):
        raise InputError(
            f"A record of {len(record):,} bytes cannot hold the {flag:,} labels that its header announces."
        )
    label_F = np.frombuffer(record, "<f4", flag, HEADER.size)
    return IRHeader(flag, label_F, id, id2), record[begin:]
