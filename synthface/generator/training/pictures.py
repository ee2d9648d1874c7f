"""Encoded pictures to uint8 arrays of one size, in threads: the decoders release the interpreter's lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthface.encoder import pictures

Picture = NDArray[np.uint8]
MAX_PIXELS = 67_000_000  # a face needs no more; 20,000 × 20,000 would take 1.2 GB before anything is done with them


class Restorer(Protocol):
    """Enlarges pictures (B, H, W, 3) uint8 to (B, S, S, 3)."""

    def __call__(self, pictures: list[Picture]) -> list[Picture]: ...


class PictureReader:
    """Decodes and resizes batches: `read(payloads)` → ((B, side, side, 3) uint8 RGB, (B,) bool of the good ones).

    A corrupt picture leaves a black one behind and False: what to do about it is the caller's matter.
    """

    def __init__(self, side: int, threads: int, restorer: Restorer | None = None) -> None:
        self.side, self.restorer = side, restorer
        self._pool = ThreadPoolExecutor(threads)

    def read(self, payloads: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        decoded = list(self._pool.map(decode, payloads))
        good_B = np.array([picture is not None for picture in decoded])
        whole = [picture for picture in decoded if picture is not None]
        if self.restorer is not None and whole:
            small = [index for index, picture in enumerate(whole) if min(picture.shape[:2]) < self.side]
            for index, restored in zip(small, self.restorer([whole[i] for i in small]), strict=True):
                whole[index] = restored
        out_BHWC = np.zeros((len(payloads), self.side, self.side, 3), np.uint8)
        if whole:
            out_BHWC[good_B] = np.stack(list(self._pool.map(lambda picture: resize(picture, self.side), whole)))
        return out_BHWC, good_B

    def close(self) -> None:
        self._pool.shutdown()


def resize(picture: Picture, side: int) -> Picture:
    """(side, side, 3): the central square, bicubic where it grows and averaged over areas where it shrinks."""
    import cv2

    height, width = picture.shape[:2]
    short = min(height, width)
    if height != width:
        top, left = (height - short) // 2, (width - short) // 2
        picture = picture[top : top + short, left : left + short]
    if short == side:
        return picture
    method = cv2.INTER_CUBIC if side > short else cv2.INTER_AREA
    resized: Picture = cv2.resize(picture, (side, side), interpolation=method)
    return resized


def decode(payload: bytes) -> Picture | None:
    """(H, W, 3) uint8 RGB, upright; None for damaged and oversized pictures."""
    try:
        return pictures.load(payload, MAX_PIXELS)
    except pictures.PictureError:
        return None
