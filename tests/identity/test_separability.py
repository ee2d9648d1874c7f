"""EER, d′ and the pairs they are computed on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from synthface.identity import separability


def test_the_equal_error_rate_of_two_gaussians_is_the_analytic_one() -> None:
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(1, 0.5, 200_000), rng.normal(0, 0.5, 300_000)
    assert separability.equal_error_rate(genuine, impostor) == pytest.approx(stats.norm.cdf(-1), abs=2e-3)
    assert separability.d_prime(genuine, impostor) == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        ([0.9, 0.8], [0.1, 0.2], 0.0),
        ([0.1, 0.2], [0.8, 0.9], 1.0),
        ([0.9, 0.4], [0.5, 0.1], 0.5),
        ([0.9, 0.8, 0.7, 0.2], [0.3, 0.1, 0.0, -0.1], 0.25),
        ([0.5, 0.5], [0.5, 0.5], 0.5),
    ],
)
def test_the_equal_error_rate_of_small_sets_is_exact(
    genuine: list[float], impostor: list[float], expected: float
) -> None:
    assert separability.equal_error_rate(np.array(genuine), np.array(impostor)) == pytest.approx(expected)


def test_all_pairs_of_a_small_set_are_scored_once() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((30, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    owner = rng.permutation(np.repeat(np.arange(10), 3))
    genuine, impostor = separability.pair_scores(rows, owner, seed=0)
    gram = rows @ rows.T
    same = owner[:, None] == owner
    upper = np.triu(np.ones((30, 30), bool), 1)
    np.testing.assert_allclose(np.sort(genuine), np.sort(gram[same & upper]), atol=1e-6)
    np.testing.assert_allclose(np.sort(impostor), np.sort(gram[~same & upper]), atol=1e-6)


def test_many_impostor_pairs_are_a_seeded_draw() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    owner = np.arange(500) // 5
    first, again, other = (separability.pair_scores(rows, owner, seed, 20_000)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(first) == pytest.approx(20_000 * (1 - 1 / 100), rel=0.01)
    assert first.mean() == pytest.approx(other.mean(), abs=float(4 * first.std() / math.sqrt(len(first))))


def test_a_summary_has_moments_and_quantiles() -> None:
    summary = separability.summary(np.arange(101) / 100)
    assert summary["mean"] == pytest.approx(0.5)
    assert summary["count"] == 101
    assert summary["quantiles"]["0.05"] == pytest.approx(0.05)
