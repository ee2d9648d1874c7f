"""The verification protocol against what insightface's own code gave, to 1e-6 and finer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fr_train import verification
from fr_train.embed import EmbeddedSet
from fr_train.evaluate import measure
from synthface.recipe.recognition import EvaluateRecipe

CASES = [
    "pairs_easy",
    "pairs_overlap",
    "pairs_uneven",
    "ties",
    "separable",
    "constant",
    "far_unreachable",
    "far_exact_1e-3",
    "single_class_folds",
    "tta_fusion",
]


def read(golden: Path, case: str) -> dict[str, NDArray[Any]]:
    with np.load(golden / "verification" / f"{case}.npz") as file:
        return dict(file)


@pytest.mark.parametrize("case", CASES)
def test_accuracy_thresholds_and_curves_are_insightfaces(golden: Path, case: str) -> None:
    expected = read(golden, case)
    found = verification.accuracy(expected["dist_f64"], expected["issame"], int(expected["nrof_folds"]))
    assert found.mean == pytest.approx(float(expected["accuracy_mean"]), abs=1e-9)
    assert found.std == pytest.approx(float(expected["accuracy_std"]), abs=1e-9)
    np.testing.assert_allclose(found.fold_K, expected["fold_accuracy"], atol=1e-9)
    np.testing.assert_allclose(found.threshold_K, expected["fold_best_threshold"], atol=1e-12)
    np.testing.assert_allclose(found.tpr_T, expected["tpr"], atol=1e-9)
    np.testing.assert_allclose(found.fpr_T, expected["fpr"], atol=1e-9)


@pytest.mark.parametrize("case", [case for case in CASES if case != "single_class_folds"])
def test_tar_at_far_is_insightfaces(golden: Path, case: str) -> None:
    expected = read(golden, case)
    found = verification.tar_at_far(expected["dist_f64"], expected["issame"], 1e-3, int(expected["nrof_folds"]))
    assert found is not None
    np.testing.assert_allclose(found.threshold_K, expected["val_thresholds"], atol=1e-9)
    np.testing.assert_allclose(found.tar_K, expected["val_fold"], atol=1e-9)
    np.testing.assert_allclose(found.far_K, expected["far_fold"], atol=1e-9)
    assert found.tar == pytest.approx(float(expected["val_mean"]), abs=1e-9)
    assert found.std == pytest.approx(float(expected["val_std"]), abs=1e-9)
    assert found.far == pytest.approx(float(expected["far_mean"]), abs=1e-9)


def test_folds_of_one_kind_have_no_tar_where_insightface_divides_by_zero(golden: Path) -> None:
    expected = read(golden, "single_class_folds")
    assert "ZeroDivisionError" in str(expected["val_error"])
    assert verification.tar_at_far(expected["dist_f64"], expected["issame"], 1e-3, 10) is None


@pytest.mark.parametrize("case", ["pairs_uneven", "ties", "separable", "constant", "far_exact_1e-3"])
def test_distances_come_from_raw_embeddings_as_insightface_computes_them(golden: Path, case: str) -> None:
    expected = read(golden, case)
    dist_N = verification.squared_distances(expected["embeddings1"], expected["embeddings2"])
    np.testing.assert_allclose(dist_N, expected["dist_f64"], atol=1e-12)
    found = verification.accuracy(dist_N, expected["issame"], int(expected["nrof_folds"]))
    assert found.mean == pytest.approx(float(expected["accuracy_mean"]), abs=1e-6)
    tar = verification.tar_at_far(dist_N, expected["issame"], 1e-3, int(expected["nrof_folds"]))
    assert tar is not None
    assert tar.tar == pytest.approx(float(expected["val_mean"]), abs=1e-6)


def test_mirror_images_are_added_raw(golden: Path) -> None:
    expected = read(golden, "tta_fusion")
    plain, mirrored = (
        np.stack([expected[f"raw_{view}1"], expected[f"raw_{view}2"]], 1).reshape(-1, 128) for view in ("orig", "flip")
    )
    fused = EmbeddedSet("tta", expected["issame"], plain, mirrored)
    np.testing.assert_allclose(fused.dist_N, expected["dist_f64"], atol=1e-6)
    assert verification.accuracy(fused.dist_N, fused.issame_N).mean == pytest.approx(float(expected["accuracy_mean"]))


def test_zero_embeddings_have_a_distance() -> None:
    dist_N = verification.squared_distances(np.zeros((2, 4)), np.eye(4)[:2])
    np.testing.assert_array_equal(dist_N, [1.0, 1.0])


def by_the_loop(dist_N: NDArray[np.float64], issame_N: NDArray[np.bool_], folds: int) -> tuple[float, list[float]]:
    """The protocol as a reader of the paper would write it: one threshold and one fold at a time."""
    size, rest = divmod(len(dist_N), folds)
    ends = np.cumsum([size + (fold < rest) for fold in range(folds)])
    accuracies = []
    for fold in range(folds):
        test_N = np.zeros(len(dist_N), bool)
        test_N[(ends[fold - 1] if fold else 0) : ends[fold]] = True
        best, best_threshold = -1.0, 0.0
        for threshold in np.arange(0, 4, 0.01):
            right = np.mean(((dist_N < threshold) == issame_N)[~test_N])
            if right > best:
                best, best_threshold = right, threshold
        accuracies.append(float(np.mean(((dist_N < best_threshold) == issame_N)[test_N])))
    return float(np.mean(accuracies)), accuracies


@settings(max_examples=25, deadline=None)
@given(pairs=st.integers(12, 90), folds=st.integers(2, 10), seed=st.integers(0, 2**32 - 1), ties=st.booleans())
def test_the_histograms_give_what_the_plain_loop_gives(pairs: int, folds: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    issame_N = rng.random(pairs) < 0.5
    dist_N = np.clip(rng.normal(np.where(issame_N, 1.2, 1.7), 0.4), 0, 4)
    if ties:
        dist_N = np.round(dist_N, 2)
    mean, accuracies = by_the_loop(dist_N, issame_N, folds)
    found = verification.accuracy(dist_N, issame_N, folds)
    np.testing.assert_allclose(found.fold_K, accuracies, atol=1e-12)
    assert found.mean == pytest.approx(mean, abs=1e-12)


def test_the_interval_holds_the_accuracy_and_narrows_with_the_number_of_pairs(golden: Path) -> None:
    large, small = read(golden, "pairs_easy"), read(golden, "pairs_overlap")
    widths = []
    for case in (small, large):
        low, high = verification.bootstrap_accuracy(case["dist_f64"], case["issame"], 10, resamples=200)
        assert low <= float(case["accuracy_mean"]) <= high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]
    again = verification.bootstrap_accuracy(small["dist_f64"], small["issame"], 10, resamples=200)
    assert again == verification.bootstrap_accuracy(small["dist_f64"], small["issame"], 10, resamples=200)
    other = verification.bootstrap_accuracy(small["dist_f64"], small["issame"], 10, resamples=200, seed=1)
    assert other != again


def test_the_interval_is_about_the_binomial_one() -> None:
    """Where the threshold is beyond doubt, accuracy is a share of independent pairs."""
    rng = np.random.default_rng(0)
    issame_N = np.tile(np.repeat([True, False], 50), 10)
    wrong_N = rng.random(1000) < 0.1
    dist_N = np.where(issame_N ^ wrong_N, 0.5, 3.0) + rng.random(1000) * 0.1
    low, high = verification.bootstrap_accuracy(dist_N, issame_N)
    share = 1 - wrong_N.mean()
    expected = 2 * 1.96 * np.sqrt(share * (1 - share) / 1000)
    assert high - low == pytest.approx(expected, rel=0.2)


def test_far_is_told_only_as_far_as_the_pairs_allow() -> None:
    issame_N = np.tile([True, False], 500)
    assert verification.smallest_far(issame_N, 10) == pytest.approx(1 / 450)


def test_tar_takes_fewer_folds_where_blocks_of_one_kind_coincide_with_them() -> None:
    assert verification.folds_of_both_kinds(np.tile([True, False], 50), 10) == 10
    blocks_N = np.repeat(np.tile([True, False], 5), 100)
    assert verification.tar_at_far(np.linspace(0, 3, 1000), blocks_N, 0.1, 10) is None
    assert verification.folds_of_both_kinds(blocks_N, 10) == 9
    assert verification.tar_at_far(np.linspace(0, 3, 1000), blocks_N, 0.1, 9) is not None
    assert verification.folds_of_both_kinds(np.repeat([True, False], 500), 10) is None  # no number of folds helps


def test_accuracy_keeps_the_folds_that_were_asked_for(golden: Path) -> None:
    expected = read(golden, "single_class_folds")
    found = measure(expected["dist_f64"], expected["issame"], EvaluateRecipe(bootstrap=0, far=(0.1,)))
    assert found["accuracy"] == pytest.approx(float(expected["accuracy_mean"]), abs=1e-9)
    assert found["std"] == pytest.approx(float(expected["accuracy_std"]), abs=1e-9)
    assert (found["folds"], found["tar_folds"], found["tar"]) == (10, None, {})
    blocks_N = np.repeat(np.tile([True, False], 5), 100)
    told = measure(np.linspace(0, 3, 1000), blocks_N, EvaluateRecipe(bootstrap=0, far=(0.1,)))
    assert (told["folds"], told["tar_folds"], list(told["tar"])) == (10, 9, ["1e-1"])
    same = measure(np.ones(100), np.ones(100, bool), EvaluateRecipe(bootstrap=0))
    assert (same["tar_folds"], same["tar"]) == (None, {})
