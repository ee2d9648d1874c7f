"""Fitting a prior: equal to scikit-learn, independent of files, chunks and order, bounded in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.covariance import OAS
from sklearn.decomposition import PCA

from synthface.errors import InputError, UsageError
from synthface.identity import fit, moments
from synthface.identity import prior as priors
from synthface.identity.embeddings import open_embeddings
from synthface.identity.prior import Prior
from synthface.recipe.people import PriorRecipe

Save = Callable[..., Path]
World = tuple[np.ndarray, np.ndarray]


def centers_of(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    means = np.stack([rows[labels == label].astype(np.float64).mean(0) for label in np.unique(labels)])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


@pytest.mark.parametrize("exact_rows", [moments._EXACT_ROWS, 0])  # 0: every product in float32, as of later rows
@pytest.mark.parametrize("fit_on", ["centers", "images"])
def test_components_and_eigenvalues_equal_sklearns(
    world: World, world_file: Path, monkeypatch: pytest.MonkeyPatch, fit_on: str, exact_rows: int
) -> None:
    monkeypatch.setattr(moments, "_EXACT_ROWS", exact_rows)
    rows, labels = world
    made = fit.fit_prior(open_embeddings([world_file]), PriorRecipe(fit_on=fit_on))
    reference = PCA(svd_solver="covariance_eigh").fit(
        centers_of(rows, labels) if fit_on == "centers" else rows.astype(np.float64)
    )
    np.testing.assert_allclose(made.eigenvalue_K, reference.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(made.mean_D, reference.mean_, atol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(made.component_KD * reference.components_, axis=1)), 1, atol=1e-4)
    for leading in (1, 5, 20):
        component_DK = made.component_KD[:leading].T.astype(np.float64)
        assert subspace_angles(component_DK, reference.components_[:leading].T).max() < 1e-5
        share = reference.explained_variance_ratio_[:leading].sum()
        assert made.explained_variance(leading) == pytest.approx(share, rel=1e-5)


def test_the_within_class_covariance_is_the_pooled_one_shrunk_by_oas(world: World, prior: Prior) -> None:
    rows, labels = world
    residual = rows.astype(np.float64)
    for label in np.unique(labels):
        residual[labels == label] -= residual[labels == label].mean(0)
    degrees = len(labels) - len(np.unique(labels))
    pooled = residual.T @ residual / degrees
    assert prior.within is not None
    assert prior.within.degrees == degrees
    factor = prior.within.factor_DR.astype(np.float64)
    target = np.eye(len(pooled)) * np.trace(pooled) / len(pooled)
    expected = (1 - prior.within.shrinkage) * pooled + prior.within.shrinkage * target
    np.testing.assert_allclose(factor @ factor.T, expected, atol=2e-6)
    assert prior.within.variance == pytest.approx(np.trace(pooled), rel=1e-4)


def test_oas_shrinkage_equals_sklearns() -> None:
    x = np.random.default_rng(0).standard_normal((40, 12)) * np.linspace(0.2, 2, 12)
    reference = OAS(assume_centered=True).fit(x)
    assert fit.oas_shrinkage(x.T @ x / len(x), len(x)) == pytest.approx(reference.shrinkage_, rel=1e-9)


def test_a_prior_does_not_depend_on_the_cut_into_files(world: World, world_file: Path, save: Save) -> None:
    rows, labels = world
    parts = [save(f"{n}.npz", rows[a:b], labels[a:b]) for n, (a, b) in enumerate([(0, 1), (1, 900), (900, len(rows))])]
    whole, cut = (fit.fit_prior(open_embeddings(paths), PriorRecipe()) for paths in ([world_file], parts))
    for name in ("mean_D", "component_KD", "eigenvalue_K"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))
    np.testing.assert_array_equal(whole.within.factor_DR, cut.within.factor_DR)
    assert whole.facts == cut.facts


def test_a_prior_does_not_depend_on_the_order_of_rows(world: World, world_file: Path, save: Save) -> None:
    rows, labels = world
    order = np.random.default_rng(1).permutation(len(rows))
    moved = fit.fit_prior(open_embeddings([save("moved.npz", rows[order], labels[order])]), PriorRecipe())
    made = fit.fit_prior(open_embeddings([world_file]), PriorRecipe())
    np.testing.assert_allclose(moved.eigenvalue_K, made.eigenvalue_K, rtol=1e-5)
    np.testing.assert_allclose(moved.mean_D, made.mean_D, atol=1e-6)
    np.testing.assert_allclose(moved.within.variance, made.within.variance, rtol=1e-5)


def test_classes_summed_in_a_scratch_file_give_the_same_centers(
    world: World, world_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_memory = fit.fit_prior(open_embeddings([world_file]), PriorRecipe())
    monkeypatch.setattr(moments, "_CENTERS_IN_MEMORY", 0)
    monkeypatch.setattr(moments, "BLOCK", 100)
    on_disk = fit.fit_prior(open_embeddings([world_file]), PriorRecipe(), scratch=tmp_path)
    np.testing.assert_allclose(on_disk.eigenvalue_K, in_memory.eigenvalue_K, rtol=1e-5)
    np.testing.assert_allclose(on_disk.within.variance, in_memory.within.variance, rtol=1e-5)
    assert not list(tmp_path.iterdir())


def test_precision_holds_at_42_million_rows() -> None:
    """The sums of 42M unit rows, in float32 products, keep the eigenvalues to 1e-5; sums in float32 would not."""
    rng = np.random.default_rng(0)
    axes = np.linspace(2, 0.2, 16)
    repeats, blocks = 85, 60  # 85 × 60 × 8,192 rows = 42M: every block once, scaled up to have come 85 times
    total, exact, naive = moments.SecondMoment(16), np.zeros((16, 16)), np.zeros((16, 16), np.float32)
    for _ in range(blocks):
        block = rng.standard_normal((8_192, 16)) * axes
        block = (block / np.linalg.norm(block, axis=1, keepdims=True)).astype(np.float32)
        total.add(moments.product(block, start=moments._EXACT_ROWS))
        exact += block.astype(np.float64).T @ block.astype(np.float64)
        for _ in range(repeats):
            naive += block.T @ block
    reference = np.linalg.eigvalsh(exact / total.count)
    np.testing.assert_allclose(np.linalg.eigvalsh(total.product_DD / total.count), reference, rtol=1e-5)
    in_float32 = np.linalg.eigvalsh(naive.astype(np.float64) / (total.count * repeats))
    assert np.abs(in_float32 / reference - 1).max() > 1e-5


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    """The peak of 400,000 rows (195 MiB as float32, with labels) stays within 32 MiB of that of 50,000."""
    program = """
import re, sys
from pathlib import Path
from synthface.identity import fit
from synthface.identity.embeddings import open_embeddings
from synthface.recipe.people import PriorRecipe
fit.fit_prior(open_embeddings([sys.argv[1]]), PriorRecipe())
print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])
"""
    peaks = []
    for count in (50_000, 400_000):
        path = tmp_path / f"{count}.npz"
        rng = np.random.default_rng(0)
        block = rng.standard_normal((50_000, 128)).astype(np.float16)
        np.savez(path, embeddings=np.tile(block, (count // 50_000, 1)), labels=np.arange(count) % 1_000)
        out = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
        peaks.append(int(out.stdout) / 1024)
    assert peaks[1] - peaks[0] < 32


def test_a_saved_prior_is_read_back_and_saving_twice_gives_the_same_bytes(prior: Prior, tmp_path: Path) -> None:
    prior.save(tmp_path / "a.safetensors")
    again = priors.load(tmp_path / "a.safetensors")
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    np.testing.assert_array_equal(again.component_KD, prior.component_KD)
    np.testing.assert_array_equal(again.within.factor_DR, prior.within.factor_DR)
    np.testing.assert_array_equal(again.mixture.factor_KMM, prior.mixture.factor_KMM)
    assert again.facts == prior.facts


def test_rows_without_labels_are_people_and_teach_no_within_class_covariance(
    world: World, save: Save, capsys: pytest.CaptureFixture[str]
) -> None:
    made = fit.fit_prior(open_embeddings([save("a.npy", world[0])]), PriorRecipe())
    assert made.within is None
    assert made.facts["fit_on"] == "images"
    assert "no labels" in capsys.readouterr().err


def test_a_mixture_needs_no_more_than_the_asked_sample(world: World, save: Save) -> None:
    settings = PriorRecipe(mixture_components=2, mixture_dimensions=4, mixture_sample=300)
    made = fit.fit_prior(open_embeddings([save("a.npy", world[0])]), settings)
    assert made.mixture.weight_K.sum() == pytest.approx(1, abs=1e-5)
    assert made.mixture.factor_KMM.shape == (2, 4, 4)


@pytest.mark.parametrize(
    ("labels", "settings", "error", "words"),
    [
        (np.zeros(50, int), {}, InputError, "one person only"),
        (None, {"fit_on": "centers"}, InputError, "no labels"),
        (None, {"components": 50}, UsageError, "components is 50"),
        (np.arange(50) // 5, {"components": 10}, UsageError, "10 people of dimension 48 span 9"),
        (np.arange(50) // 25, {"mixture_components": 4}, InputError, "too few for a mixture"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    save: Save, labels: np.ndarray | None, settings: dict[str, object], error: type[Exception], words: str
) -> None:
    x = np.random.default_rng(0).standard_normal((50, 48)).astype(np.float32)
    with pytest.raises(error, match=words):
        fit.fit_prior(open_embeddings([save("a.npz", x, labels)]), PriorRecipe(**settings))


def test_one_embedding_or_equal_ones_have_no_spread(save: Save) -> None:
    for x in (np.ones((1, 4)), np.ones((30, 4))):
        with pytest.raises(InputError, match="spread"):
            fit.fit_prior(open_embeddings([save("a.npy", x)]), PriorRecipe())


def test_foreign_and_damaged_priors_are_refused(tmp_path: Path, prior: Prior) -> None:
    from safetensors.numpy import save_file

    save_file({"mean": np.zeros(3, np.float32)}, tmp_path / "foreign.safetensors")
    prior.save(tmp_path / "cut.safetensors")
    content = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    for name, words in (("foreign", "is not a prior"), ("cut", "cannot be read"), ("none", "no file")):
        with pytest.raises(InputError, match=words):
            priors.load(tmp_path / f"{name}.safetensors")
