"""Bytes → pixels, without trusting the bytes: the size is read before anything is decoded, and half a file is refused."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError

Payload = bytes | bytearray | memoryview
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_JPEG = b"\xff\xd8\xff"
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")  # and none of Pillow's other readers, one of which starts Ghostscript
_EXIF_AREA = 1 << 16  # a JPEG's Exif segment lies within its first 64 KiB


class PictureError(InputError):
    """A picture that cannot be read. `reason` is short and counted; the message tells of the one file."""

    def __init__(self, reason: str, problem: str, fix: str = "") -> None:
        self.reason = reason
        super().__init__(problem, fix)


def load(source: Payload | Path, max_pixels: int, name: str | None = None) -> NDArray[np.uint8]:
    """A picture (H, W, 3) uint8 RGB, turned upright as its Exif orientation says.

    source: the file's path or its bytes; name: what to call it in errors. Raises PictureError for missing, empty,
    foreign and damaged files and for more than `max_pixels` pixels.
    """
    label = name or (str(source) if isinstance(source, Path) else "the picture")
    data = _read(source, label) if isinstance(source, Path) else bytes(source)
    if not data:
        raise PictureError("empty file", f"{label} is empty.", "Copy it again.")
    return _jpeg(data, label, max_pixels) if data.startswith(_JPEG) else _other(data, label, max_pixels)


def _read(path: Path, label: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PictureError("missing file", f"There is no picture {label}.", "Check the path.") from error
    except OSError as error:
        raise PictureError("unreadable file", f"{label} cannot be read: {error.strerror}.", "Check it.") from error


def _jpeg(data: bytes, label: str, max_pixels: int) -> NDArray[np.uint8]:
    import simplejpeg

    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        _refuse_large(height * width, f"{width:,}×{height:,} pixels", label, max_pixels)
        if colorspace in ("CMYK", "YCCK", "Unknown"):  # libjpeg does not turn these into RGB
            return _other(data, label, max_pixels)
        image_HWC: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError as error:
        raise _damaged(label, error) from error
    return _upright(image_HWC, data) if b"Exif\0\0" in data[:_EXIF_AREA] else image_HWC


def _other(data: bytes, label: str, max_pixels: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            width, height = picture.size
            _refuse_large(height * width, f"{width:,}×{height:,} pixels", label, max_pixels)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I;16"):
                return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, axis=2)
            return np.asarray(upright.convert("RGB"))
    except Image.DecompressionBombError as error:  # Pillow's own limit, met before ours can be
        count = int((re.search(r"\d+", str(error)) or [0])[0])
        if count <= max_pixels:
            raise PictureError(
                "too large",
                f"{label} has {count:,} pixels, more than Pillow opens.",
                "Scale it down, or save it as JPEG.",
            ) from error
        raise _too_large(f"{count:,} pixels", label, max_pixels) from error
    except UnidentifiedImageError as error:
        raise PictureError(
            "not a picture", f"{label} is not a picture.", f"Readable are {', '.join(s[1:] for s in SUFFIXES)}."
        ) from error
    except PictureError:
        raise
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, struct.error, ValueError and more
        raise _damaged(label, error) from error


def _refuse_large(pixels: int, size: str, label: str, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise _too_large(size, label, max_pixels)


def _too_large(size: str, label: str, max_pixels: int) -> PictureError:
    return PictureError(
        "too large",
        f"{label} has {size}; encoder.max_pixels allows {max_pixels:,}.",
        "Scale it down (a face needs some hundred pixels), or allow more with --set encoder.max_pixels=N: "
        "decoding takes 3 bytes a pixel.",
    )


def _damaged(label: str, error: Exception) -> PictureError:
    detail = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return PictureError("damaged picture", f"{label} is damaged: {detail}.", "Copy or download it again.")


def _upright(image_HWC: NDArray[np.uint8], data: bytes) -> NDArray[np.uint8]:
    """Applies the Exif orientation (tag 0x0112), 1…8."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS[:1]) as picture:
            orientation = picture.getexif().get(0x0112, 1)
    except Exception:  # a damaged Exif segment says nothing; the pixels are sound
        return image_HWC
    if orientation in (5, 6, 7, 8):
        image_HWC = image_HWC.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):  # upside down
        image_HWC = image_HWC[::-1]
    if orientation in (2, 3, 6, 7):  # left for right
        image_HWC = image_HWC[:, ::-1]
    return np.ascontiguousarray(image_HWC)
