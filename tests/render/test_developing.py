"""From a drawn picture to the crop and the points in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from synthface.encoder import align
from synthface.encoder.faces import Face
from synthface.recipe.pictures import CropRecipe
from synthface.render.develop import Developer, Drawn
from synthface.render.networks import Networks
from synthface.render.sitting import Want

TURN = np.deg2rad(20)
# the template, turned, three times as large, and moved into a picture of 512 pixels
LANDMARK_52 = (
    3 * align.TEMPLATE_52 @ [[np.cos(TURN), np.sin(TURN)], [-np.sin(TURN), np.cos(TURN)]] + [120, 40]
).astype(np.float32)
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 512, 512, 3), dtype=np.uint8)


def developer(faces: Sequence[Face | None] | None, **crop: Any) -> Developer:
    finder: Any = None if faces is None else lambda images: list(faces)[: len(images)]
    networks = Networks("cpu", "cpu", "none", "none", 4, None, {}, None, None, finder)  # type: ignore[arg-type]
    return Developer(networks, CropRecipe(**crop))


def face(landmark_52: np.ndarray) -> Face:
    return Face(np.zeros(4, np.float32), landmark_52, 0.75, 0.0, 1)


def drawn() -> list[Drawn]:
    return [Drawn(Want(0, image, 0), picture) for image, picture in enumerate(PICTURES)]


def test_a_found_face_is_cropped_as_norm_crop_does_and_its_points_lie_on_the_template() -> None:
    shots = developer([face(LANDMARK_52), None, face(LANDMARK_52)], align="detect")(drawn())
    assert [shot.want.image for shot in shots] == [0, 1, 2]
    for shot, picture in ((shots[0], PICTURES[0]), (shots[2], PICTURES[2])):
        assert shot.crop_HWC is not None
        assert np.array_equal(shot.crop_HWC, align.norm_crop(picture, LANDMARK_52))
        assert shot.landmark_52 == pytest.approx(align.TEMPLATE_52, abs=1e-3)
        assert shot.pose is not None
        assert abs(shot.pose.roll) < 1
        assert shot.detection_score == 0.75
        assert shot.sharpness is not None
        assert shot.sharpness > 0


def test_where_no_face_is_found_there_is_no_crop_and_nothing_is_known() -> None:
    shot = developer([None] * 3, align="detect")(drawn())[1]
    assert shot.crop_HWC is shot.landmark_52 is shot.pose is shot.detection_score is shot.sharpness is None


def test_an_aligned_picture_is_only_resized_and_points_are_those_of_the_crop() -> None:
    shot = developer([face(align.TEMPLATE_52 * np.float32(512 / 112))] * 3, align="none", size=112)(drawn())[0]
    assert shot.crop_HWC is not None
    assert shot.crop_HWC.shape == (112, 112, 3)
    assert shot.landmark_52 == pytest.approx(align.TEMPLATE_52, abs=1e-3)
    without = developer(None, align="none", size=112)(drawn())[0]
    assert without.landmark_52 is without.pose is without.detection_score is None
    assert np.array_equal(without.crop_HWC, shot.crop_HWC)
