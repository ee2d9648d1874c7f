"""The whole way from real embeddings to conditions, on public embeddings of 3,516 people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthface.identity import confirm, sample, sphere
from synthface.identity.conditions import Guard
from synthface.identity.density import CandidateStream
from synthface.identity.embeddings import EmbeddingSet, open_embeddings
from synthface.identity.fit import fit_prior
from synthface.identity.identities import Identities
from synthface.identity.perturb import Perturbation
from synthface.identity.prior import Prior
from synthface.recipe.people import IdentitiesRecipe, PerturbRecipe, PriorRecipe

pytestmark = pytest.mark.real
THRESHOLD = 0.5  # what this 128-d space of grey photographs can carry: 500 people far from 3,516 real ones


@pytest.fixture(scope="module")
def real(real_data: Path) -> EmbeddingSet:
    return open_embeddings([real_data / "lfw_gray_dev_embeddings.npz"])


@pytest.fixture(scope="module")
def learned(real: EmbeddingSet) -> Prior:
    return fit_prior(real, PriorRecipe())


@pytest.fixture(scope="module")
def real_centers(real: EmbeddingSet) -> np.ndarray:
    rows, labels = real.load(), real.labels_N
    return np.stack([sphere.average(rows[labels == label]) for label in np.unique(labels)])


@pytest.fixture(scope="module")
def sampled(learned: Prior, real_centers: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Identities:
    path = tmp_path_factory.mktemp("real") / "centers.npy"
    np.save(path, real_centers)
    excluded = open_embeddings([path])
    recipe = IdentitiesRecipe(threshold=THRESHOLD)
    stream = CandidateStream(learned, recipe, 0)
    made = sample.sample(stream, recipe, 500, Identities.none(learned.dimension, {}), excluded)
    return confirm.confirm(made, recipe, 0, excluded)


def off_diagonal(rows: np.ndarray) -> np.ndarray:
    return (rows @ rows.T)[np.triu_indices(len(rows), 1)].astype(np.float64)


def test_five_hundred_people_are_sampled_apart_from_every_real_one(
    sampled: Identities, real_centers: np.ndarray
) -> None:
    assert len(sampled) == 500
    assert (sampled.center_ND @ real_centers.T).max() < THRESHOLD
    assert off_diagonal(sampled.center_ND).max() < THRESHOLD
    statistics = sampled.facts["statistics"]
    assert statistics["largest_similarity"] < THRESHOLD
    assert statistics["largest_excluded_similarity"] < THRESHOLD


def test_sampled_people_differ_from_each_other_as_real_people_do(sampled: Identities, real_centers: np.ndarray) -> None:
    found, real = off_diagonal(sampled.center_ND), off_diagonal(real_centers)
    assert found.mean() == pytest.approx(real.mean(), abs=0.02)
    assert found.std() == pytest.approx(real.std(), rel=0.15)


def test_conditions_of_one_identity_are_as_similar_as_photographs_of_one_person(
    sampled: Identities, learned: Prior, real: EmbeddingSet
) -> None:
    rows, labels = real.load(), real.labels_N
    photographs = [off_diagonal(rows[labels == label]) for label in np.unique(labels)]
    real_mean = np.concatenate(photographs).mean()
    recipe = PerturbRecipe(target_cosine=None, center_first=False, min_cosine=0.0)
    guard = Guard(Perturbation(learned, recipe, 0), sampled.center_ND)
    condition = np.concatenate([part.condition_MD for part in guard.all_images(4)]).reshape(500, 4, -1)
    assert np.concatenate([off_diagonal(one) for one in condition]).mean() == pytest.approx(real_mean, abs=0.05)
    nearest = (condition.reshape(2_000, -1) @ sampled.center_ND.T).argmax(1)
    np.testing.assert_array_equal(nearest, np.repeat(np.arange(500), 4))
