"""The pictures nearest to real people, each beside the person it is nearest to (as the paper's Fig. 11)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthface import files

_CELL, _GAP, _MARGIN, _CAPTION, _COLUMNS = 112, 4, 24, 30, 5  # pixels, and pairs in a row
_PAPER, _INK, _EMPTY = "#ffffff", "#1d1f23", "#eceef1"
Crops = Sequence[NDArray[np.uint8] | None]


def draw(made: Crops, real: Crops, similarities: Sequence[float], path: Path) -> None:
    """A PNG: left of each pair the picture of the dataset, right the reference, below their similarity."""
    from PIL import Image, ImageDraw

    columns = min(_COLUMNS, len(made))
    rows = -(-len(made) // columns)
    width, height = 2 * _CELL + _GAP, _CELL + _CAPTION
    sheet = Image.new(
        "RGB",
        (2 * _MARGIN + columns * (width + _MARGIN) - _MARGIN, 2 * _MARGIN + rows * (height + _GAP) - _GAP),
        _PAPER,
    )
    pen = ImageDraw.Draw(sheet)
    for number, (pair, similarity) in enumerate(zip(zip(made, real, strict=True), similarities, strict=True)):
        left = _MARGIN + (number % columns) * (width + _MARGIN)
        top = _MARGIN + (number // columns) * (height + _GAP)
        for offset, crop in zip((0, _CELL + _GAP), pair, strict=True):
            if crop is None:
                pen.rectangle((left + offset, top, left + offset + _CELL - 1, top + _CELL - 1), fill=_EMPTY)
            else:
                sheet.paste(Image.fromarray(crop).resize((_CELL, _CELL)), (left + offset, top))
        pen.text((left, top + _CELL + 6), f"{similarity:.3f}", fill=_INK, font_size=14)
    content = io.BytesIO()
    sheet.save(content, "png", optimize=True)
    files.write_bytes(path, content.getvalue())
