"""The geometry of unit embeddings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthface.errors import InputError
from synthface.identity import sphere


def direction(seed: int, dimension: int = 64) -> np.ndarray:
    return sphere.normalize(np.random.default_rng(seed).standard_normal(dimension))


def test_the_average_of_one_person_is_nearer_to_each_photograph_than_they_are_to_each_other() -> None:
    rng = np.random.default_rng(3)
    photographs = sphere.normalize(direction(0) + 0.1 * rng.standard_normal((6, 64)))
    mean = sphere.average(photographs * rng.uniform(0.2, 30, (6, 1)))  # lengths carry no weight
    between = (photographs @ photographs.T)[np.triu_indices(6, 1)].mean()
    assert (photographs @ mean).mean() > between
    assert np.linalg.norm(mean) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(mean, sphere.average(photographs), atol=1e-6)


def test_weights_draw_the_average_towards_their_rows() -> None:
    a, b = direction(1), direction(2)
    assert sphere.average([a, b], [3, 1]) @ a > sphere.average([a, b], [1, 1]) @ a


def test_opposite_embeddings_have_no_average() -> None:
    with pytest.raises(InputError, match="cancel out"):
        sphere.average([direction(1), -direction(1)])


def test_interpolation_moves_at_constant_angle_between_its_ends() -> None:
    a, b = direction(1), direction(2)
    path = sphere.slerp(a, b, np.linspace(0, 1, 9))
    np.testing.assert_allclose(path[0], a, atol=1e-6)
    np.testing.assert_allclose(path[-1], b, atol=1e-6)
    steps = np.arccos(np.clip(np.sum(path[1:] * path[:-1], axis=1), -1, 1))
    np.testing.assert_allclose(steps, math.acos(float(a @ b)) / 8, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 1, atol=1e-6)


def test_interpolation_between_equal_people_stays_and_between_opposite_people_is_refused() -> None:
    np.testing.assert_allclose(sphere.slerp(direction(1), direction(1), 0.3), direction(1), atol=1e-6)
    with pytest.raises(InputError, match="opposite"):
        sphere.slerp(direction(1), -direction(1), 0.5)


@given(st.integers(0, 10_000), st.integers(2, 700))
def test_float32_products_lie_within_the_stated_bound_of_the_exact_similarity(seed: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = sphere.normalize(rng.standard_normal((2, dimension)))
    exact = sphere.exact_similarity(a, b)
    assert abs(float(np.float32(a @ b)) - exact) <= sphere.float32_bound(dimension)
    assert exact == sphere.exact_similarity(a[::-1].copy(), b[::-1].copy())  # no order of summation matters


def test_rows_without_a_direction_are_refused() -> None:
    for bad, words in ((np.zeros(4), "zeros"), (np.array([1, np.nan, 0, 0]), "NaN")):
        with pytest.raises(InputError, match=words):
            sphere.normalize(bad)


@given(st.integers(0, 1000))
def test_a_rejection_is_orthogonal_and_of_unit_length(seed: int) -> None:
    rng = np.random.default_rng(seed)
    center = direction(seed).astype(np.float64)
    center /= np.linalg.norm(center)
    tangent = sphere.rejection(rng.standard_normal((2, 64))[1], center)
    assert abs(tangent @ center) < 1e-12
    assert np.linalg.norm(tangent) == pytest.approx(1)
