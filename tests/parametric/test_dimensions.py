"""The two vectors: names, ranges, and that every number in them acts, smoothly and by itself."""

from __future__ import annotations

import numpy as np
import pytest
from face_samples import difference, people, pictures, situations

from synthface.parametric import IDENTITY_DIMENSIONS, NUISANCE_DIMENSIONS, plain_nuisance
from synthface.parametric.dimensions import APPEARANCES, NUISANCES, SHAPES
from synthface.parametric.shape import names

STEP = 0.02  # standard deviations


def test_identity_is_forty_numbers_of_shape_and_twenty_four_of_appearance() -> None:
    assert (len(SHAPES), len(APPEARANCES)) == (40, 24)
    assert (*SHAPES, *APPEARANCES) == IDENTITY_DIMENSIONS
    assert len(set(IDENTITY_DIMENSIONS)) == 64


def test_the_shape_basis_has_the_dimensions_in_their_order() -> None:
    assert names() == IDENTITY_DIMENSIONS[: len(names())]
    assert IDENTITY_DIMENSIONS[len(names()) : 40] == ("ear_size", "ear_flare")


def test_a_plain_portrait_lies_within_all_ranges() -> None:
    plain = plain_nuisance(2)
    assert plain.shape == (2, len(NUISANCE_DIMENSIONS))
    for name, value in zip(NUISANCE_DIMENSIONS, plain[0], strict=True):
        assert NUISANCES[name].low <= value <= NUISANCES[name].high


def test_every_dimension_says_what_it_means() -> None:
    assert all((*SHAPES.values(), *APPEARANCES.values()))
    assert all(dimension.meaning for dimension in NUISANCES.values())


def _varied(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (64, …) of one bearded, fair man of 45, each with another dimension at `low` and at `high`."""
    someone = people(1, 3, sex=1.2, skin_tone=-0.9, hair_length=-1.0, beard=0.5, freckles=1.0, iris_colour=0.3)
    rows = someone.repeat(64, axis=0)
    ends = []
    for value in (low, high):
        moved = rows.copy()
        np.fill_diagonal(moved, value)
        ends.append(pictures(moved, situations(64, age=45, beard_growth=0.8, yaw=8)))
    return ends[0], ends[1]


def test_every_identity_dimension_changes_the_picture() -> None:
    low, high = _varied(-2.0, 2.0)
    strongest = np.abs(low - high).max(axis=(1, 2, 3))
    assert {name for name, level in zip(IDENTITY_DIMENSIONS, strongest, strict=True) if level < 8} == set()


@pytest.mark.parametrize("place", [-0.9, 0.35])
def test_a_small_step_along_any_identity_dimension_is_a_small_change_of_the_picture(place: float) -> None:
    here, there = _varied(place, place + STEP)
    change = difference(here, there)
    assert {name for name, level in zip(IDENTITY_DIMENSIONS, change, strict=True) if level > 1.2} == set()


# Where a number has nothing to act on in a plain portrait, what must be there for it.
NEEDS: dict[str, dict[str, float]] = {
    "hair_tied": {"hair_tousle": 0.5},
    "occluder_hue": {"occluder_lightness": 0.6},
    "background_hue": {"background_saturation": 0.8},
    "background_x": {"background_contrast": 1.0},
    "background_y": {"background_contrast": 1.0},
    "background_scale": {"background_contrast": 1.0},
    "background_blur": {"background_contrast": 1.0},
    "clothes_hue": {"clothes_saturation": 1.0, "pitch": -30.0},
    "clothes_saturation": {"clothes_lightness": 0.7, "pitch": -30.0},
    "clothes_lightness": {"pitch": -30.0},
    "motion_angle": {"motion": 8.0},
    "light_azimuth": {"light_fill": 0.2},
    "light_hardness": {"light_fill": 0.2, "light_azimuth": 60.0},
    "light_warmth": {"light_fill": 0.2},
}


def test_every_nuisance_changes_the_picture() -> None:
    woman = {"makeup", "hair_tied", "hair_tousle"}
    low, high, someone = [], [], []
    for name, dimension in NUISANCES.items():
        needed: dict[str, float] = {"crop_scale": -0.15, "pitch": -8.0} | NEEDS.get(name, {})
        for thing in ("glasses", "occluder"):
            if name.startswith(f"{thing}_"):
                needed[thing] = 1.0
        low.append(situations(1, **needed | {name: dimension.low}))
        other = dimension.low + 0.63 * (dimension.high - dimension.low)  # hues and angles come round at the end
        high.append(situations(1, **needed | {name: other}))
        looks = {"sex": -1.5, "hair_length": 1.0} if name in woman else {"sex": 1.5, "beard": 1.0}
        someone.append(people(1, 5, skin_tone=-0.5, **looks))
    who = np.concatenate(someone)
    change = difference(pictures(who, np.concatenate(low)), pictures(who, np.concatenate(high)))
    assert {name for name, level in zip(NUISANCE_DIMENSIONS, change, strict=True) if level < 0.1} == set()


def test_makeup_is_not_for_men() -> None:
    plain, made_up = situations(2), situations(2, makeup=1.0)
    who = people(2, 7, skin_tone=-0.5)
    who[:, IDENTITY_DIMENSIONS.index("sex")] = (-2.0, 2.0)
    woman, man = difference(pictures(who, plain), pictures(who, made_up))
    assert woman > 4 * man


def test_a_beard_is_not_for_women() -> None:
    who = people(2, 7, beard=1.0)
    who[:, IDENTITY_DIMENSIONS.index("sex")] = (-2.0, 2.0)
    shaven, grown = situations(2, beard_growth=0.0), situations(2, beard_growth=1.0)
    woman, man = difference(pictures(who, shaven), pictures(who, grown))
    assert woman < 0.2
    assert man > 2


def test_hair_keeps_its_colour_until_the_late_forties_and_is_grey_at_eighty() -> None:
    from synthface.parametric.hair import colour
    from synthface.parametric.traits import traits

    average = traits(np.zeros(64))
    assert colour(average, 45.0)[1] < 0.05
    assert colour(average, 60.0)[1] < 0.5
    assert colour(average, 80.0)[1] > 0.75


def test_pictures_of_one_person_differ_less_than_pictures_of_many() -> None:
    random = np.random.default_rng(1)
    same, others = people(1, 11).repeat(8, axis=0), people(8, 12)
    mood = situations(8, smile=random.random(8), gaze_x=random.uniform(-8, 8, 8), yaw=random.normal(0, 4, 8))
    of_one, of_many = pictures(same, mood), pictures(others, mood)
    assert difference(of_one[:-1], of_one[1:]).max() < difference(of_many[:-1], of_many[1:]).min()
