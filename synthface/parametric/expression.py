"""What moves on a face within one person: expression, ageing and the volume of a beard, as displacement fields (ours)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric import head
from synthface.parametric.anatomy import MOUTH_Y, PUPIL_X
from synthface.parametric.features import mouth_line
from synthface.parametric.fields import Field, bell, bump, groove, smoothstep
from synthface.parametric.head import Canon
from synthface.parametric.shape import move

LIP_SEAM = 1.5  # half the height (canonical mm) of the strip that opens into the mouth


def mouth_opening(c: Canon) -> Field:
    """From 0 below the lips' seam to 1 above it: the coordinate in which the inside of the mouth is painted."""
    return smoothstep(-LIP_SEAM, LIP_SEAM, c.y - mouth_line(c.x))


def _smile(c: Canon, side: Field, sign: Field) -> NDArray[Any]:
    corner = bump(side, c.y, 26, MOUTH_Y, 11, 9) * c.front
    cheek = bump(side, c.y, 38, -33, 12, 10) * c.front
    fold = groove(side, c.y, [(20, -41), (28, -52), (35, -67)], 2.4) * c.front
    lids = bump(side, c.y, PUPIL_X, -8, 11, 4) * c.front
    return move(
        c,
        x=sign * (6.2 * corner + 1.0 * bump(side, c.y, 13, -43, 6, 5) * c.front),
        y=5.2 * corner + 2.4 * cheek + 1.2 * lids - 0.9 * bump(side, c.y, 0, MOUTH_Y, 13, 7) * c.front,
        z=-3.4 * corner + 2.6 * cheek - 1.7 * fold - 0.8 * bump(side, c.y, 0, MOUTH_Y, 14, 8) * c.front,
        out=1.4 * cheek,
    )


def _jaw_open(c: Canon, side: Field, sign: Field) -> NDArray[Any]:
    above = c.y - mouth_line(c.x)
    arch = np.sqrt(np.clip(1 - (side / 25.5) ** 2, 0, 1))
    lower_lip = smoothstep(LIP_SEAM, -LIP_SEAM, above) * arch * bell(np.minimum(above, 0), 0, 22)
    jaw = smoothstep(MOUTH_Y - 2, -106, c.y) * smoothstep(72, 34, side) * smoothstep(-100, -45, c.z)
    return move(
        c,
        x=-1.6 * sign * bump(side, c.y, 26, MOUTH_Y, 9, 9) * c.front,
        y=-(17.0 * lower_lip * c.front + 15.0 * jaw * (1 - 0.7 * arch * bell(above, 0, 12))),
        z=-4.0 * jaw,
        out=-1.8 * bump(side, c.y, 44, -62, 10, 16),
    )


def _lips_parted(c: Canon, side: Field, sign: Field) -> NDArray[Any]:
    above = c.y - mouth_line(c.x)
    arch = np.clip(1 - (side / 25.5) ** 2, 0, 1) ** 0.7
    upper = smoothstep(-LIP_SEAM, LIP_SEAM, above) * bell(np.maximum(above - 1, 0), 0, 8)
    lower = smoothstep(LIP_SEAM, -LIP_SEAM, above) * bell(np.minimum(above + 1, 0), 0, 8)
    return move(c, y=(2.6 * upper - 3.4 * lower) * arch * c.front)


def _pucker(c: Canon, side: Field, sign: Field) -> NDArray[Any]:
    near = bump(side, c.y, 0, MOUTH_Y, 24, 9) * c.front
    return move(c, x=-0.24 * c.x * near, z=3.6 * bump(side, c.y, 0, MOUTH_Y, 13, 9) * c.front)


def _sadness(c: Canon, side: Field, sign: Field) -> NDArray[Any]:
    return move(
        c,
        y=(-3.4 * bump(side, c.y, 26, MOUTH_Y - 1, 8, 7) + 2.2 * bump(side, c.y, 13, 18, 8, 6)) * c.front,
        z=0.8 * bump(side, c.y, 0, -88, 12, 6) * c.front,
    )


def _brow_raise(c: Canon, side: Field, sign: Field) -> NDArray[Any]:
    return move(c, y=4.2 * bump(side, c.y, 28, 21, 21, 9) * c.front)


def _frown(c: Canon, side: Field, sign: Field) -> NDArray[Any]:
    return move(
        c,
        x=-2.2 * sign * bump(side, c.y, 14, 17, 8, 6) * c.front,
        y=-3.0 * bump(side, c.y, 15, 17, 11, 7) * c.front,
        z=(1.3 * bump(side, c.y, 9, 15, 5, 5) - 1.1 * bump(side, c.y, 3.5, 19, 1.6, 6)) * c.front,
    )


def _ageing(c: Canon, side: Field, sign: Field) -> NDArray[Any]:
    """From 25 to about 75 years: what hangs, what hollows and what grows."""
    y = c.y
    nasolabial = groove(side, y, [(20, -42), (27, -55), (32, -70)], 2.4)
    above_it = groove(side, y, [(27, -40), (35, -53), (41, -68)], 5.0)
    trough = groove(side, y, [(19, -8), (26, -14), (35, -16)], 1.8)
    bag = groove(side, y, [(22, -7), (31, -10), (40, -8)], 2.4)
    marionette = groove(side, y, [(27, -73), (30, -90)], 2.2)
    jowl = bump(side, y, 38, -97, 11, 9)
    relief = -1.6 * nasolabial + 1.2 * above_it - 1.3 * trough + 1.0 * bag - 1.0 * marionette
    lids = bump(side, y, 38, 8, 12, 5)
    return move(
        c,
        y=(-1.2 * bump(side, y, 42, -70, 16, 14) - 1.6 * lids - 1.6 * bump(side, y, 0, -42, 9, 8)) * c.front,
        z=relief * c.front - 0.9 * bump(side, y, 0, MOUTH_Y, 18, 7) * c.front,
        out=3.0 * jowl - 2.0 * bump(side, y, 47, -50, 10, 14) - 2.2 * bump(side, y, 60, 26, 11, 18),
    )


def beard_region(c: Canon) -> Field:
    """Where facial hair grows, 0…1: moustache, chin, jaw and the cheek up to a line from the ear to the mouth."""
    side = np.abs(c.x)
    azimuth = np.abs(c.azimuth)
    around_mouth = smoothstep(-48, -58, c.y - 0.1 * side) * smoothstep(36, 27, side)
    cheek_line = -16 - 0.95 * (66 - np.minimum(side, 66))  # falls from the sideburn towards the corner of the mouth
    cheeks = smoothstep(0, -14, c.y - cheek_line) * smoothstep(1.50, 1.34, azimuth)
    sideburn = bell(azimuth, 1.27, 0.09) * smoothstep(20, 5, c.y)
    region = np.maximum(np.maximum(around_mouth, cheeks * smoothstep(24, 34, side)), sideburn)
    below = smoothstep(-138, -118, c.y)
    return np.maximum(region, smoothstep(-84, -94, c.y) * smoothstep(1.5, 1.3, azimuth)) * below * (c.z > -95)


def _beard_volume(c: Canon, side: Field, sign: Field) -> NDArray[Any]:
    lips = bell(c.y - mouth_line(c.x), -0.5, 6) * smoothstep(29, 22, side)
    grown = beard_region(c) * (1 - lips)
    chin = smoothstep(-88, -112, c.y) * smoothstep(-60, -10, c.z)
    return move(c, out=(3.5 + 5.0 * smoothstep(-70, -105, c.y)) * grown, y=-9.0 * chin * grown)


FIELDS = {
    "smile": _smile,
    "jaw_open": _jaw_open,
    "lips_parted": _lips_parted,
    "pucker": _pucker,
    "sadness": _sadness,
    "brow_raise": _brow_raise,
    "frown": _frown,
    "ageing": _ageing,
    "beard_volume": _beard_volume,
}


@lru_cache(maxsize=1)
def basis() -> NDArray[Any]:
    """(K, R·C·3) float32, rows in the order of FIELDS: the displacement of a full expression."""
    c = head.canon()
    side, sign = np.abs(c.x), np.tanh(c.x / 3.0)
    return np.stack([field(c, side, sign).reshape(-1) for field in FIELDS.values()]).astype(np.float32)
