"""One encoded picture to an array, RGB."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthface.dataset.recordio import Buffer
from synthface.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")  # and none of Pillow's other readers, one of which starts Ghostscript
MAX_PIXELS = 1 << 26  # a header that claims more is damage, or an attempt on the memory


def is_jpeg(payload: Buffer) -> bool:
    return bytes(payload[:3]) == b"\xff\xd8\xff"


def suffix(payload: Buffer) -> str:
    """The file name's suffix that fits the bytes; `.jpg` where nothing tells."""
    head = bytes(payload[:12])
    if head.startswith(b"\x89PNG"):
        return ".png"
    if head.startswith(b"BM"):
        return ".bmp"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return ".tif"
    return ".webp" if head[:4] == b"RIFF" and head[8:] == b"WEBP" else ".jpg"


def decode(payload: Buffer) -> NDArray[np.uint8]:
    """A picture as (H, W, 3) uint8, RGB. JPEG as PIL decodes it, to the pixel; PNG and the like as well.

    Raises InputError for what is no picture, is damaged, or claims more than 2²⁶ pixels.
    """
    try:
        return _decode_jpeg(payload) if is_jpeg(payload) else _decode_other(payload)
    except ValueError as error:
        raise InputError(f"A picture cannot be decoded: {error}.") from error


def _decode_jpeg(payload: Buffer) -> NDArray[np.uint8]:
    import simplejpeg

    height, width, _, _ = simplejpeg.decode_jpeg_header(payload)
    if height * width > MAX_PIXELS:
        raise ValueError(f"its header claims {width:,} × {height:,} pixels")
    image_HWC: NDArray[np.uint8] = simplejpeg.decode_jpeg(payload, "RGB")
    return image_HWC


def _decode_other(payload: Buffer) -> NDArray[np.uint8]:
    with _open_other(payload) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(f"its header claims {picture.width:,} × {picture.height:,} pixels")
        return np.array(picture.convert("RGB"))


@contextlib.contextmanager
def _open_other(payload: Buffer) -> Iterator[Image]:
    """A picture that is no JPEG; whatever PIL finds wrong with it becomes a ValueError."""
    import struct

    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(payload), formats=_FORMATS) as picture:
            yield picture
    except UnidentifiedImageError:
        raise ValueError("neither JPEG nor any other picture") from None
    except (OSError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error


def picture_size(payload: Buffer) -> tuple[int, int]:
    """(height, width) as the picture's header tells it, without decoding. Raises InputError for what is no picture."""
    try:
        if is_jpeg(payload):
            import simplejpeg

            height, width, _, _ = simplejpeg.decode_jpeg_header(payload)
            return height, width
        with _open_other(payload) as picture:
            return picture.height, picture.width
    except ValueError as error:
        raise InputError(f"A picture cannot be decoded: {error}.") from error
