"""The two vectors that decide a face: who it is (identity) and everything else (nuisance).

Identity is 64 independent standard normal numbers, of which 40 shape the head and 24 colour it. Nuisance is a vector in
natural units; whatever may differ between two pictures of one person stands in it, and nothing is drawn inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.errors import UsageError

# Name → what more of it does. The unit of each is one standard deviation among people.
SHAPES: dict[str, str] = {
    "head_width": "a broader head and face",
    "face_length": "a longer lower face",
    "forehead_height": "a higher forehead",
    "forehead_slope": "a forehead that leans back",
    "temples": "hollower temples",
    "cheekbones": "wider, more forward cheekbones",
    "cheek_fullness": "fuller cheeks beside the mouth",
    "cheek_hollow": "hollows below the cheekbones",
    "jaw_width": "a wider jaw",
    "jaw_angle": "a lower, squarer angle of the jaw",
    "chin_width": "a broader chin",
    "chin_length": "a longer chin",
    "chin_projection": "a chin further forward",
    "weight": "soft tissue on the jaw and below the chin",
    "taper": "a face that narrows downwards",
    "eye_spacing": "eyes further apart",
    "eye_height": "eyes higher in the face",
    "eye_depth": "eyes less deep in their sockets",
    "eye_size": "larger eyes",
    "eye_tilt": "outer corners of the eyes higher",
    "brow_ridge": "a stronger ridge above the eyes",
    "brow_height": "brows further above the eyes",
    "brow_tilt": "outer ends of the brows higher",
    "nose_length": "a longer nose",
    "nose_width": "wider wings of the nose",
    "bridge_height": "a higher bridge",
    "bridge_width": "a wider bridge",
    "tip_projection": "a tip further forward",
    "tip_rotation": "a tip that turns up",
    "nose_hump": "a hump on the bridge",
    "nose_bulb": "a rounder tip",
    "mouth_width": "a wider mouth",
    "mouth_height": "a mouth higher in the face",
    "upper_lip": "a fuller upper lip",
    "lower_lip": "a fuller lower lip",
    "lip_projection": "lips further forward",
    "asymmetry_upper": "nose and brows out of line; the sign is the side",
    "asymmetry_lower": "chin and mouth out of line; the sign is the side",
    "ear_size": "larger ears",
    "ear_flare": "ears that stand off",
}
APPEARANCES: dict[str, str] = {
    "sex": "from women to men: a skull, skin, hair and beard that go together",
    "skin_tone": "from the lightest to the darkest skin",
    "skin_warmth": "from rosy to golden",
    "skin_redness": "redder cheeks and nose",
    "freckles": "freckles, on light skin",
    "moles_a": "with moles_b the direction in which moles lie: the further out, the more",
    "moles_b": "see moles_a; together they also choose the mottling of the skin",
    "iris_colour": "from dark brown over green and grey to blue, as far as skin and hair allow",
    "lid_crease": "from no crease in the upper lid to a high one",
    "lid_hood": "skin that hangs over the upper lid",
    "brow_thickness": "thicker brows",
    "brow_arch": "more arched brows",
    "lip_colour": "redder lips",
    "hair_colour": "from black to blond, as far as the skin allows",
    "hair_redness": "red hair, with light skin",
    "hair_length": "longer hair",
    "hair_volume": "hair that stands off more",
    "hair_curl": "from straight to tight curls",
    "hair_part": "the side of the parting",
    "hair_fringe": "hair over the forehead",
    "hairline": "a higher hairline",
    "beard": "how thick a beard can grow, in men",
    "beard_style": "from moustache and chin to the whole beard",
    "ageing": "looks older, greys and balds earlier than others of the same age",
}
SHAPE_DIMENSIONS: tuple[str, ...] = tuple(SHAPES)
APPEARANCE_DIMENSIONS: tuple[str, ...] = tuple(APPEARANCES)
IDENTITY_DIMENSIONS: tuple[str, ...] = SHAPE_DIMENSIONS + APPEARANCE_DIMENSIONS


@dataclass(frozen=True)
class Nuisance:
    """One number of the nuisance vector: what it means, its range, and the value of a plain portrait."""

    meaning: str
    low: float
    high: float
    plain: float = 0.0


NUISANCES: dict[str, Nuisance] = {
    "yaw": Nuisance("degrees; positive turns the face to the right of the picture", -75, 75),
    "pitch": Nuisance("degrees; positive looks up", -30, 30),
    "roll": Nuisance("degrees; positive tilts the head clockwise, before the crop straightens it", -30, 30),
    "smile": Nuisance("0 none, 1 broad", 0, 1),
    "jaw_open": Nuisance("0 closed, 1 wide open", 0, 1),
    "lips_parted": Nuisance("0 closed, 1 the teeth show", 0, 1),
    "pucker": Nuisance("0 none, 1 lips pushed forward", 0, 1),
    "sadness": Nuisance("0 none, 1 corners of the mouth down", 0, 1),
    "brow_raise": Nuisance("-1 lowered, 1 raised", -1, 1),
    "frown": Nuisance("0 none, 1 brows drawn together", 0, 1),
    "blink": Nuisance("0 open, 1 closed eyes", 0, 1),
    "gaze_x": Nuisance("degrees, to the right of the picture, relative to the head", -30, 30),
    "gaze_y": Nuisance("degrees, upwards, relative to the head", -20, 20),
    "age": Nuisance("years: wrinkles, sagging, grey hair, receding hairline", 16, 85, 30),
    "beard_growth": Nuisance("share of the beard that this person can have: 0 shaven, 1 full", 0, 1),
    "makeup": Nuisance("lips, lashes and lids: 0 none, 1 strong", 0, 1),
    "hair_tied": Nuisance("0 loose, 1 tied back in a bun", 0, 1),
    "hair_tousle": Nuisance("how the locks happen to lie", -2, 2),
    "glasses": Nuisance("drawn from 0.5 on", 0, 1),
    "glasses_width": Nuisance("of one rim, mm", 42, 56, 49),
    "glasses_height": Nuisance("of one rim, mm", 26, 46, 36),
    "glasses_roundness": Nuisance("0 rectangular, 1 round", 0, 1, 0.5),
    "glasses_thickness": Nuisance("of the frame, mm", 1.0, 4.5, 2),
    "glasses_shade": Nuisance("0 black, 1 light metal", 0, 1),
    "glasses_tint": Nuisance("0 clear lenses, 1 sunglasses", 0, 1),
    "mask": Nuisance("a medical mask is worn from 0.5 on", 0, 1),
    "occluder": Nuisance("something before the face, drawn from 0.5 on", 0, 1),
    "occluder_x": Nuisance("its center, px", 0, 112, 56),
    "occluder_y": Nuisance("its center, px", 0, 112, 100),
    "occluder_size": Nuisance("its half width, px", 6, 40, 18),
    "occluder_aspect": Nuisance("log₂ of height over width", -2, 2),
    "occluder_angle": Nuisance("degrees", -90, 90),
    "occluder_hue": Nuisance("0…1 around the colour circle", 0, 1),
    "occluder_lightness": Nuisance("0 black, 1 white", 0, 1, 0.5),
    "light_azimuth": Nuisance("degrees, from the right of the picture", -120, 120, -25),
    "light_elevation": Nuisance("degrees above the horizon", -40, 80, 35),
    "light_hardness": Nuisance("0 overcast, 1 a bare lamp", 0, 1, 0.4),
    "light_fill": Nuisance("share of light from all around", 0.15, 0.9, 0.5),
    "light_warmth": Nuisance("-1 blue, 1 orange", -1, 1),
    "light_rim": Nuisance("a second light from the other side and behind", 0, 1, 0.2),
    "background_x": Nuisance("where in the pattern", 0, 1, 0.3),
    "background_y": Nuisance("where in the pattern", 0, 1, 0.3),
    "background_scale": Nuisance("size of what is seen, octaves", -1, 1.5),
    "background_hue": Nuisance("0…1 around the colour circle", 0, 1, 0.6),
    "background_saturation": Nuisance("0 grey, 1 vivid", 0, 1, 0.2),
    "background_lightness": Nuisance("0 black, 1 white", 0, 1, 0.5),
    "background_contrast": Nuisance("0 a plain wall, 1 busy", 0, 1, 0.2),
    "background_blur": Nuisance("px", 0, 8, 3),
    "clothes_hue": Nuisance("0…1 around the colour circle", 0, 1, 0.6),
    "clothes_saturation": Nuisance("0 grey, 1 vivid", 0, 1, 0.3),
    "clothes_lightness": Nuisance("0 black, 1 white", 0, 1, 0.3),
    "distance": Nuisance("of the camera, mm", 400, 4000, 1200),
    "crop_x": Nuisance("error of the crop, px", -6, 6),
    "crop_y": Nuisance("error of the crop, px", -6, 6),
    "crop_scale": Nuisance("error of the crop, log", -0.15, 0.15),
    "crop_roll": Nuisance("error of the crop, degrees", -12, 12),
    "exposure": Nuisance("stops", -2, 2),
    "contrast": Nuisance("-1 flat, 1 hard", -1, 1),
    "saturation": Nuisance("-1 grey, 1 vivid", -1, 1),
    "white_balance": Nuisance("-1 blue, 1 orange", -1, 1),
    "tint": Nuisance("-1 green, 1 magenta", -1, 1),
    "blur": Nuisance("standard deviation, px", 0, 3),
    "motion": Nuisance("length of the motion's trail, px", 0, 10),
    "motion_angle": Nuisance("degrees", -90, 90),
    "noise": Nuisance("standard deviation, levels of 255", 0, 25, 2),
    "resolution": Nuisance("side of the picture before enlargement, px", 24, 112, 112),
    "jpeg": Nuisance("quality", 10, 100, 92),
}
NUISANCE_DIMENSIONS: tuple[str, ...] = tuple(NUISANCES)

_NUISANCE_INDEX = {name: k for k, name in enumerate(NUISANCE_DIMENSIONS)}
_IDENTITY_INDEX = {name: k for k, name in enumerate(IDENTITY_DIMENSIONS)}


def plain_nuisance(n: int = 1) -> NDArray[Any]:
    """(n, M): a frontal, neutral portrait of a person of thirty."""
    return np.tile([dimension.plain for dimension in NUISANCES.values()], (n, 1))


def nuisance_index(name: str) -> int:
    return _NUISANCE_INDEX[name]


def identity_index(name: str) -> int:
    return _IDENTITY_INDEX[name]


def check_identity(identity_ND: NDArray[Any]) -> NDArray[Any]:
    """The vectors as float64 (N, 64). Raises UsageError for another shape or numbers that are not finite."""
    return _checked(identity_ND, len(IDENTITY_DIMENSIONS), "identity")


def check_nuisance(nuisance_NM: NDArray[Any]) -> NDArray[Any]:
    """The vectors as float64 (N, M), clipped to their ranges. Raises UsageError as `check_identity`."""
    checked = _checked(nuisance_NM, len(NUISANCE_DIMENSIONS), "nuisance")
    limits = np.array([(dimension.low, dimension.high) for dimension in NUISANCES.values()])
    return np.clip(checked, limits[:, 0], limits[:, 1])


def _checked(vector: NDArray[Any], width: int, what: str) -> NDArray[Any]:
    array = np.asarray(vector, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != width:
        raise UsageError(f"The {what} vectors have shape {array.shape}, not (N, {width}).", "Give one row a picture.")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise UsageError(f"The {what} vector of row {bad[0]} holds NaN or infinity.", "Give finite numbers.")
    return array
