"""The variation of an identity: calibrated, reproducible image by image, and guarded."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synthface.errors import RecipeError, SynthfaceError, UsageError
from synthface.identity import sphere
from synthface.identity.conditions import Guard
from synthface.identity.density import CandidateStream
from synthface.identity.nearest import Centers
from synthface.identity.perturb import Perturbation
from synthface.identity.prior import Prior, Within
from synthface.identity.variations import METHODS, Move, World, calibrated, mean_cosine_of_cone
from synthface.recipe.people import IdentitiesRecipe, PerturbRecipe, Variation

MOVING = sorted(METHODS.keys() - {"none"})


def prior_of(dimension: int, seed: int = 0) -> Prior:
    """A prior of any dimension, with an anisotropic within-class covariance."""
    rng = np.random.default_rng(seed)
    component, _ = np.linalg.qr(rng.standard_normal((dimension, dimension)))
    eigenvalue = np.linspace(2, 0.1, dimension) / dimension
    factor = component * np.sqrt(np.linspace(3, 0.05, dimension) / dimension * 0.3)
    return Prior(
        (component[0] * 0.2).astype(np.float32),
        component.T.astype(np.float32),
        eigenvalue.astype(np.float32),
        float(eigenvalue.sum()),
        Within(factor.astype(np.float32), 0.1, 1_000),
    )


def centers_of(prior: Prior, count: int = 1_500) -> np.ndarray:
    return CandidateStream(prior, IdentitiesRecipe(), 3).draw(0)[:count]


@pytest.mark.parametrize("dimension", [16, 128, 512])
@pytest.mark.parametrize("target", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("method", MOVING)
def test_the_mean_similarity_to_the_center_is_the_target(method: str, target: float, dimension: int) -> None:
    prior = prior_of(dimension)
    recipe = PerturbRecipe(method=method, target_cosine=target, center_first=False)
    center = centers_of(prior)
    condition = Perturbation(prior, recipe, 5).conditions(center, np.arange(len(center)), np.ones(len(center), int))
    np.testing.assert_allclose(np.linalg.norm(condition, axis=1), 1, atol=1e-6)
    assert np.einsum("nd,nd->n", condition, center).mean() == pytest.approx(target, abs=0.01)


def test_a_mixture_has_its_shares_and_its_scales(prior: Prior) -> None:
    parts = ({"share": 0.25, "target_cosine": 0.95, "method": "isotropic"}, {"share": 0.75, "target_cosine": 0.6})
    recipe = PerturbRecipe(method="mixture", mixture=parts, center_first=False, min_cosine=-0.9)
    perturbation = Perturbation(prior, recipe, 5)
    center = centers_of(prior, 4_000)
    condition = perturbation.conditions(center, np.arange(4_000), np.ones(4_000, int))
    similarity = np.einsum("nd,nd->n", condition, center)
    assert similarity.mean() == pytest.approx(0.25 * 0.95 + 0.75 * 0.6, abs=0.01)
    assert (similarity > 0.87).mean() == pytest.approx(0.25, abs=0.03)
    assert len(perturbation.scales) == 2


@pytest.mark.parametrize("dimension", [3, 48])
def test_a_cone_is_uniform_on_its_cap(dimension: int) -> None:
    """The cosine t of a uniform point of the cap has density (1 − t²)^((d − 3) / 2) above the bound."""
    prior = prior_of(dimension)
    perturbation = Perturbation(prior, PerturbRecipe(method="cone", target_cosine=0.8, center_first=False), 5)
    (bound,) = perturbation.scales
    assert mean_cosine_of_cone(bound, dimension) == pytest.approx(0.8, abs=1e-6)
    center = np.repeat(centers_of(prior, 1), 4_000, axis=0)
    condition = perturbation.conditions(center, np.arange(4_000), np.ones(4_000, int)).astype(np.float64)
    cosine = condition @ center[0].astype(np.float64)
    assert cosine.min() >= bound - 1e-6
    grid = np.linspace(bound, 1, 20_001)
    mass = np.cumsum((1 - grid**2) ** ((dimension - 3) / 2))
    assert stats.kstest(cosine, lambda t: np.interp(t, grid, mass / mass[-1])).pvalue > 1e-3
    tangent = condition - cosine[:, None] * center[0]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    assert np.linalg.norm(tangent.mean(0)) < 4 / np.sqrt(4_000)  # no direction is preferred


def test_within_class_noise_has_the_learned_covariance() -> None:
    prior = prior_of(24)
    recipe = PerturbRecipe(method="within-class", target_cosine=0.98, center_first=False)
    center = np.repeat(centers_of(prior, 1), 20_000, axis=0)
    perturbation = Perturbation(prior, recipe, 5)
    condition = perturbation.conditions(center, np.zeros(20_000, int), np.arange(20_000)).astype(np.float64)
    tangent = np.eye(24) - np.outer(center[0], center[0])  # near the center, points of the sphere move in its tangent
    factor = prior.within.factor_DR.astype(np.float64) * perturbation.scales[0]
    expected = tangent @ factor @ factor.T @ tangent
    found = np.cov((condition - center) @ tangent, rowvar=False)
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.08


@pytest.mark.parametrize("method", MOVING)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_condition_depends_on_its_image_alone(prior: Prior, method: str, data: st.DataObject) -> None:
    perturbation = Perturbation(prior, PerturbRecipe(method=method), 5)
    center = centers_of(prior, 20)
    image = data.draw(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 60)), min_size=1, max_size=12))
    identity, index = (np.array(column) for column in zip(*image, strict=True))
    batch = perturbation.conditions(center, identity, index)
    for row, (k, i) in zip(batch, image, strict=True):
        np.testing.assert_array_equal(row, perturbation.condition(center[k], k, i))
        if i == 0:
            np.testing.assert_array_equal(row, center[k])


def test_every_variation_can_be_named_in_a_recipe() -> None:
    assert set(METHODS) == set(get_args(Variation))
    assert set(get_args(PerturbRecipe.model_fields["method"].annotation)) == {*METHODS, "mixture"}


def test_any_family_of_moves_is_calibrated(prior: Prior) -> None:
    """Here: towards a fixed direction, which no closed form knows."""
    direction = np.eye(prior.dimension)[0]
    world = World(prior, 5)
    move = calibrated(world, lambda scale: Move(scale, lambda center, rng: center + scale * direction), 0.9)
    center, rng = world.sample()
    point = np.stack([move.apply(row, rng) for row in center])
    assert np.einsum("nd,nd->n", sphere.normalize(point), center).mean() == pytest.approx(0.9, abs=1e-4)


PROGRAM = """
import hashlib, sys
import numpy as np
from synthface.identity import prior as priors
from synthface.identity.perturb import Perturbation
from synthface.recipe.people import PerturbRecipe
perturbation = Perturbation(priors.load(sys.argv[1]), PerturbRecipe(), 5)
center = np.load(sys.argv[2])
image = np.arange(200)
condition = perturbation.conditions(center, image % len(center), image)
print(hashlib.sha256(condition.tobytes()).hexdigest())
"""


def test_conditions_are_the_same_bits_in_any_process_and_whether_the_prior_was_saved(
    prior: Prior, tmp_path: Path
) -> None:
    """Freshly fitted, the factor lies in memory column by column; read from a file, row by row."""
    prior.save(tmp_path / "prior.safetensors")
    center = centers_of(prior, 20)
    np.save(tmp_path / "centers.npy", center)
    image = np.arange(200)
    fresh = Perturbation(prior, PerturbRecipe(), 5).conditions(center, image % 20, image)
    found = {hashlib.sha256(fresh.tobytes()).hexdigest()}
    for threads in ("1", "2"):
        command = [sys.executable, "-c", PROGRAM, tmp_path / "prior.safetensors", tmp_path / "centers.npy"]
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout.strip())
    assert len(found) == 1


def test_other_images_identities_seeds_and_redraws_give_other_conditions(prior: Prior) -> None:
    center = centers_of(prior, 2)
    first, other_seed = (Perturbation(prior, PerturbRecipe(), seed) for seed in (5, 6))
    rows = [
        first.condition(center[0], 0, 1),
        first.condition(center[0], 0, 2),
        first.condition(center[0], 1, 1),
        first.condition(center[0], 0, 1, redraw=1),
        other_seed.condition(center[0], 0, 1),
    ]
    similarity = (np.stack(rows) @ np.stack(rows).T)[np.triu_indices(5, k=1)]
    assert similarity.max() < 0.95


def test_no_variation_is_the_center_itself(prior: Prior) -> None:
    center = centers_of(prior, 3)
    for recipe in (PerturbRecipe(method="none"), PerturbRecipe(target_cosine=1.0), PerturbRecipe(method="cone", target_cosine=1.0)):  # fmt: skip
        condition = Perturbation(prior, recipe, 5).conditions(center, np.arange(3), np.array([1, 2, 3]))
        np.testing.assert_allclose(condition, center, atol=1e-7)


def test_the_guard_leaves_no_condition_nearer_to_another_center(prior: Prior) -> None:
    center = centers_of(prior, 400)
    recipe = PerturbRecipe(method="isotropic", target_cosine=0.55, min_cosine=0.5, center_first=False)
    unguarded = Perturbation(prior, recipe, 5).conditions(
        center, np.repeat(np.arange(400), 5), np.tile(np.arange(5), 400)
    )
    broken = (unguarded @ center.T).argmax(1) != np.repeat(np.arange(400), 5)
    low = np.einsum("md,md->m", unguarded, np.repeat(center, 5, axis=0)) < 0.5
    assert broken.any()
    assert low.any()
    guard = Guard(Perturbation(prior, recipe, 5), center)
    made = list(guard.all_images(5, chunk=777))
    condition = np.concatenate([part.condition_MD for part in made])
    identity = np.concatenate([part.identity_M for part in made])
    redraw = np.concatenate([part.redraw_M for part in made])
    similarity = condition @ center.T
    np.testing.assert_array_equal(similarity.argmax(1), identity)
    assert similarity[np.arange(len(identity)), identity].min() >= 0.5 - 1e-6
    np.testing.assert_array_equal(redraw > 0, broken | low)
    assert guard.refusals.nearer_to_another + guard.refusals.below_min_cosine == redraw.sum()
    np.testing.assert_array_equal(condition[redraw == 0], unguarded[redraw == 0])


def test_guarded_conditions_do_not_depend_on_the_batch(prior: Prior) -> None:
    center = centers_of(prior, 60)
    recipe = PerturbRecipe(method="isotropic", target_cosine=0.6, min_cosine=0.5)
    whole = np.concatenate([part.condition_MD for part in Guard(Perturbation(prior, recipe, 5), center).all_images(4)])
    cut = [part.condition_MD for part in Guard(Perturbation(prior, recipe, 5), center).all_images(4, chunk=7)]
    np.testing.assert_array_equal(np.concatenate(cut), whole)


@given(seed=st.integers(0, 10**6), dimension=st.sampled_from([3, 16, 100]), count=st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_the_nearest_center_is_decided_by_exact_values_among_any_number_of_near_ties(
    seed: int, dimension: int, count: int
) -> None:
    """Centers that differ in their last bits: float32 puts them in any order, and any number before the nearest."""
    rng = np.random.default_rng(seed)
    base = sphere.normalize(rng.standard_normal(dimension))
    last_bits = rng.integers(-2, 3, (count, dimension)) * np.spacing(base)
    center = (base + last_bits).astype(np.float32)
    point = sphere.normalize(base + 0.5 * rng.standard_normal((count, dimension)) / np.sqrt(dimension))
    owner = rng.integers(0, count, len(point))
    centers = Centers(center)
    found = centers.nearer_to_another(point, owner, centers.own_similarity(point, owner))
    for m, own in enumerate(owner):
        exact = [sphere.exact_similarity(point[m], row) for row in center]
        assert found[m] == (max(exact) > exact[own])


def test_a_similarity_at_the_least_one_is_decided_by_its_exact_value() -> None:
    """The float64 sum of a row can fall on either side of what it stands for; the fewest bits decide nothing."""
    rng = np.random.default_rng(0)
    center = sphere.normalize(rng.standard_normal((1, 500)))
    point = sphere.normalize(center + 0.05 * rng.standard_normal((200, 500)))
    own = np.zeros(200, np.int64)
    centers = Centers(center)
    for row in point:
        exact = sphere.exact_similarity(row, center[0])
        for least, below in ((exact, False), (np.nextafter(exact, 2), True)):
            wrong = np.full(
                200, least + 3e-16 * (1 if not below else -1)
            )  # as another order of summation might give it
            wrong = centers.below(np.tile(row, (200, 1)), own, wrong, least)
            assert wrong.all() if below else not wrong.any()


def test_an_impossible_guard_ends_with_the_values_to_change(prior: Prior) -> None:
    center = centers_of(prior, 5)
    recipe = PerturbRecipe(method="isotropic", target_cosine=0.6, min_cosine=0.599, max_redraws=1, center_first=False)
    with pytest.raises(RecipeError, match=r"was refused 1 times.*perturb\.target_cosine"):
        list(Guard(Perturbation(prior, recipe, 5), center).all_images(20))


def test_coinciding_centers_do_not_refuse_each_other_for_ever(prior: Prior) -> None:
    center = np.repeat(centers_of(prior, 1), 2, axis=0)
    made = list(Guard(Perturbation(prior, PerturbRecipe(), 5), center).all_images(3))
    assert sum(len(part.condition_MD) for part in made) == 6


@pytest.mark.parametrize(
    ("recipe", "within", "error", "words"),
    [
        ({"method": "within-class"}, False, UsageError, "holds no within-class covariance"),
        ({"method": "isotropic", "target_cosine": None}, True, RecipeError, "has no learned scale"),
        ({"method": "cone", "target_cosine": None}, True, RecipeError, "has no learned scale"),
        ({"method": "cone", "target_cosine": 0.02, "min_cosine": -0.5}, True, RecipeError, "cannot be reached"),
    ],
)
def test_variations_that_cannot_be_are_refused(
    prior: Prior, recipe: dict[str, object], within: bool, error: type[SynthfaceError], words: str
) -> None:
    given_prior = prior if within else dataclasses.replace(prior, within=None)
    with pytest.raises(error, match=words):
        Perturbation(given_prior, PerturbRecipe(**recipe), 0)


def test_a_null_target_leaves_the_learned_scatter(prior: Prior, world: tuple[np.ndarray, np.ndarray]) -> None:
    """Conditions of one identity are as similar to each other as the world's photographs of one person."""
    rows, labels = world
    order = np.argsort(labels, kind="stable")
    photograph_PKD = rows[order].reshape(600, 4, -1)
    real = np.einsum("pd,pd->p", photograph_PKD[:, 0], photograph_PKD[:, 1]).mean()
    perturbation = Perturbation(prior, PerturbRecipe(target_cosine=None, center_first=False), 5)
    center = centers_of(prior, 600)
    first, second = (perturbation.conditions(center, np.arange(600), np.full(600, i)) for i in (1, 2))
    assert np.einsum("nd,nd->n", first, second).mean() == pytest.approx(real, abs=0.05)
    np.testing.assert_allclose(sphere.normalize(first), first, atol=1e-6)
