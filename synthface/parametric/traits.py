"""From 64 Gaussian numbers to what a person looks like: bounded, correlated as in people, and smooth throughout (ours)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.parametric.dimensions import APPEARANCE_DIMENSIONS, SHAPE_DIMENSIONS

_SHAPE_INDEX = {name: k for k, name in enumerate(SHAPE_DIMENSIONS)}
_LIMIT = 2.2  # standard deviations: tails are bent here, so that nobody is a caricature

# Mean difference of the shape dimensions between a man and a woman, half of it, in standard deviations.
_DIMORPHISM = {
    "brow_ridge": 1.1,
    "jaw_width": 0.65,
    "jaw_angle": 0.7,
    "chin_width": 0.6,
    "chin_length": 0.5,
    "chin_projection": 0.3,
    "face_length": 0.35,
    "nose_width": 0.55,
    "nose_length": 0.5,
    "bridge_width": 0.4,
    "bridge_height": 0.25,
    "nose_hump": 0.4,
    "nose_bulb": 0.4,
    "head_width": 0.35,
    "mouth_width": 0.3,
    "forehead_slope": 0.5,
    "ear_size": 0.4,
    "eye_size": -1.0,
    "eye_depth": -0.5,
    "brow_height": -1.0,
    "brow_tilt": -0.3,
    "upper_lip": -0.7,
    "lower_lip": -0.65,
    "cheek_fullness": -0.2,
    "cheek_hollow": 0.35,
    "tip_rotation": -0.6,
    "eye_tilt": -0.35,
}
# Of darker skin against lighter, in standard deviations from one end to the other: populations overlap widely.
_WITH_SKIN = {"nose_width": 0.9, "upper_lip": 0.8, "lower_lip": 0.7, "bridge_height": -0.5, "lip_projection": 0.7}


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def quantile(x: float) -> float:
    """Standard normal → 0…1, uniformly."""
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def softplus(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


@dataclass(frozen=True)
class Traits:
    """A person. `shape` weighs the shape basis; the rest runs 0…1 unless said otherwise."""

    shape: NDArray[Any]  # (40,), the last two for the ears
    male: float
    tone: float  # 0 lightest skin, 1 darkest
    warmth: float
    redness: float
    freckles: float
    moles: tuple[float, float]  # standard normal
    texture: tuple[float, float]  # standard normal: which of the mottlings
    iris: float  # 0 dark brown … 1 light blue
    crease: float  # 0 monolid, 1 high
    hood: float
    brow_thickness: float
    brow_arch: float
    lip_colour: float
    hair_darkness: float  # 0 light blond, 1 black
    hair_redness: float
    hair_length: float  # mm hanging from the temple's height
    hair_volume: float
    hair_curl: float
    hair_part: float  # −1…1, side of the parting
    hair_fringe: float
    hair_tuck: float  # 0 before the ears, 1 behind them
    hairline: float  # mm
    beard: float  # how thick it can grow
    beard_style: float  # 0 moustache and chin, 1 all
    ageing: float  # standard normal: looks older than the years


def traits(identity_D: NDArray[Any]) -> Traits:
    """The person of an identity vector (64,)."""
    shape = identity_D[: len(SHAPE_DIMENSIONS)].copy()
    z = dict(zip(APPEARANCE_DIMENSIONS, identity_D[len(SHAPE_DIMENSIONS) :].tolist(), strict=True))
    male = sigmoid(2.8 * z["sex"])
    tone = quantile(z["skin_tone"]) ** 1.25
    for name, difference in _DIMORPHISM.items():
        shape[_SHAPE_INDEX[name]] += difference * (2 * male - 1)
    for name, difference in _WITH_SKIN.items():
        shape[_SHAPE_INDEX[name]] += difference * (tone - 0.4)
    shape = _LIMIT * np.tanh(shape / _LIMIT)

    light = (1 - tone) ** 1.5  # how far light eyes and hair are possible
    darkness = 1 - quantile(z["hair_colour"] - 0.2) * light
    length = 8 + 150 * sigmoid(1.5 * z["hair_length"] + 1.6 - 5.2 * male)
    curl = sigmoid(2.2 * (z["hair_curl"] + 2.2 * (tone - 0.62)))
    return Traits(
        shape=shape.astype(np.float32),
        male=male,
        tone=tone,
        warmth=quantile(z["skin_warmth"]),
        redness=quantile(z["skin_redness"]),
        freckles=softplus(3 * (z["freckles"] - 0.9)) / 3 * light,
        moles=(z["moles_a"], z["moles_b"]),
        texture=(math.sin(1.7 * z["moles_a"] + z["freckles"]), math.sin(1.7 * z["moles_b"] + z["skin_redness"])),
        iris=quantile(z["iris_colour"]) * (0.15 + 0.85 * light) * (1 - 0.45 * darkness * tone),
        crease=sigmoid(1.6 * z["lid_crease"] + 1.1),
        hood=quantile(z["lid_hood"]),
        brow_thickness=quantile(z["brow_thickness"]),
        brow_arch=quantile(z["brow_arch"] - 0.8 * (2 * male - 1)),
        lip_colour=quantile(z["lip_colour"] - 0.5 * (2 * male - 1)),
        hair_darkness=darkness,
        hair_redness=sigmoid(2.5 * (z["hair_redness"] - 1.3)) * light,
        hair_length=length,
        hair_volume=quantile(z["hair_volume"]),
        hair_curl=curl,
        hair_part=math.tanh(1.5 * z["hair_part"]),
        hair_fringe=sigmoid(1.9 * (z["hair_fringe"] - 0.75)),
        hair_tuck=quantile(-0.7 * (z["hair_fringe"] + z["hair_volume"])),
        hairline=7.0 * math.tanh(z["hairline"] / 1.5),
        beard=male**2 * quantile(z["beard"] + 0.3),
        beard_style=sigmoid(1.8 * z["beard_style"] + 0.8),
        ageing=z["ageing"],
    )
