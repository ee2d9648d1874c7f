"""Bytes to pixels: every kind of good picture, and a sentence for every kind of bad one."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from encoder_samples import crop, jpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from synthface.encoder.pictures import PictureError, load
from synthface.errors import InputError

PIXELS = 100_000_000
IMAGE = crop(5, 40)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A PNG whose header claims that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def huge_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose header claims that size."""
    data = bytearray(jpeg(IMAGE))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_pictures_come_back_as_they_were(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(load(encoded(Image.fromarray(IMAGE), form, **options), PIXELS), IMAGE)


def test_a_jpeg_is_read_as_rgb() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(load(jpeg(red), PIXELS)[16, 16], [255, 0, 0], atol=3)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16", "CMYK"])
def test_pictures_of_other_modes_become_rgb(mode: str) -> None:
    gray = Image.fromarray(IMAGE).convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    else:
        image = gray.convert("RGB").convert(mode) if mode in ("CMYK", "RGBA") else gray.convert(mode)
    data = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    found = load(data, PIXELS)
    assert found.shape == (40, 40, 3)
    if mode != "1":
        assert np.abs(found.mean(axis=2) - np.asarray(gray)).mean() < 3


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    flat = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, 16, 0), 16, 1)
    image = Image.fromarray(np.stack([flat] * 3, axis=-1))
    data = encoded(image, form, exif=exif)
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    found = load(data, PIXELS)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=2)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_segment_leaves_the_pixels() -> None:
    data = jpeg(IMAGE)
    broken = b"Exif\0\0" + b"MM\0*\xff\xff\xff\xff"
    segment = b"\xff\xe1" + struct.pack(">H", len(broken) + 2) + broken
    np.testing.assert_array_equal(load(data[:2] + segment + data[2:], PIXELS), load(data, PIXELS))


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", "empty file", "is empty. Copy it again."),
        (b"hello, world", "not a picture", "is not a picture. Readable are jpg, jpeg, png"),
        (jpeg(IMAGE)[:-300], "damaged picture", "is damaged: Premature end of JPEG file. Copy or download it again."),
        (jpeg(IMAGE)[:30], "damaged picture", "is damaged"),
        (encoded(Image.fromarray(IMAGE), "PNG")[:-400], "damaged picture", "is damaged"),
        (huge_png(20_000, 20_000), "too large", "400,000,000 pixels; encoder.max_pixels allows 100,000,000."),
        (huge_jpeg(20_000, 20_000), "too large", "20,000×20,000 pixels; encoder.max_pixels allows 100,000,000."),
        (huge_png(12_000, 10_000), "too large", "12,000×10,000 pixels; encoder.max_pixels allows 100,000,000."),
    ],
    ids=["empty", "text", "cut jpeg", "jpeg head", "cut png", "huge png", "huge jpeg", "large png"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_pictures_are_refused_in_one_sentence(tmp_path: Path, data: bytes, reason: str, words: str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with pytest.raises(PictureError) as caught:
        load(path, PIXELS)
    assert caught.value.reason == reason
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", b"GIF89a\x09\0\x09\0\0\0\0;"]
)
def test_pillows_other_readers_are_not_asked(data: bytes) -> None:
    """One of them would start Ghostscript."""
    from synthface.dataset.decode import decode

    with pytest.raises(PictureError, match="is not a picture"):
        load(data, 100)
    with pytest.raises(InputError, match="neither JPEG nor any other picture"):
        decode(data)


def test_what_pillow_itself_refuses_is_told_as_that() -> None:
    with pytest.raises(PictureError, match=r"more than Pillow opens\. Scale it down, or save it as JPEG"):
        load(huge_png(20_000, 20_000), 500_000_000)


def test_missing_and_unreadable_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="There is no picture"):
        load(tmp_path / "none.jpg", PIXELS)
    with pytest.raises(PictureError, match="cannot be read"):
        load(tmp_path, PIXELS)


def test_a_picture_within_the_limit_is_read() -> None:
    assert load(jpeg(IMAGE), 40 * 40).shape == IMAGE.shape
    with pytest.raises(PictureError, match=r"40×40 pixels; encoder\.max_pixels allows 1,599"):
        load(jpeg(IMAGE), 40 * 40 - 1)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_gives_pixels_or_a_picture_error(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([jpeg(IMAGE), encoded(Image.fromarray(IMAGE), "PNG")]))
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PictureError):
        assert load(bytes(content), PIXELS).dtype == np.uint8
