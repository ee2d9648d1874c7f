"""One picture: does it decode, how large is it, what are its checksums, and which colour has its middle."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from synthface.dataset import recordio
from synthface.dataset.decode import decode, is_jpeg
from synthface.dataset.irheader import unpack
from synthface.dataset.recordio import Buffer
from synthface.errors import InputError

GOOD, UNDECODABLE, FATAL = 0, 1, 2  # FATAL: the decoder died of it

# one row a picture
INSPECTED = np.dtype(
    [("state", "u1"), ("jpeg", "?"), ("height", "i4"), ("width", "i4"), ("crc32", "u4"), ("hash", "u8"), ("red", "f4"),
     ("colour", "f4")]
)  # fmt: skip


def inspect(payload: Buffer, into: np.void) -> None:
    """Fills a row of INSPECTED."""
    into["crc32"] = zlib.crc32(payload)
    into["hash"] = int.from_bytes(hashlib.blake2b(payload, digest_size=8).digest(), "little")
    into["jpeg"] = is_jpeg(payload)
    try:
        image_HWC = decode(payload)
    except InputError:
        into["state"] = UNDECODABLE
        return
    into["height"], into["width"] = image_HWC.shape[:2]
    into["red"], into["colour"] = redness(image_HWC)


def redness(image_HWC: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean of red − blue, and of |red − blue|, over the middle of a face crop, in 0 … 255.

    Skin of every complexion reflects more red than blue, so under white light the first is well above zero; with the
    channels swapped it is below. In a grey picture both are zero.
    """
    height, width = image_HWC.shape[:2]
    middle = image_HWC[height // 4 : height - height // 4, width // 4 : width - width // 4, ::2]
    difference = middle[..., 0].astype(np.int16) - middle[..., 1]
    return float(difference.mean()), float(np.abs(difference).mean())


def inspect_many(view: memoryview, places: Iterable[tuple[int, int]], count: int) -> NDArray[np.void]:
    """INSPECTED rows of payloads at (start, length) in the mapped file; a start < 0 is −1 − offset of a split record."""
    found = np.zeros(count, INSPECTED)
    for row, (start, length) in zip(found, places, strict=True):
        payload = view[start : start + length] if start >= 0 else unpack(recordio.read(view, -1 - start)[0])[1]
        inspect(payload, row)
    return found
