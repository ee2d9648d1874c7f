"""Pictures into one uint8 NHWC array, RGB. docs/decisions/jpeg-decoder.md tells why simplejpeg."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np

from synthface.dataset.decode import MAX_PIXELS, decode, is_jpeg
from synthface.errors import InputError

Payload: TypeAlias = "bytes | bytearray | memoryview"


class Decoder(Protocol):
    """Fills image_HWC with the picture in the payload; raises ValueError when there is none."""

    def __call__(self, payload: Payload, image_HWC: np.ndarray) -> None: ...


def decode_into(payload: Payload, image_HWC: np.ndarray) -> None:
    """Decodes one picture into the contiguous uint8 array `image_HWC`, RGB; another size is resized to its size.

    JPEG comes from libjpeg-turbo with full-quality chroma upsampling, so the pixels are those that PIL gives. Damage
    that the decoder can tell raises ValueError; nothing is half-filled in silence. PNG and the like work too.
    """
    import simplejpeg

    if not is_jpeg(payload):
        _fit(_decode_other(payload), image_HWC)
        return
    try:
        decoded_HWC = simplejpeg.decode_jpeg(payload, "RGB", buffer=image_HWC)
    except ValueError:  # larger than the place, or damaged
        height, width, _, _ = simplejpeg.decode_jpeg_header(payload)
        if height * width <= image_HWC.size // 3 or height * width > MAX_PIXELS:
            raise
        decoded_HWC = simplejpeg.decode_jpeg(payload, "RGB")
    if decoded_HWC.shape != image_HWC.shape:
        _fit(decoded_HWC.copy(), image_HWC)


def _decode_other(payload: Payload) -> np.ndarray:
    try:
        return decode(payload)
    except InputError as error:
        raise ValueError(error.problem) from error


def _fit(decoded_HWC: np.ndarray, image_HWC: np.ndarray) -> None:
    import cv2

    height, width = image_HWC.shape[:2]
    shrinks = decoded_HWC.shape[0] > height
    cv2.resize(
        decoded_HWC, (width, height), dst=image_HWC, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
