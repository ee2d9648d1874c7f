"""The bare head: a smooth closed surface through named anthropometric points (ours).

Millimetres; the origin lies midway between the pupils; X to the right of the picture, Y up, Z towards the viewer.
The positions are averages of adults, rounded, between the sexes: interpupillary distance 63, zygion to zygion 136,
head breadth 153, head length 197, pupil to menton 115. The nose, lips, lids and ears are put on by `features` and
`ears`; here the face is what remains when they are taken off.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Every point of the head is seen from here: the surface is a radius over directions.
CENTER = np.array([0.0, -25.0, -85.0])

PUPIL_X = 31.5
MOUTH_Y = -69.0

# Points of the right half of the picture, (X, Y, Z); those off the midline are mirrored.
MIDLINE = {
    "vertex": (0, 118, -92),
    "crown": (0, 112, -138),
    "bregma": (0, 113, -58),
    "above the hairline": (0, 100, -29),
    "trichion": (0, 76, -6),
    "metopion": (0, 50, 7),
    "above the glabella": (0, 30, 9.5),
    "glabella": (0, 15, 8.5),
    "nasion, without the nose": (0, 3, 2.5),
    "bridge, without the nose": (0, -16, 3),
    "tip, without the nose": (0, -35, 7.5),
    "subnasale": (0, -47, 12.5),
    "philtrum": (0, -58, 14),
    "stomion": (0, -69, 13.5),
    "below the lip": (0, -80, 10.5),
    "labiomental fold": (0, -88, 8),
    "pogonion": (0, -101, 9.5),
    "gnathion": (0, -110.5, 5),
    "menton": (0, -115.5, -5),
    "submental": (0, -119, -22),
    "cervical point": (0, -125, -50),
    "larynx": (0, -150, -45),
    "pit of the neck": (0, -190, -50),
    "lambda": (0, 90, -168),
    "upper occiput": (0, 52, -187),
    "opisthocranion": (0, 10, -190),
    "lower occiput": (0, -25, -181),
    "inion": (0, -55, -163),
    "nape": (0, -88, -149),
    "neck, behind": (0, -125, -144),
    "neck base, behind": (0, -185, -152),
}
SIDES = {
    "forehead boss": (22, 55, 4),
    "forehead boss, outer": (38, 53, -6),
    "forehead, outer": (50, 50, -19),
    "upper forehead": (24, 78, -11),
    "upper forehead, outer": (42, 74, -26),
    "brow, inner": (13, 17, 8),
    "brow, middle": (27, 18, 5.5),
    "brow, outer": (42, 15, -4.5),
    "brow tail": (50, 10, -14),
    "inner canthus": (15.5, -1, -5.5),
    "upper lid": (31.5, 5, -3),
    "pupil": (31.5, -1, -2.5),
    "outer canthus": (45, -1, -11),
    "orbital rim": (52, 0, -18.5),
    "beside the bridge": (14, -16, -2.5),
    "infraorbital": (27, -16, -3.5),
    "infraorbital, outer": (40, -15, -7.5),
    "cheek beside the nose": (20, -32, 2.5),
    "cheek apex": (35, -29, -1.5),
    "malare": (47, -25, -9.5),
    "zygomatic, front": (58, -22, -25),
    "zygion": (67.5, -22, -54),
    "beside the ala": (20, -46, 6.5),
    "cheek, middle": (34, -46, -2),
    "cheek, outer": (48, -45, -15),
    "cheek, behind": (59, -43, -38),
    "parotid": (63.5, -45, -66),
    "upper lip, side": (14, -59, 12),
    "beside the mouth": (25, -68, 4.5),
    "buccal": (37, -68, -7),
    "buccal, outer": (47.5, -66, -24),
    "masseter": (55, -66, -52),
    "lower lip, side": (16, -82, 8),
    "chin corner": (15.5, -101, 4.5),
    "chin, lower corner": (14, -112, -3),
    "prejowl": (28.5, -97, -6),
    "jaw body, upper": (39.5, -86, -18),
    "jaw body": (40, -97, -33),
    "jaw border, front": (28, -109, -18),
    "jaw border": (44, -93, -50),
    "gonion": (51.5, -80, -70),
    "ramus": (59.5, -60, -84),
    "under the jaw": (25, -118, -38),
    "under the jaw, behind": (38, -109, -68),
    "temple": (60.5, 30, -32),
    "temple, upper": (58, 55, -38),
    "temple, low": (61, 8, -33),
    "temporal fossa": (68, 25, -58),
    "before the ear": (70, -5, -72),
    "otobasion": (71, -18, -92),
    "euryon": (76.5, 40, -97),
    "above the ear": (75, 15, -95),
    "parietal": (71, 75, -98),
    "parietal, upper": (54, 101, -97),
    "parietal, top": (28, 114, -95),
    "frontal, side": (66, 66, -62),
    "frontal, upper": (48, 95, -56),
    "frontal, top": (24, 108, -55),
    "mastoid": (66, -38, -112),
    "behind the ear": (73, -5, -122),
    "occiput, side": (64, 10, -152),
    "occiput, upper side": (63, 50, -152),
    "occiput, near": (36, 10, -181),
    "occiput, low": (48, -32, -155),
    "crown, side": (42, 92, -147),
    "lambda, side": (38, 60, -176),
    "nuchal, side": (40, -65, -145),
    "neck, side": (50, -90, -108),
    "neck, middle": (51, -125, -100),
    "neck base": (64, -185, -102),
    "neck, front side": (33, -140, -62),
    "neck, low front side": (40, -185, -65),
    "neck, back side": (40, -130, -136),
    "neck base, back side": (46, -185, -142),
}


def points() -> NDArray[Any]:
    """All points of both halves, (P, 3) mm."""
    side = np.array(list(SIDES.values()), float)
    return np.concatenate([np.array(list(MIDLINE.values()), float), side, side * (-1, 1, 1)])


@lru_cache(maxsize=1)
def _radius():  # type: ignore[no-untyped-def]
    from scipy.interpolate import RBFInterpolator

    offset = points() - CENTER
    radius = np.linalg.norm(offset, axis=1)
    return RBFInterpolator(offset / radius[:, None], radius, kernel="cubic", smoothing=2e-5)


def surface(direction: NDArray[Any]) -> NDArray[Any]:
    """The head's points in the given unit directions from CENTER, (..., 3) → (..., 3) mm."""
    flat = direction.reshape(-1, 3)
    return (CENTER + flat * _radius()(flat)[:, None]).reshape(direction.shape)
