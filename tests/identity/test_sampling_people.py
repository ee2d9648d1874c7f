"""Greedy sampling equals the one-at-a-time loop; it extends, resumes and gives up as promised."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synthface.errors import InputError, OutOfReachError, SynthfaceError, UsageError
from synthface.identity import confirm, identities, neighbours, sample, sphere
from synthface.identity.density import DRAW, CandidateStream, similarity_of_draws
from synthface.identity.embeddings import open_embeddings
from synthface.identity.identities import Identities
from synthface.identity.prior import Prior
from synthface.recipe.people import IdentitiesRecipe

ENGINES = ["int8", "faiss"]


def naive(candidates: np.ndarray, threshold: float, excluded: np.ndarray | None = None) -> list[int]:
    """The definition: one candidate at a time, exact similarities."""
    kept: list[int] = []
    for number, candidate in enumerate(candidates):
        others = [candidates[k] for k in kept] + ([] if excluded is None else list(excluded))
        if all(sphere.exact_similarity(candidate, other) < threshold for other in others):
            kept.append(number)
    return kept


def start(prior: Prior) -> Identities:
    return Identities.none(prior.dimension, {})


def run(prior: Prior, wanted: int, **values: object) -> Identities:
    recipe = IdentitiesRecipe(**values)
    return sample.sample(CandidateStream(prior, recipe, 7), recipe, wanted, start(prior))


def crafted(seed: int, dimension: int, threshold: float, count: int = 60) -> np.ndarray:
    """Unit rows among which copies, exact ties at the threshold and pairs within a few ulp of it are frequent."""
    rng = np.random.default_rng(seed)
    rows = [sphere.normalize(rng.standard_normal(dimension)) for _ in range(count // 3)]
    while len(rows) < count:
        base = rows[rng.integers(len(rows))].astype(np.float64)
        tangent = sphere.rejection(rng.standard_normal(dimension), base / np.linalg.norm(base))
        cosine = threshold + rng.choice([0, 1e-8, -1e-8, 3e-8, -3e-8, 1e-6, -1e-6, 1e-3, 1 - threshold])
        rows.append(sphere.normalize(cosine * base + np.sqrt(max(1 - cosine**2, 0)) * tangent))
    return np.stack(rows)[rng.permutation(count)]


@pytest.mark.parametrize("engine", ENGINES)
@given(
    seed=st.integers(0, 10**6),
    dimension=st.sampled_from([2, 3, 16, 100]),
    threshold=st.floats(-0.3, 0.95),
    block=st.integers(1, 70),
)
@settings(max_examples=60, deadline=None)
def test_blocks_decide_exactly_as_the_loop_does_even_at_ties(
    engine: str, seed: int, dimension: int, threshold: float, block: int
) -> None:
    candidates = crafted(seed, dimension, threshold)
    index = neighbours.engine(engine, threshold, dimension)
    kept: list[int] = []
    for first in range(0, len(candidates), block):
        rows = candidates[first : first + block]
        far = np.flatnonzero(~index.near_any(rows))
        stays = far[sample.greedy(len(far), index.near_pairs(np.ascontiguousarray(rows[far])))]
        index.add(np.ascontiguousarray(rows[stays]))
        kept += (stays + first).tolist()
    assert kept == naive(candidates, threshold)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("threshold", "wanted"), [(0.2, 20), (0.45, 60)])
def test_sampling_equals_the_loop_over_the_candidate_stream(
    prior: Prior, engine: str, threshold: float, wanted: int
) -> None:
    made = run(prior, wanted, threshold=threshold, engine=engine, block=97)
    stream = CandidateStream(prior, IdentitiesRecipe(threshold=threshold), 7)
    blocks = np.concatenate([stream.draw(b) for b in range(made.next_candidate // DRAW + 1)])[: made.next_candidate]
    assert made.candidate_N.tolist() == naive(blocks, threshold)
    np.testing.assert_array_equal(made.center_ND, blocks[made.candidate_N])


def test_identity_k_is_the_same_for_every_count_block_and_engine(prior: Prior) -> None:
    whole = run(prior, 900, threshold=0.5)
    for wanted, block, engine in ((1, 4_096, "int8"), (350, 10, "faiss"), (899, 4_096, "faiss"), (900, 1_000, "int8")):
        part = run(prior, wanted, threshold=0.5, block=block, engine=engine)
        np.testing.assert_array_equal(part.center_ND, whole.center_ND[:wanted])
        np.testing.assert_array_equal(part.candidate_N, whole.candidate_N[:wanted])


def test_extending_gives_the_bytes_of_sampling_all_at_once(prior: Prior, tmp_path: Path) -> None:
    recipe = IdentitiesRecipe(threshold=0.5, block=256)
    stream = CandidateStream(prior, recipe, 7)
    made = start(prior)
    for wanted in (40, 41, 700):
        made = confirm.confirm(sample.sample(stream, recipe, wanted, made), recipe, 7, None)
        made.save(tmp_path / "steps.safetensors")
        made = identities.load(tmp_path / "steps.safetensors")
    confirm.confirm(sample.sample(stream, recipe, 700, start(prior)), recipe, 7, None).save(
        tmp_path / "once.safetensors"
    )
    assert (tmp_path / "steps.safetensors").read_bytes() == (tmp_path / "once.safetensors").read_bytes()


def test_an_interrupted_run_goes_on_to_the_same_identities(prior: Prior) -> None:
    recipe = IdentitiesRecipe(threshold=0.5, block=50)
    stream = CandidateStream(prior, recipe, 7)

    class Stop(Exception):
        pass

    for stop_at in (1, 2, 5, 9):
        saved: list[Identities] = [start(prior)]
        steps = 0
        original = sample._Sampler._step

        def interrupted(self: object, *args: object, limit: int = stop_at, original: object = original) -> None:
            nonlocal steps
            steps += 1
            if steps > limit:
                raise Stop
            original(self, *args)  # type: ignore[operator]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sample._Sampler, "_step", interrupted)
            with pytest.raises(Stop):
                sample.sample(stream, recipe, 800, saved[-1], save=saved.append)
        assert len(saved[-1]) > 0
        resumed = sample.sample(stream, recipe, 800, saved[-1])
        whole = sample.sample(stream, recipe, 800, start(prior))
        np.testing.assert_array_equal(resumed.center_ND, whole.center_ND)
        np.testing.assert_array_equal(resumed.candidate_N, whole.candidate_N)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("wave", [1, 3])
def test_no_identity_is_near_an_excluded_person(
    prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, wave: int
) -> None:
    monkeypatch.setattr(sample, "_WAVE", wave)
    recipe = IdentitiesRecipe(threshold=0.4, engine=engine, block=300)
    stream = CandidateStream(prior, recipe, 7)
    excluded_rows = stream.draw(5)[:40]
    np.save(tmp_path / "real.npy", excluded_rows)
    excluded = open_embeddings([tmp_path / "real.npy"])
    made = sample.sample(stream, recipe, 30, start(prior), excluded)
    blocks = np.concatenate([stream.draw(b) for b in range(made.next_candidate // DRAW + 1)])[: made.next_candidate]
    assert made.candidate_N.tolist() == naive(blocks, 0.4, excluded.load())
    confirmed = confirm.confirm(made, recipe, 7, excluded)
    statistics = confirmed.facts["statistics"]
    assert statistics["largest_excluded_similarity"] < 0.4
    np.testing.assert_allclose(confirmed.excluded_M, (made.center_ND @ excluded_rows.T).max(1), atol=1e-6)


def test_the_confirmation_finds_the_largest_similarity_and_keeps_what_is_known(prior: Prior) -> None:
    recipe = IdentitiesRecipe(threshold=0.5)
    made = confirm.confirm(run(prior, 500, threshold=0.5), recipe, 7, None)
    gram = made.center_ND.astype(np.float64) @ made.center_ND.T.astype(np.float64)
    lower = np.where(np.tri(500, k=-1, dtype=bool), gram, -1)
    assert made.facts["statistics"]["largest_similarity"] == pytest.approx(lower.max(), abs=1e-12)
    np.testing.assert_allclose(made.nearest_M, lower.max(1), atol=1e-6)
    pairs = gram[np.tril_indices(500, k=-1)]
    assert made.facts["statistics"]["similarity"]["mean"] == pytest.approx(pairs.mean(), abs=1e-6)
    assert sum(made.facts["statistics"]["similarity"]["histogram"]) == len(pairs)


def test_the_confirmation_refuses_identities_that_are_too_similar(prior: Prior) -> None:
    made = run(prior, 50, threshold=0.5)
    made.center_ND[17] = made.center_ND[3]
    with pytest.raises(SynthfaceError, match=r"two identities at a similarity of (1\.0|0\.9999)"):
        confirm.confirm(made, IdentitiesRecipe(threshold=0.5), 7, None)


def test_sampling_stops_early_and_says_how_many_fit(prior: Prior) -> None:
    saved: list[Identities] = []
    recipe = IdentitiesRecipe(threshold=0.2, acceptance_window=8_192, min_acceptance=0.02)
    stream = CandidateStream(prior, recipe, 7)
    with pytest.raises(OutOfReachError, match=r"identities fit below a similarity of 0\.2, and 100,000 were asked for"):
        sample.sample(stream, recipe, 100_000, start(prior), save=saved.append)
    assert 10 < len(saved[-1]) < 1_000
    with pytest.raises(OutOfReachError):  # the same command again gives the same answer and changes nothing
        sample.sample(stream, recipe, 100_000, saved[-1], save=saved.append)
    np.testing.assert_array_equal(saved[-1].center_ND, saved[0].center_ND)


def test_the_capacity_estimate_foretells_where_sampling_stops(prior: Prior) -> None:
    recipe = IdentitiesRecipe(threshold=0.45, acceptance_window=8_192, min_acceptance=0.05)
    stream = CandidateStream(prior, recipe, 7)
    early = sample.sample(stream, recipe, 200, start(prior))
    estimate = confirm.capacity(early, recipe.min_acceptance)
    saved: list[Identities] = []
    with pytest.raises(OutOfReachError):
        sample.sample(stream, recipe, 10**6, early, save=saved.append)
    assert estimate is not None
    assert 0.3 < estimate / len(saved[-1]) < 3


def test_where_nothing_was_rejected_the_capacity_comes_from_the_spread_of_similarities(prior: Prior) -> None:
    recipe = IdentitiesRecipe(threshold=0.8)
    made = run(prior, 300, threshold=0.8)
    assert confirm.capacity(made, recipe.min_acceptance) is None
    statistics = confirm.confirm(made, recipe, 7, None).facts["statistics"]
    mean, std = statistics["similarity"]["mean"], statistics["similarity"]["std"]
    chance = stats.norm.sf(0.8, mean, std)
    assert statistics["capacity"] == pytest.approx(np.log(1 / recipe.min_acceptance) / chance, rel=0.05)


@pytest.mark.parametrize(
    ("effective_dimension", "fits"), [(100, 3_400), (128, 13_400), (160, 62_300), (200, 417_000), (256, 5_800_000)]
)
def test_the_normal_capacity_is_that_of_the_documented_table(effective_dimension: int, fits: int) -> None:
    assert confirm.normal_capacity(0.0, effective_dimension**-0.5, 0.3, 0.01) == pytest.approx(fits, rel=0.05)


def test_a_capacity_beyond_telling_is_a_billion_or_unknown() -> None:
    assert confirm.normal_capacity(0.0, 0.01, 0.9, 0.01) == confirm.MOST
    assert confirm.normal_capacity(0.0, 0.06, 0.3, 0.0) is None
    assert confirm.normal_capacity(0.0, 0.0, 0.3, 0.01) is None


def test_a_mixture_prior_draws_from_its_components(prior: Prior) -> None:
    stream = CandidateStream(prior, IdentitiesRecipe(density="mixture"), 7)
    coordinates = stream.draw(0).astype(np.float64) @ prior.component_KD.T.astype(np.float64)
    assert np.isfinite(coordinates).all()
    np.testing.assert_array_equal(
        stream.draw(3), CandidateStream(prior, IdentitiesRecipe(density="mixture"), 7).draw(3)
    )
    assert not np.array_equal(stream.draw(0), CandidateStream(prior, IdentitiesRecipe(), 7).draw(0))


def test_draws_resemble_the_people_of_the_prior(prior: Prior, world: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = world
    means = sphere.normalize(np.stack([rows[labels == label].mean(0) for label in np.unique(labels)]))
    pairs = (means @ means.T)[np.triu_indices(len(means), 1)]
    mean, std = similarity_of_draws(CandidateStream(prior, IdentitiesRecipe(), 7))
    assert mean == pytest.approx(pairs.mean(), abs=0.02)
    assert std == pytest.approx(pairs.std(), rel=0.1)


def test_a_scale_below_one_gathers_people_around_the_mean(prior: Prior) -> None:
    tight, wide = (similarity_of_draws(CandidateStream(prior, IdentitiesRecipe(scale=s), 7))[0] for s in (0.1, 1.0))
    assert tight > wide + 0.1


def test_what_the_prior_cannot_give_is_refused(prior: Prior) -> None:
    with pytest.raises(UsageError, match="components is 49 and the prior has 48"):
        CandidateStream(prior, IdentitiesRecipe(components=49), 0)
    with pytest.raises(UsageError, match="holds none"):
        CandidateStream(dataclasses.replace(prior, mixture=None), IdentitiesRecipe(density="mixture"), 0)


def test_saved_identities_are_read_back_and_damage_is_refused(prior: Prior, tmp_path: Path) -> None:
    made = run(prior, 30, threshold=0.5)
    made.save(tmp_path / "a.safetensors")
    again = identities.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.center_ND, made.center_ND)
    assert again.next_candidate == made.next_candidate
    prior.save(tmp_path / "prior.safetensors")
    with pytest.raises(InputError, match="is not a file of identities"):
        identities.load(tmp_path / "prior.safetensors")
    dataclasses.replace(made, candidate_N=made.candidate_N[:9]).save(tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="contradicts itself"):
        identities.load(tmp_path / "b.safetensors")
