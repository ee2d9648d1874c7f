"""Leakage, Fréchet distance, recall of real style, balance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from identity_world import make_world
from scipy import linalg

from synthface.errors import InputError
from synthface.identity import audit_balance, audit_leakage, audit_spread
from synthface.identity.audit import audit
from synthface.identity.embeddings import open_embeddings
from synthface.recipe.audit import AuditRecipe

Save = Callable[..., Path]


def test_the_nearest_reference_of_every_picture_is_found_across_all_pieces(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, references = make_world(40, 16, seed=1)[0], make_world(150, 16, seed=2)[0]
    monkeypatch.setattr(audit_leakage, "_REFERENCE_BYTES", 4 * 16 * 70)  # 70 references at once
    data, known = open_embeddings([save("a.npy", rows)]), open_embeddings([save("b.npy", references)])
    nearest = audit_leakage.nearest_references(data, known, block=33)
    similarity = rows.astype(np.float64) @ references.T
    np.testing.assert_array_equal(nearest.reference_N, similarity.argmax(axis=1))
    np.testing.assert_allclose(nearest.similarity_N, similarity.max(axis=1), atol=1e-6)
    worst = audit_leakage.worst_pairs(nearest, 3)
    assert [pair.row for pair in worst] == np.argsort(-similarity.max(axis=1))[:3].tolist()


@pytest.mark.parametrize(
    ("similarities", "passed"),
    [
        (np.full(1_000, 0.44), True),
        (np.r_[np.full(20, 0.46), np.full(980, 0.1)], False),  # p99 is .46
        (np.r_[np.full(2, 0.9), np.full(998, 0.1)], False),  # two in a thousand are somebody
        (np.r_[np.full(1, 0.9), np.full(999, 0.1)], True),  # one in a thousand may be
        (np.full(1_000, 0.45), True),
    ],
)
def test_the_gate_looks_at_the_quantile_and_at_the_share(similarities: np.ndarray, passed: bool) -> None:
    nearest = audit_leakage.Nearest(similarities.astype(np.float32), np.zeros(1_000, np.int64))
    found = audit_leakage.leakage(nearest, 1, 512, AuditRecipe(max_leakage_p99=0.4501))
    assert found["gate"]["passed"] is passed
    assert found["above_level"] == int((similarities > 0.5).sum())


def test_a_copied_picture_is_a_leak_of_similarity_one(save: Save) -> None:
    rows, labels = make_world(60, 32, seed=3)
    strangers = make_world(200, 32, seed=4)[0]
    strangers[123] = rows[17]
    found = audit(
        open_embeddings([save("a.npz", rows, labels)]), AuditRecipe(), 0, open_embeddings([save("b.npy", strangers)])
    )
    assert (found.leaks[0].row, found.leaks[0].reference) == (17, 123)
    assert found.content["leakage"]["max"] == pytest.approx(1, abs=1e-6)
    assert sum(found.content["leakage"]["histogram"]) == len(rows)


def test_references_of_another_dimension_are_refused(save: Save) -> None:
    rows, labels = make_world(10, 16)
    data, other = open_embeddings([save("a.npz", rows, labels)]), open_embeddings([save("b.npy", np.eye(8))])
    with pytest.raises(InputError, match="different encoders"):
        audit(data, AuditRecipe(), 0, other)


def test_the_frechet_distance_is_the_textbook_formula(save: Save) -> None:
    a, b = make_world(200, 12, seed=1)[0], make_world(150, 12, seed=2)[0]
    one, two = (audit_spread.moments(open_embeddings([save(f"{n}.npy", x)])) for n, x in (("a", a), ("b", b)))
    covariance_a, covariance_b = np.cov(a.T.astype(np.float64)), np.cov(b.T.astype(np.float64))
    root = linalg.sqrtm(covariance_a @ covariance_b).real
    expected = ((a.mean(0, np.float64) - b.mean(0, np.float64)) ** 2).sum() + np.trace(
        covariance_a + covariance_b - 2 * root
    )
    assert audit_spread.frechet_distance(one, two) == pytest.approx(expected, rel=1e-6)
    assert audit_spread.frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_the_effective_dimension_counts_equal_directions(save: Save) -> None:
    rng = np.random.default_rng(0)
    rows = np.zeros((20_000, 16), np.float32)
    rows[:, :5] = rng.standard_normal((20_000, 5))
    found = audit_spread.spread(audit_spread.moments(open_embeddings([save("a.npy", rows)])))
    assert found["effective_dimension"] == pytest.approx(5, rel=0.01)
    assert found["total_variance"] == pytest.approx(1, abs=1e-3)


def test_recall_of_real_style_counts_real_pictures_in_a_generated_ball() -> None:
    made = np.array([[0.0], [1.0], [2.0], [10.0]], np.float32)  # k = 1: radii 1, 1, 1, 8
    real = np.array([[-0.5], [3.5], [-2.0]], np.float32)  # in the first ball; in the last one's; in none
    people_made, people_real = np.zeros(4, np.int64), np.zeros(3, np.int64)
    found = audit_spread.style_recall(real, people_real, made, people_made, 1)
    assert found == {"share": pytest.approx(2 / 3), "people": 1, "neighbours": 1}
    with pytest.raises(InputError, match="real pictures of the very people"):
        audit_spread.style_recall(real, people_real + 1, made, people_made, 1)


def test_balance_is_one_for_equal_groups_and_names_every_group() -> None:
    even = audit_balance.balance(["a", "b"] * 10, np.full(20, 3))
    assert even["evenness"] == pytest.approx(1)
    assert even["groups"]["a"] == {"people": 10, "share": 0.5, "images": 30}
    uneven = audit_balance.balance(["a"] * 19 + ["b"], np.ones(20, np.int64))
    assert uneven["evenness"] == pytest.approx(0.2864, abs=1e-4)
    assert uneven["smallest_to_largest"] == pytest.approx(1 / 19)
    assert audit_balance.balance(["a"], np.array([1]))["evenness"] is None


@pytest.mark.parametrize(
    ("angle", "name"),
    [(60, "very light"), (55, "light"), (30, "intermediate"), (20, "tan"), (0, "brown"), (-50, "dark"), (-90, "dark")],
)
def test_tones_are_named_by_their_angle(angle: float, name: str) -> None:
    assert audit_balance.tone(angle) == name


def test_a_measured_value_tells_its_spread_within_people_from_that_between() -> None:
    value = np.array([1.0, 3.0, 11.0, 13.0, np.nan])
    found = audit_balance.measured(value, np.array([0, 0, 1, 1, 1]), 0, 10, bins=5)
    assert found is not None
    assert (found["count"], found["unknown"], found["mean"]) == (4, 1, 7)
    assert found["within"] == pytest.approx(2**0.5)
    assert found["histogram"] == [1, 1, 0, 0, 2]
    assert audit_balance.measured(np.full(3, np.nan), np.zeros(3, np.int64), 0, 1) is None
