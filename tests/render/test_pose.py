"""Angles and sharpness against faces whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthface.encoder import pose
from synthface.parametric.camera import rotation
from synthface.parametric.studio import Shoot, take

angle = st.floats(-60, 60)


@given(angle, angle, angle, st.floats(0.3, 30), st.floats(-500, 500))
def test_the_pose_of_the_average_face_seen_from_far_away_is_exact(
    yaw: float, pitch: float, roll: float, scale: float, shift: float
) -> None:
    room_53 = pose._FACE_53 * [1, -1, -1]  # y up, z towards the viewer, as the parametric camera has it
    turned_53 = room_53 @ rotation(yaw, pitch, roll).T
    seen_52 = scale * turned_53[:, :2] * [1, -1] + shift
    assert pose.estimate(seen_52) == pytest.approx((yaw, pitch, roll), abs=1e-3)


def test_on_computed_faces_yaw_and_pitch_are_near_the_truth() -> None:
    shots = take(Shoot(0, "train", np.arange(24), np.zeros(24, np.int64)))
    truth = np.array([shot.pose[:2] for shot in shots])
    found = np.array([pose.estimate(shot.landmarks)[:2] for shot in shots])
    error = np.abs(found - truth)[np.abs(truth[:, 0]) < 60]
    assert error[:, 0].mean() < 3
    assert error[:, 1].mean() < 8
    assert np.corrcoef(found[:, 0], truth[:, 0])[0, 1] > 0.98


def test_blur_takes_sharpness_away() -> None:
    crop_HWC = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    values = [pose.sharpness(cv2.GaussianBlur(crop_HWC, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert pose.sharpness(np.full((112, 112, 3), 90, np.uint8)) == 0
