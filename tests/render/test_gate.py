"""What is kept, and that no order of drawing decides it."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthface.encoder.pose import Pose
from synthface.identity import nearest, sphere
from synthface.identity.nearest import Centers
from synthface.recipe.pictures import GateRecipe
from synthface.render.gate import REASONS, VALUES, Gate, table
from synthface.render.sitting import Shot, Sitting, Want
from synthface.render.tally import Tally, together

CENTERS = Centers(np.eye(4, 8, dtype=np.float32))
CROP = np.zeros((8, 8, 3), np.uint8)
OPEN: dict[str, Any] = {
    "min_center_similarity": None,
    "nearest_center": False,
    "min_reference_similarity": None,
    "max_duplicate_similarity": None,
}


def unit(*values: float) -> np.ndarray:
    row = np.zeros((1, 8))
    row[0, : len(values)] = values
    return sphere.unit_rows(row)[0]


def judged(limits: dict[str, Any], shots: list[Shot], sitting: Sitting | None = None) -> list[str]:
    sitting = sitting or Sitting(0, np.zeros((len(shots), 8), np.float32))
    reasons, value_MG = Gate(GateRecipe(**{**OPEN, **limits}), CENTERS).judge(sitting, shots)
    assert value_MG.shape == (len(shots), len(VALUES))
    return reasons


def shot(image: int = 0, attempt: int = 0, **facts: Any) -> Shot:
    return Shot(Want(0, image, attempt), **{"crop_HWC": CROP, **facts})


@pytest.mark.parametrize(
    ("limits", "facts", "reason"),
    [
        ({}, {"crop_HWC": None}, "no_face"),
        ({"min_detection_score": 0.5}, {}, "no_face"),
        ({"min_detection_score": 0.5}, {"detection_score": 0.49}, "detection_score"),
        ({"max_yaw": 30}, {"detection_score": 1.0, "pose": Pose(-31, 0, 0)}, "yaw"),
        ({"max_pitch": 30}, {"detection_score": 1.0, "pose": Pose(0, 31, 0)}, "pitch"),
        ({"min_sharpness": 5}, {"sharpness": 4.9}, "sharpness"),
        ({"min_center_similarity": 0.5}, {"embedding_D": unit(0.49, 0, 0, 0, 1)}, "center_similarity"),
        ({"nearest_center": True}, {"embedding_D": unit(0.5, 0.6)}, "nearest_center"),
    ],
)
def test_each_reason(limits: dict[str, Any], facts: dict[str, Any], reason: str) -> None:
    assert judged(limits, [shot(**facts)]) == [reason]
    assert reason in REASONS


def test_what_meets_every_limit_is_kept() -> None:
    limits = {"min_detection_score": 0.5, "max_yaw": 30, "max_pitch": 30, "min_sharpness": 5, "nearest_center": True,
              "min_center_similarity": 0.5, "min_reference_similarity": 0.5, "max_duplicate_similarity": 0.9}  # fmt: skip
    facts = {"detection_score": 0.5, "pose": Pose(30, -30, 80), "sharpness": 5.0, "embedding_D": unit(1, 0.9),
             "verified_V": unit(1)}  # fmt: skip
    assert judged(limits, [shot(**facts)]) == [""]


def test_a_picture_as_near_to_another_center_as_to_its_own_is_kept() -> None:
    assert judged({"nearest_center": True}, [shot(embedding_D=unit(0.5, 0.5))]) == [""]


def test_the_reference_is_the_mean_of_first_attempts_kept_or_not() -> None:
    limits = {"min_reference_similarity": 0.75, "min_sharpness": 5, "reference_images": 2}
    first = [
        shot(0, verified_V=unit(1, 0), sharpness=9.0),
        shot(1, verified_V=unit(0, 1), sharpness=0.0),  # refused, and yet part of the reference
        shot(2, verified_V=unit(0, 0, 1), sharpness=9.0),  # not among the first two
    ]
    sitting = Sitting(0, np.zeros((3, 8), np.float32))
    assert judged(limits, first, sitting) == ["reference_similarity", "sharpness", "reference_similarity"]
    assert sitting.reference_V == pytest.approx(unit(1, 1))
    sitting.round = 1
    assert judged(limits, [shot(0, 1, verified_V=unit(1, 1), sharpness=9.0)], sitting) == [""]
    assert sitting.reference_V == pytest.approx(unit(1, 1)), "later attempts do not move it"


def test_without_any_face_among_the_first_attempts_there_is_no_reference() -> None:
    limits = {"min_reference_similarity": 0.2, "reference_images": 1}
    sitting = Sitting(0, np.zeros((2, 8), np.float32))
    first = [shot(0, crop_HWC=None), shot(1, verified_V=unit(1))]
    assert judged(limits, first, sitting) == ["no_face", "reference_similarity"]


def test_of_two_like_pictures_the_earlier_is_kept() -> None:
    limits = {"max_duplicate_similarity": 0.9}
    sitting = Sitting(0, np.zeros((4, 8), np.float32))
    first = [shot(0, verified_V=unit(1)), shot(1, verified_V=unit(0, 1)), shot(2, verified_V=unit(1, 0.1)),
             shot(3, verified_V=unit(0, 0.1, 1))]  # fmt: skip
    assert judged(limits, first, sitting) == ["", "", "duplicate", ""]
    sitting.round = 1
    assert judged(limits, [shot(2, 1, verified_V=unit(0, 1, 0.05))], sitting) == ["duplicate"]
    sitting.round = 2
    assert judged(limits, [shot(2, 2, verified_V=unit(0, 0, 0, 1))], sitting) == [""]


def test_a_refused_picture_makes_no_other_a_duplicate() -> None:
    limits = {"max_duplicate_similarity": 0.9, "min_sharpness": 5}
    shots = [shot(0, verified_V=unit(1), sharpness=0.0), shot(1, verified_V=unit(1), sharpness=9.0)]
    assert judged(limits, shots) == ["sharpness", ""]


def test_an_embedding_without_direction_passes_no_limit() -> None:
    broken = sphere.unit_rows(np.array([[0.0] * 8, [np.nan] * 8, [np.inf] + [0.0] * 7]))
    assert (broken == 0).all()
    limits = {"min_center_similarity": 0.1, "min_reference_similarity": 0.1}
    for row in broken:
        assert judged(limits, [shot(embedding_D=row, verified_V=row)]) == ["center_similarity"]


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_what_is_kept_does_not_depend_on_the_order_in_which_shots_arrive(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [unit(*rng.normal(0.4, 0.5, 4)) for _ in range(6)]
    limits = {"min_center_similarity": 0.3, "nearest_center": True, "min_reference_similarity": 0.6,
              "max_duplicate_similarity": 0.95, "reference_images": 3}  # fmt: skip

    def run(order: np.ndarray) -> list[str]:
        sitting = Sitting(0, np.zeros((6, 8), np.float32))
        done = [sitting.add(shot(int(m), embedding_D=rows[m], verified_V=rows[m])) for m in order]
        assert done == [False] * 5 + [True]
        return judged(limits, [sitting.shots[image] for image in sorted(sitting.shots)], sitting)

    assert run(rng.permutation(6)) == run(np.arange(6))


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([4, 64, 512]), st.integers(1, 40), st.floats(0, 1.5))
def test_what_the_screen_rules_out_no_other_center_is_nearer_to(
    seed: int, dimension: int, people: int, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    center_ND = sphere.normalize(rng.standard_normal((people, dimension)))
    center_ND[people // 2 :] = sphere.normalize(center_ND[people // 2 :] + 0.3 * center_ND[: people - people // 2])
    identity_M = rng.integers(0, people, 30)
    spread_MD = rng.standard_normal((30, dimension)) * noise / np.sqrt(dimension)
    point_MD = sphere.normalize(center_ND[identity_M] + spread_MD)
    point_MD[3] = 0  # an embedding without direction
    centers = Centers(center_ND)
    own_M = centers.own_similarity(point_MD, identity_M)
    by_faiss_M = centers.nearer_to_another(point_MD, identity_M, own_M)
    with mock.patch.object(nearest, "_WORTH_SCREENING", 0):
        may_M = centers._may_be_another(point_MD, identity_M, own_M)
        assert np.array_equal(centers.nearer_to_another(point_MD, identity_M, own_M), by_faiss_M)
    assert may_M[3], "what has no direction is not screened"
    assert not (by_faiss_M & ~may_M).any()
    if dimension == 512 and noise < 0.9:
        assert may_M.sum() == 1, "far from all others the screen suffices"


@given(
    st.lists(st.tuples(st.sampled_from(["", *REASONS]), st.floats(-1, 1)), min_size=1, max_size=40), st.integers(1, 4)
)
def test_counts_of_parts_add_up_to_those_of_the_whole(rounds: list[tuple[str, float]], parts: int) -> None:
    def counted(chosen: list[tuple[str, float]]) -> dict[str, Any]:
        tally = Tally()
        for reason, value in chosen:
            row = np.full((1, len(VALUES)), np.nan, np.float32)
            row[0, 0] = value
            tally.judged([reason], row)
        tally.finished(0, len(chosen), sum(reason == "" for reason, _ in chosen), {})
        return tally.content()

    whole = together([counted(rounds)])
    joined = together(counted(rounds[part::parts]) for part in range(parts))
    for side in ("kept", "rejected"):
        sums = [facts["distributions"]["center_similarity"][side].pop("sum") for facts in (whole, joined)]
        assert sums[0] == pytest.approx(sums[1], abs=1e-9)
    assert whole == joined


def test_the_table_names_the_most_frequent_reason_first() -> None:
    lines = table({"duplicate": 2, "no_face": 1_000}).splitlines()
    assert lines == [
        "",
        "      1,000  no face was found",
        "          2  nearly the same as another picture of the person",
    ]
