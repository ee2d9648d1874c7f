"""Proxies of light, sharpness, skin tone, expression."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from report_samples import crop

from synthface.dataset import manifest
from synthface.report import looks


def painted(lightness: float, a: float, b: float) -> np.ndarray:
    """A crop of one CIELAB colour."""
    lab = np.full((112, 112, 3), (lightness, a, b), np.float32)
    return (cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255).round().astype(np.uint8)


@pytest.mark.parametrize(("lightness", "b"), [(70, 18), (50, 15), (35, 12)])
def test_the_typology_angle_is_that_of_the_cheeks_colour(lightness: float, b: float) -> None:
    image = painted(lightness, 12, b)
    image[:60] = (0, 255, 0)  # forehead and eyes do not count
    expected = np.degrees(np.arctan((lightness - 50) / b))
    assert looks.typology_angle(image) == pytest.approx(expected, abs=1.5)


def test_a_grey_picture_has_no_skin_tone() -> None:
    grey = np.repeat(crop(1, 0).mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    assert np.isnan(looks.look(grey).tone)
    assert looks.look(grey).luminance == pytest.approx(grey.mean(), abs=0.6)


def test_a_blurred_picture_is_less_sharp() -> None:
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    assert looks.look(cv2.GaussianBlur(image, (0, 0), 2)).sharpness < looks.look(image).sharpness / 20


def test_a_picture_that_cannot_be_read_is_unknown_and_stops_nothing() -> None:
    columns = looks.look_at(lambda rows: [None if row == 1 else crop(row, 0) for row in rows], np.arange(3))
    assert np.isnan(columns["luminance"]).tolist() == [False, True, False]


def test_pose_and_mouth_come_from_the_manifest_and_are_unknown_where_it_has_none() -> None:
    points = [[[30, 50], [70, 50], [50, 70], [35, 90], [65, 90]], None]
    table = manifest.table(
        {"key": [1, 2], "label": [0, 0], "identity": [0, 0], "index": [0, 1], "crc32": [0, 0], "bytes": [1, 1],
         "landmarks": points, "yaw": [12.5, None]}
    )  # fmt: skip
    found = looks.from_manifest(table)
    np.testing.assert_allclose(found["mouth"], [0.75, np.nan])
    np.testing.assert_allclose(found["yaw"], [12.5, np.nan])
    assert np.isnan(found["roll"]).all()
