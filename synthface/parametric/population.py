"""Who there is, and how they are photographed: the distribution of identities and nuisances (ours).

A person is a number within a `crowd`, a name: crowds share nobody. Person k is the same whether 10 or 10,000 are asked
for, and so is picture j of person k; all is a function of (seed, crowd, person, picture). A person has habits (age,
glasses, beard, tied hair, make-up), from which the pictures depart; a `Scene` narrows what may be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from synthface.parametric.dimensions import IDENTITY_DIMENSIONS, NUISANCES, nuisance_index
from synthface.seeds import derive_seed, generator

Array = NDArray[np.float64]

LOOKS = "2"  # names the state of renderer and distribution: what was made under another one is made again
_HABITS = 16  # uniform numbers that a person keeps in all pictures
_DRAWS = 96  # uniform numbers a picture


@dataclass(frozen=True)
class Scene:
    """Which pictures of a person are taken; None leaves the wild distribution. Degrees and years, from and to."""

    yaw: tuple[float, float] | None = None
    turned: tuple[float, float] | None = None  # |yaw|, to either side
    pitch: tuple[float, float] | None = None
    age: tuple[float, float] | None = None


WILD = Scene()


def identities(seed: int, crowd: str, person_N: NDArray[np.integer]) -> Array:
    """(N, 64) standard normal rows for `render`."""
    width = len(IDENTITY_DIMENSIONS)
    rows = [generator(seed, "parametric", crowd, int(k)).standard_normal(width) for k in person_N]
    return np.array(rows).reshape(len(rows), width)


def nuisances(
    seed: int, crowd: str, person_N: NDArray[np.integer], picture_N: NDArray[np.integer], scene: Scene = WILD
) -> Array:
    """(N, M) rows for `render`: picture `picture_N[n]` of person `person_N[n]`."""
    habit_NH = _uniform(seed, ("habits", crowd), person_N, None, _HABITS)
    draw_ND = _uniform(seed, ("situation", crowd), person_N, picture_N, _DRAWS)
    return _situations(_Draws(habit_NH), _Draws(draw_ND), scene)


def sensor_seeds(
    seed: int, crowd: str, person_N: NDArray[np.integer], picture_N: NDArray[np.integer]
) -> NDArray[np.uint64]:
    """(N,) seeds of the sensor's noise."""
    pairs = zip(person_N.tolist(), picture_N.tolist(), strict=True)
    return np.array([derive_seed(seed, "sensor", crowd, k, j) for k, j in pairs], np.uint64)


class _Draws:
    """Columns of uniform numbers, taken one after the other, as the distributions that are needed."""

    def __init__(self, uniform_NK: Array) -> None:
        self._uniform_NK, self._next = uniform_NK, 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Array:
        self._next += 1
        return low + (high - low) * self._uniform_NK[:, self._next - 1]

    def normal(self, mean: Any = 0.0, deviation: Any = 1.0) -> Array:
        values: Array = mean + deviation * ndtri(self.uniform(1e-6, 1 - 1e-6))
        return values

    def chance(self, share: Any) -> NDArray[np.bool_]:
        return self.uniform() < share


def _uniform(
    seed: int,
    path: tuple[str, ...],
    person_N: NDArray[np.integer],
    picture_N: NDArray[np.integer] | None,
    width: int,
) -> Array:
    ends = (
        [(int(k),) for k in person_N]
        if picture_N is None
        else list(zip(person_N.tolist(), picture_N.tolist(), strict=True))
    )
    known: dict[tuple[int, ...], Array] = {}
    for end in ends:
        if end not in known:
            known[end] = generator(seed, "parametric", *path, *end).random(width)
    return np.array([known[end] for end in ends]).reshape(len(ends), width)


def _situations(habit: _Draws, draw: _Draws, scene: Scene) -> Array:
    values: dict[str, Any] = {}
    values.update(_pose(draw, scene))
    values.update(_expression(draw))
    values.update(_age_and_grooming(habit, draw, scene))
    values.update(_glasses(habit, draw))
    values.update(_cover(draw))
    values.update(_light(draw))
    values.update(_surroundings(draw))
    values.update(_camera(draw))
    count = len(values["yaw"])
    nuisance_NM = np.tile([dimension.plain for dimension in NUISANCES.values()], (count, 1))
    for name, value in values.items():
        limits = NUISANCES[name]
        nuisance_NM[:, nuisance_index(name)] = np.clip(value, limits.low, limits.high)
    return nuisance_NM


def _pose(draw: _Draws, scene: Scene) -> dict[str, Array]:
    """Half of the pictures look at the camera, half are taken as people happen to stand."""
    posing = draw.chance(0.5)
    yaw = draw.normal(0, np.where(posing, 12, 34))
    side, share = np.where(draw.chance(0.5), 1.0, -1.0), draw.uniform()
    if scene.yaw is not None:
        yaw = scene.yaw[0] + (scene.yaw[1] - scene.yaw[0]) * share
    if scene.turned is not None:
        yaw = side * (scene.turned[0] + (scene.turned[1] - scene.turned[0]) * share)
    pitch = draw.normal(0, np.where(posing, 5, 11))
    if scene.pitch is not None:
        pitch = np.clip(pitch, *scene.pitch)
    return {
        "yaw": yaw,
        "pitch": pitch,
        "roll": draw.normal(0, 7),
        "crop_x": draw.normal(0, 0.9),
        "crop_y": draw.normal(0, 0.9),
        "crop_scale": draw.normal(0, 0.025),
        "crop_roll": draw.normal(0, 1.8),
        "distance": np.exp(draw.normal(np.log(1300), 0.4)),
    }


def _expression(draw: _Draws) -> dict[str, Array]:
    smiling = draw.chance(0.5)
    smile = np.where(smiling, draw.uniform(0.3, 1.0), draw.uniform(0, 0.2))
    talking = draw.chance(0.22)
    return {
        "smile": smile,
        "jaw_open": np.where(talking, draw.uniform(0.1, 0.7), draw.uniform(0, 0.05)),
        "lips_parted": np.clip(0.7 * smile * draw.chance(0.6) + talking * draw.uniform(0, 0.6), 0, 1),
        "pucker": draw.uniform(0.2, 1.0) * draw.chance(0.06),
        "sadness": draw.uniform(0.1, 0.8) * draw.chance(0.12) * (~smiling),
        "brow_raise": draw.normal(0.05, 0.35),
        "frown": draw.uniform(0.2, 1.0) * draw.chance(0.15),
        "blink": np.where(draw.chance(0.04), draw.uniform(0.6, 1.0), draw.uniform(0, 0.15)),
        "gaze_x": draw.normal(0, 7),
        "gaze_y": draw.normal(0, 4),
    }


def _age_and_grooming(habit: _Draws, draw: _Draws, scene: Scene) -> dict[str, Array]:
    """Most pictures of a person come from a few years of life; a quarter from any time of it."""
    usual = 18 + 48 * habit.uniform() ** 1.6
    age = np.where(draw.chance(0.25), draw.uniform(17, 76), usual + draw.normal(0, 5))
    share = draw.uniform()
    if scene.age is not None:
        age = scene.age[0] + (scene.age[1] - scene.age[0]) * share
    bearded, beard = habit.chance(0.45), habit.uniform(0.3, 1.0)
    grown = np.where(draw.chance(np.where(bearded, 0.85, 0.1)), np.clip(beard + draw.normal(0, 0.12), 0, 1), 0)
    stubble = draw.uniform(0, 0.25)
    made_up = habit.uniform() ** 2
    tied = draw.chance(0.6 * habit.uniform() ** 3)
    return {
        "age": age,
        "beard_growth": np.maximum(grown, stubble),
        "makeup": np.clip(made_up * draw.uniform(0.2, 1.4), 0, 1),
        "hair_tied": tied.astype(float),
        "hair_tousle": draw.normal(0, 0.8),
    }


def _glasses(habit: _Draws, draw: _Draws) -> dict[str, Array]:
    """A quarter of the people wear theirs in most pictures."""
    wears = draw.chance(np.where(habit.chance(0.25), 0.7, 0.03))
    sun = draw.chance(0.08)
    return {
        "glasses": wears.astype(float),
        "glasses_width": habit.uniform(44, 55) + draw.normal(0, 0.5),
        "glasses_height": habit.uniform(28, 44) + draw.normal(0, 0.5),
        "glasses_roundness": habit.uniform() + draw.normal(0, 0.03),
        "glasses_thickness": 1.1 + 2.6 * habit.uniform() ** 2 + draw.normal(0, 0.1),
        "glasses_shade": habit.uniform() ** 2,
        "glasses_tint": np.where(sun, draw.uniform(0.6, 1.0), draw.uniform(0, 0.06)),
    }


def _cover(draw: _Draws) -> dict[str, Array]:
    return {
        "mask": draw.chance(0.012).astype(float),
        "occluder": draw.chance(0.03).astype(float),
        "occluder_x": draw.uniform(0, 112),
        "occluder_y": draw.uniform(45, 112),
        "occluder_size": draw.uniform(6, 22),
        "occluder_aspect": draw.normal(0, 0.8),
        "occluder_angle": draw.uniform(-90, 90),
        "occluder_hue": draw.uniform(),
        "occluder_lightness": draw.uniform(),
    }


def _light(draw: _Draws) -> dict[str, Array]:
    return {
        "light_azimuth": draw.normal(0, 48),
        "light_elevation": draw.normal(34, 18),
        "light_hardness": draw.uniform() ** 1.4,
        "light_fill": 0.28 + 0.55 * draw.uniform(),
        "light_warmth": draw.normal(0.05, 0.35),
        "light_rim": draw.uniform() ** 2,
    }


def _surroundings(draw: _Draws) -> dict[str, Array]:
    return {
        "background_x": draw.uniform(),
        "background_y": draw.uniform(),
        "background_scale": draw.uniform(-1, 1.5),
        "background_hue": draw.uniform(),
        "background_saturation": 0.55 * draw.uniform() ** 2.2,
        "background_lightness": draw.uniform(0.05, 0.95),
        "background_contrast": draw.uniform(0, 0.9),
        "background_blur": draw.uniform(0.5, 6),
        "clothes_hue": draw.uniform(),
        "clothes_saturation": draw.uniform() ** 1.6,
        "clothes_lightness": draw.uniform(0.03, 0.95),
    }


def _camera(draw: _Draws) -> dict[str, Array]:
    """One picture in eight is of poor quality."""
    poor = draw.chance(0.125)
    return {
        "exposure": draw.normal(0, 0.28),
        "contrast": draw.normal(0, 0.28),
        "saturation": np.where(draw.chance(0.05), -1.0, draw.normal(0, 0.2)),
        "white_balance": draw.normal(0, 0.22),
        "tint": draw.normal(0, 0.15),
        "blur": np.abs(draw.normal(0, np.where(poor, 0.8, 0.3))),
        "motion": np.where(poor & draw.chance(0.25), draw.uniform(1, 5), 0),
        "motion_angle": draw.uniform(-90, 90),
        "noise": np.where(poor, draw.uniform(2, 9), draw.uniform(0.5, 3)),
        "resolution": np.where(poor & draw.chance(0.5), draw.uniform(44, 112), 112),
        "jpeg": np.where(poor, draw.uniform(40, 90), draw.uniform(85, 98)),
    }
