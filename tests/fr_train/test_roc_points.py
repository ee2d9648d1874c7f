"""The ROC curve in the result of an evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from fr_train import verification
from fr_train.evaluate import measure, roc_points
from synthface.recipe.recognition import EvaluateRecipe


def test_the_curve_rises_to_one_and_lies_on_the_rates_of_all_thresholds() -> None:
    rng = np.random.default_rng(0)
    issame = np.tile(np.repeat([True, False], 30), 10)
    dist = np.where(issame, rng.normal(1.0, 0.3, len(issame)), rng.normal(1.6, 0.3, len(issame))).clip(0, 3.98)
    result = verification.accuracy(dist, issame)
    curve = measure(dist, issame, EvaluateRecipe(bootstrap=0))["roc"]
    assert curve["far"] == sorted(set(curve["far"]))
    assert curve["tar"] == sorted(curve["tar"])
    assert curve["far"][0] == pytest.approx(1 / 300)
    assert (curve["far"][-1], curve["tar"][-1]) == (1.0, 1.0)
    for far, tar in zip(curve["far"], curve["tar"], strict=True):
        assert tar == result.tpr_T[result.fpr_T <= far][-1]


def test_pairs_of_one_kind_have_no_curve() -> None:
    result = verification.accuracy(np.ones(40), np.ones(40, bool))
    assert roc_points(result) == {"far": [], "tar": []}
