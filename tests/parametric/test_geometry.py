"""That the truth is true: landmarks, pose, crop and mirror symmetry, checked against what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from face_samples import difference, draw, people, pictures, situations

from synthface.parametric import IDENTITY_DIMENSIONS, NUISANCE_DIMENSIONS, body
from synthface.parametric.camera import TEMPLATE_52, aim, rotation, similarity

YAWS = np.array([-45.0, -20.0, 0.0, 20.0, 45.0])


def _centroid(change_HW: np.ndarray, around: np.ndarray, reach: float) -> np.ndarray:
    """Center (x, y) of the changes within `reach` px of a point."""
    row, column = np.mgrid[0:112, 0:112] + 0.5
    weight = change_HW * (np.hypot(column - around[0], row - around[1]) < reach)
    return np.array([(weight * column).sum(), (weight * row).sum()]) / weight.sum()


def test_the_pupils_are_where_the_landmarks_say() -> None:
    """The colour of the irises changes nothing but the irises."""
    who = people(5, 2, skin_tone=-1.2, lid_hood=-1, hair_fringe=-2)
    dark, light = who.copy(), who.copy()
    dark[:, IDENTITY_DIMENSIONS.index("iris_colour")], light[:, IDENTITY_DIMENSIONS.index("iris_colour")] = -3, 3
    portraits = situations(5, yaw=YAWS, brow_raise=0.5)
    change = np.abs(pictures(dark, portraits) - pictures(light, portraits)).sum(axis=3)
    landmarks = draw(dark, portraits).landmarks_N52
    for k in range(5):
        for eye in (0, 1):
            found = _centroid(change[k], landmarks[k, eye], 7)
            assert np.hypot(*(found - landmarks[k, eye])) < 2.0, (YAWS[k], eye)


def test_the_mouth_lies_between_its_corners() -> None:
    """Parting the lips moves nothing but the lips."""
    who, shut, parted = people(5, 4, beard=-3), situations(5, yaw=YAWS), situations(5, yaw=YAWS, lips_parted=1.0)
    change = np.abs(pictures(who, shut) - pictures(who, parted)).sum(axis=3)
    landmarks = draw(who, shut).landmarks_N52
    for k in range(5):
        left, right = landmarks[k, 3], landmarks[k, 4]
        columns = np.flatnonzero(change[k].max(axis=0) > 60)
        assert columns.min() > left[0] - 3.5
        assert columns.max() < right[0] + 3.5
        row = _centroid(change[k], (left + right) / 2, 18)[1]
        assert abs(row - (left[1] + right[1]) / 2) < 4.0


@pytest.mark.parametrize("side", [-1, 1])
def test_in_profile_the_tip_of_the_nose_is_on_the_outline(side: int) -> None:
    """What does not change with the background's brightness is the person."""
    who = people(4, 6, hair_length=-2, hair_volume=-2)
    dark, light = (situations(4, yaw=70.0 * side, background_lightness=v, background_contrast=0) for v in (0.1, 0.9))
    person = np.abs(pictures(who, dark) - pictures(who, light)).sum(axis=3) < 12
    landmarks = draw(who, dark).landmarks_N52
    for k in range(4):
        x, y = landmarks[k, 2]
        row = np.flatnonzero(person[k, round(float(y) - 0.5)])
        outline = row.max() + 1 if side > 0 else row.min()
        assert abs(outline - x) < 2.5


def test_landmarks_are_the_heads_points_through_rotation_perspective_and_crop() -> None:
    """Computed again from the definitions: turn about the pivot, divide by the distance, fit to the template."""
    model = body.neutral(_average())
    yaw, pitch, roll, distance = 33.0, -12.0, 9.0, 900.0
    made = aim(model.landmarks, (yaw, pitch, roll), distance, (0, 0, 0, 0))
    pivot = np.array([0.0, -60.0, -85.0])
    turned = (model.landmarks - pivot) @ rotation(yaw, pitch, roll).T
    plane = turned[:, :2] * [1, -1] * (distance / (distance - turned[:, 2]))[:, None]
    fitted = plane @ similarity(plane, TEMPLATE_52)[:, :2].T + similarity(plane, TEMPLATE_52)[:, 2]
    np.testing.assert_allclose(made.project(made.turn(model.landmarks))[:, :2], fitted, atol=0.02)


def _average():  # type: ignore[no-untyped-def]
    from synthface.parametric.traits import traits

    return traits(np.zeros(64))


def test_rotation_turns_right_looks_up_and_tilts_clockwise() -> None:
    ahead, up = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
    assert (rotation(30, 0, 0) @ ahead)[0] == pytest.approx(0.5)
    assert (rotation(0, 30, 0) @ ahead)[1] == pytest.approx(0.5)
    assert (rotation(0, 0, 30) @ up)[0] == pytest.approx(0.5)
    np.testing.assert_allclose(rotation(20, 30, 40) @ rotation(20, 30, 40).T, np.eye(3), atol=1e-12)


def test_frontal_faces_lie_on_the_template() -> None:
    landmarks = draw(people(12, 8), situations(12)).landmarks_N52
    assert np.sqrt(((landmarks - TEMPLATE_52) ** 2).sum(axis=2).mean()) < 3.0


def test_the_nose_goes_where_the_face_turns() -> None:
    who = people(1, 9).repeat(4, axis=0)
    landmarks = draw(who, situations(4, yaw=[40, -40, 0, 0], pitch=[0, 0, 25, -25])).landmarks_N52
    nose = landmarks[:, 2] - landmarks[:, :2].mean(axis=1)
    assert nose[0, 0] > 8
    assert nose[1, 0] < -8
    assert nose[2, 1] < nose[3, 1] - 8  # looking up lifts the tip


def test_the_crops_error_moves_and_turns_the_landmarks() -> None:
    who = people(1, 9).repeat(4, axis=0)
    error = situations(4, crop_x=[0, 3, 0, 0], crop_scale=[0, 0, 0.1, 0], crop_roll=[0, 0, 0, 10])
    straight, right, larger, tilted = draw(who, error).landmarks_N52
    np.testing.assert_allclose(right - straight, np.tile([3.0, 0.0], (5, 1)), atol=1e-3)
    np.testing.assert_allclose((larger - 56), (straight - 56) * np.exp(0.1), atol=1e-2)
    eyes = tilted[1] - tilted[0]
    assert np.degrees(np.arctan2(eyes[1], eyes[0])) == pytest.approx(
        10 + np.degrees(np.arctan2(*(straight[1] - straight[0])[::-1])), abs=0.1
    )


MIRRORED_TRAITS = ("asymmetry_upper", "asymmetry_lower", "hair_part")
MIRRORED_SITUATION = ("yaw", "roll", "gaze_x", "light_azimuth")


def test_a_mirrored_person_in_a_mirrored_situation_gives_the_mirrored_picture() -> None:
    """Up to the mottling of the skin and single locks, which have no mirror image."""
    random = np.random.default_rng(4)
    who = people(6, 4, moles_a=0.1, moles_b=0.1)
    here = situations(
        6,
        background_contrast=0,
        yaw=random.uniform(15, 60, 6),
        pitch=random.uniform(-15, 15, 6),
        roll=random.uniform(-15, 15, 6),
        gaze_x=random.uniform(-15, 15, 6),
        light_azimuth=random.uniform(-90, 90, 6),
        smile=random.random(6),
    )
    other, there = who.copy(), here.copy()
    other[:, [IDENTITY_DIMENSIONS.index(name) for name in MIRRORED_TRAITS]] *= -1
    there[:, [NUISANCE_DIMENSIONS.index(name) for name in MIRRORED_SITUATION]] *= -1
    first, second = draw(who, here), draw(other, there)
    straight, turned = first.image_NHWC.astype(float), second.image_NHWC.astype(float)
    assert difference(straight, turned[:, :, ::-1]).max() < 7
    assert (difference(straight, turned[:, :, ::-1]) < difference(straight, turned) / 4).all()
    swapped = second.landmarks_N52[:, [1, 0, 2, 4, 3]] * [-1, 1] + [112, 0]
    np.testing.assert_allclose(swapped, first.landmarks_N52, atol=0.6)
