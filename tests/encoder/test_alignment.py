"""The aligned crop: insightface's, to the pixel."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from encoder_samples import crop
from hypothesis import given, settings
from hypothesis import strategies as st

from synthface.encoder import align


def landmarks(seed: int) -> np.ndarray:
    """The template turned, scaled, moved and disturbed."""
    rng = np.random.default_rng(seed)
    angle, scale = rng.uniform(-1, 1), rng.uniform(0.4, 3)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = align.TEMPLATE_52 @ turn.T + rng.uniform(0, 100, 2) + rng.normal(0, 3, (5, 2))
    return points.astype(np.float32)


@pytest.mark.parametrize("size", [112, 128, 224, 256])
def test_crops_equal_insightfaces(size: int) -> None:
    from insightface.utils import face_align

    image = crop(1, 300)
    for seed in range(5):
        points = landmarks(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = face_align.norm_crop(image, points, size)
        np.testing.assert_array_equal(align.norm_crop(image, points, size), expected)


@settings(max_examples=50, deadline=None)
@given(st.floats(-3, 3), st.floats(0.2, 5), st.floats(-100, 100), st.floats(-100, 100))
def test_a_moved_template_is_moved_back(angle: float, scale: float, right: float, down: float) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = align.TEMPLATE_52 @ turn.T + [right, down]
    matrix = align.similarity_transform(moved)
    np.testing.assert_allclose(moved @ matrix[:, :2].T + matrix[:, 2], align.TEMPLATE_52, atol=0.02)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    matrix = align.similarity_transform(align.TEMPLATE_52 * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0


def test_crops_take_the_size_that_is_asked_for() -> None:
    image = crop(2)
    assert align.resized(image, 112) is image
    assert align.resized(image, 64).shape == (64, 64, 3)
    assert abs(int(align.resized(image, 224).mean()) - int(image.mean())) <= 1
