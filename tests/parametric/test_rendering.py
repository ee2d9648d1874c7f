"""What `render` promises as a function: shapes, determinism, independence of the batch, errors."""

from __future__ import annotations

import numpy as np
import pytest
from face_samples import people, situations
from hypothesis import given, settings
from hypothesis import strategies as st

from synthface.errors import UsageError
from synthface.parametric import NUISANCE_DIMENSIONS, plain_nuisance, render


def wild(count: int, seed: int = 0) -> np.ndarray:
    """Situations with everything on, noise and compression too."""
    random = np.random.default_rng(seed)
    return situations(
        count,
        yaw=random.uniform(-75, 75, count),
        pitch=random.uniform(-30, 30, count),
        smile=random.random(count),
        glasses=random.integers(0, 2, count),
        occluder=random.integers(0, 2, count),
        mask=random.integers(0, 2, count),
        resolution=random.uniform(30, 112, count),
        noise=6,
        jpeg=70,
    )


def test_a_rendering_holds_pictures_landmarks_pose_and_age_of_every_row() -> None:
    made = render(people(3), situations(3, yaw=[-20, 0, 30], pitch=5, roll=-4, age=[20, 40, 60]), np.arange(3))
    assert made.image_NHWC.shape == (3, 112, 112, 3)
    assert made.image_NHWC.dtype == np.uint8
    assert made.landmarks_N52.shape == (3, 5, 2)
    np.testing.assert_array_equal(made.pose_N3, [[-20, 5, -4], [0, 5, -4], [30, 5, -4]])
    np.testing.assert_array_equal(made.age_N, [20, 40, 60])


def test_no_rows_give_no_pictures() -> None:
    made = render(np.zeros((0, 64)), plain_nuisance(0), np.zeros(0))
    assert made.image_NHWC.shape == (0, 112, 112, 3)
    assert made.landmarks_N52.shape == (0, 5, 2)


def test_the_same_vectors_and_seed_give_the_same_bytes() -> None:
    arguments = people(6), wild(6), np.arange(6)
    first, second = render(*arguments), render(*arguments)
    np.testing.assert_array_equal(first.image_NHWC, second.image_NHWC)
    np.testing.assert_array_equal(first.landmarks_N52, second.landmarks_N52)


@settings(max_examples=4, deadline=None)
@given(st.permutations(range(6)), st.integers(1, 6))
def test_a_picture_does_not_depend_on_the_batch(order: list[int], count: int) -> None:
    identity, nuisance, seed = people(6), wild(6), np.arange(6)
    alone = render(identity, nuisance, seed)
    chosen = np.array(order[:count])
    together = render(identity[chosen], nuisance[chosen], seed[chosen])
    np.testing.assert_array_equal(together.image_NHWC, alone.image_NHWC[chosen])


def test_the_seed_draws_the_sensors_noise_and_nothing_else() -> None:
    identity, quiet, noisy = people(1), situations(1), situations(1, noise=8)
    one, other = (render(identity, quiet, [seed]).image_NHWC for seed in (1, 2))
    np.testing.assert_array_equal(one, other)
    one, other = (render(identity, noisy, [seed]).image_NHWC.astype(float) for seed in (1, 2))
    assert 3 < np.abs(one - other).mean() < 16


def test_rendering_draws_nothing_from_numpys_global_generator() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    render(people(1), wild(1), [7])
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_values_beyond_their_range_are_clipped() -> None:
    beyond, at_the_end = situations(2, yaw=[200.0, -200.0], age=150), situations(2, yaw=[75.0, -75.0], age=85)
    far, near = render(people(2), beyond, [0, 0]), render(people(2), at_the_end, [0, 0])
    np.testing.assert_array_equal(far.image_NHWC, near.image_NHWC)
    np.testing.assert_array_equal(far.pose_N3, near.pose_N3)


@pytest.mark.parametrize(
    ("identity", "nuisance", "seed", "message"),
    [
        (np.zeros((1, 63)), plain_nuisance(1), [0], r"identity vectors have shape \(1, 63\), not \(N, 64\)"),
        (np.zeros(64), plain_nuisance(1), [0], r"identity vectors have shape \(64,\)"),
        (np.zeros((1, 64)), plain_nuisance(1)[:, 1:], [0], r"nuisance vectors have shape"),
        (np.zeros((2, 64)), plain_nuisance(1), [0, 0], "2 identities, 1 nuisances and 2 seeds"),
        (np.zeros((1, 64)), plain_nuisance(1), [0, 1], "1 identities, 1 nuisances and 2 seeds"),
        (np.full((1, 64), np.nan), plain_nuisance(1), [0], "identity vector of row 0 holds NaN"),
    ],
)
def test_wrong_vectors_are_refused_with_a_sentence(identity, nuisance, seed, message) -> None:
    with pytest.raises(UsageError, match=message):
        render(identity, nuisance, seed)


def test_the_row_that_is_not_finite_is_named() -> None:
    nuisance = plain_nuisance(3)
    nuisance[2, NUISANCE_DIMENSIONS.index("yaw")] = np.inf
    with pytest.raises(UsageError, match="nuisance vector of row 2"):
        render(np.zeros((3, 64)), nuisance, [0, 0, 0])
