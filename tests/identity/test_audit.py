"""The audit's figures against their definitions, written out in loops."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_world import make_world
from numpy.typing import NDArray

from synthface import seeds
from synthface.errors import InputError
from synthface.identity import audit_between, audit_rates, audit_within, separability
from synthface.identity.audit import Audit, audit
from synthface.identity.audit_classes import people_of, runs
from synthface.identity.embeddings import EmbeddingSet, open_embeddings
from synthface.identity.nearest import Centers
from synthface.recipe.audit import AuditRecipe

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]
THRESHOLD = 0.55
SWAPPED = (20, 41)  # two people with many pictures, each of whom has one of the other's


def written(folder: Path, rows: Rows, labels: Labels, name: str = "set.npz") -> EmbeddingSet:
    np.savez(folder / name, embeddings=rows, labels=labels)
    return open_embeddings([folder / name])


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingSet:
    """50 people with up to eight pictures, in random order, and two whose pictures are each other's."""
    rows, labels = make_world(people=50, dimension=20, photographs=8, spread=0.6)
    rng = np.random.default_rng(1)
    keep = rng.random(len(labels)) < (labels % 7 + 1) / 8
    rows, labels = rows[keep], labels[keep]
    swapped = [np.flatnonzero(labels == person)[0] for person in SWAPPED]
    labels[swapped] = SWAPPED[::-1]
    return written(tmp_path_factory.mktemp("uneven"), rows, labels)


@pytest.fixture(scope="module")
def measured(uneven: EmbeddingSet) -> Audit:
    return audit(uneven, AuditRecipe(threshold=THRESHOLD, block=64), seed=3)


def by_loops(rows: Rows, labels: Labels) -> dict[str, Any]:
    """The definitions, one pair at a time, in float64."""
    x = rows.astype(np.float64)
    people = sorted(set(labels.tolist()))
    members = {p: [n for n in range(len(x)) if labels[n] == p] for p in people}
    centers = {p: np.mean([x[n] for n in members[p]], axis=0) for p in people}
    centers = {p: c / math.sqrt(c @ c) for p, c in centers.items()}
    consistent, diverse, genuine, impostor, doubtful = [], [], [], [], 0
    for p in people:
        consistent.append(np.mean([x[n] @ centers[p] > THRESHOLD for n in members[p]]))
        diverse.append(np.mean([all(x[n] @ x[m] < THRESHOLD for m in members[p] if m < n) for n in members[p]]))
        genuine += [x[n] @ x[m] for n in members[p] for m in members[p] if m < n]
        doubtful += sum(max(x[n] @ c for c in centers.values()) > x[n] @ centers[p] + 1e-9 for n in members[p])
    impostor = [x[n] @ x[m] for n in range(len(x)) for m in range(n) if labels[n] != labels[m]]
    unique = sum(all(centers[p] @ centers[q] < THRESHOLD for q in people if q < p) for p in people)
    packed: list[int] = []
    for p in people:
        packed += [p] if all(centers[p] @ centers[q] < THRESHOLD for q in packed) else []
    return {
        "consistency": np.mean(consistent),
        "diversity": np.mean(diverse),
        "genuine": np.array(genuine),
        "impostor": np.array(impostor),
        "doubtful": doubtful,
        "unique": unique,
        "packed": len(packed),
    }


def test_every_figure_is_the_one_of_its_definition(uneven: EmbeddingSet, measured: Audit) -> None:
    assert uneven.labels_N is not None
    expected = by_loops(uneven.load(), uneven.labels_N)
    content = measured.content
    assert content["identities"] == len(set(uneven.labels_N.tolist()))
    assert content["uniqueness"]["unique"] == expected["unique"]
    assert content["uniqueness"]["packed"] == expected["packed"]
    assert expected["unique"] < expected["packed"] < content["identities"]  # the data tells the two apart
    assert content["consistency"]["share"] == pytest.approx(expected["consistency"])
    assert content["diversity"]["share"] == pytest.approx(expected["diversity"])
    assert 0 < content["diversity"]["share"] < 1
    assert content["label_noise"]["images"] == expected["doubtful"]
    genuine, impostor = expected["genuine"], expected["impostor"]
    figures = content["separability"]
    assert (figures["genuine"]["count"], figures["impostor"]["count"]) == (len(genuine), len(impostor))
    assert figures["genuine"]["mean"] == pytest.approx(genuine.mean(), abs=1e-6)
    assert figures["eer"] == pytest.approx(separability.equal_error_rate(genuine, impostor), abs=1e-4)
    variance = genuine.var() + impostor.var()
    assert figures["fdr"] == pytest.approx((genuine.mean() - impostor.mean()) ** 2 / variance, rel=1e-5)
    assert figures["d_prime"] == pytest.approx(math.sqrt(2 * figures["fdr"]), rel=1e-6)
    for name, rate in (("fmr100", 0.01), ("fmr1000", 0.001)):
        fnmr = [np.mean(genuine < t) for t in np.linspace(-1, 1, 4_001) if np.mean(impostor >= t) <= rate]
        assert figures[name] == pytest.approx(min(fnmr), abs=3 / len(genuine))


def test_a_swapped_picture_is_among_the_doubtful_ones(uneven: EmbeddingSet, measured: Audit) -> None:
    own = [measured.people.label_C[doubt.own_class] for doubt in measured.doubts]
    other = [measured.people.label_C[doubt.other_class] for doubt in measured.doubts]
    assert {SWAPPED, SWAPPED[::-1]} <= set(zip(own, other, strict=True))
    assert all(doubt.other > doubt.own for doubt in measured.doubts)


def test_neither_the_order_of_the_rows_nor_the_blocks_change_a_figure(
    uneven: EmbeddingSet, measured: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert uneven.labels_N is not None
    order = np.argsort(uneven.labels_N, kind="stable")
    rows = written(tmp_path, uneven.load()[order], uneven.labels_N[order])
    monkeypatch.setattr("synthface.identity.audit_classes._ROWS", 17)
    again = audit(rows, AuditRecipe(threshold=THRESHOLD, block=1_000), seed=3).content
    for part in ("uniqueness", "consistency", "diversity", "label_noise", "spread"):
        assert flat(again[part]) == pytest.approx(flat(measured.content[part]), abs=1e-6)
    assert again["separability"]["eer"] == pytest.approx(measured.content["separability"]["eer"], abs=1e-6)


def flat(content: Any) -> list[float]:
    """All numbers inside, in order."""
    if isinstance(content, dict):
        return [number for value in content.values() for number in flat(value)]
    return [number for value in content for number in flat(value)] if isinstance(content, list) else [float(content)]


@pytest.mark.parametrize("together", [1 << 22, 6], ids=["bands", "tiles"])
def test_people_with_many_pictures_are_compared_in_bands_with_the_same_result(
    uneven: EmbeddingSet, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    people = people_of(uneven)
    whole = audit_within.within(uneven, people, THRESHOLD, 10**9, 0)
    monkeypatch.setattr(audit_within, "_GRAM", 2)
    monkeypatch.setattr(audit_within, "_TOGETHER", together)
    banded = audit_within.within(uneven, people, THRESHOLD, 10**9, 0)
    np.testing.assert_allclose(np.sort(banded.genuine_G), np.sort(whole.genuine_G), atol=1e-6)
    np.testing.assert_array_equal(banded.diverse_N, whole.diverse_N)


def test_of_one_person_with_many_pictures_only_the_drawn_pairs_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_within, "_GRAM", 64)
    monkeypatch.setattr(audit_within, "_TOGETHER", 1 << 14)
    rows = np.random.default_rng(0).standard_normal((2_000, 4)).astype(np.float32)
    data = written(tmp_path, rows, np.zeros(len(rows), np.int64))
    people = people_of(data)
    found = audit_within.within(data, people, THRESHOLD, 1_000, 0)
    assert 900 < len(found.genuine_G) < 1_100
    tracemalloc.start()
    again = audit_within.within(data, people, THRESHOLD, 1_000, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(again.genuine_G, found.genuine_G)
    assert peak < found.pairs  # bytes: a quarter of what all the similarities would take


def test_the_draw_of_pairs_does_not_depend_on_how_they_are_cut(
    uneven: EmbeddingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = people_of(uneven)
    every = audit_within.within(uneven, people, THRESHOLD, 10**9, 5)
    share = 300 / every.pairs
    draw_G = seeds.generator(5, "genuine pairs", 0).random(every.pairs, np.float32)
    monkeypatch.setattr(audit_within, "_TOGETHER", 100)
    drawn = audit_within.within(uneven, people, THRESHOLD, 300, 5)
    np.testing.assert_allclose(drawn.genuine_G, every.genuine_G[draw_G < share], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 9))
def test_runs_are_whole_people_and_hold_every_row_once(tmp_path_factory: Any, labels: list[int], size: int) -> None:
    rows = np.random.default_rng(0).standard_normal((len(labels), 3)).astype(np.float32)
    data = written(tmp_path_factory.mktemp("runs"), rows, np.array(labels))
    people = people_of(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthface.identity.audit_classes._ROWS", size)
        found = [
            (run.first_class, run.edge_K.copy(), run.row_BD.copy(), run.number_B.copy()) for run in runs(data, people)
        ]
    assert sorted(np.concatenate([number for *_, number in found]).tolist()) == list(range(len(labels)))
    unit = data.load()
    for first, edges, row, number in found:
        np.testing.assert_array_equal(row, unit[number])
        for k, (a, b) in enumerate(itertools.pairwise(edges)):
            assert b > a
            assert set(people.class_N[number[a:b]].tolist()) == {first + k}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1), st.sampled_from([0.5, 0.1, 0.01])
)
def test_the_lowest_fnmr_at_a_fmr_is_the_minimum_over_all_thresholds(
    genuine: list[int], impostor: list[int], rate: float
) -> None:
    g, i = np.sort(np.array(genuine, float)), np.sort(np.array(impostor, float))
    candidates = [t for t in np.arange(-0.5, 11) if np.mean(i >= t) <= rate]
    assert audit_rates.fnmr_at_fmr(g, i, rate) == pytest.approx(min(np.mean(g < t) for t in candidates))


def test_a_draw_of_pairs_says_how_large_it_was_and_repeats(uneven: EmbeddingSet) -> None:
    chosen = AuditRecipe(threshold=THRESHOLD, genuine_pairs=300, impostor_images=50)
    first, again = (audit(uneven, chosen, seed=9).content["separability"] for _ in range(2))
    other = audit(uneven, chosen, seed=10).content["separability"]
    assert first == again
    assert first["genuine"]["mean"] != other["genuine"]["mean"]
    assert 200 < first["genuine"]["count"] < 400 < first["genuine_pairs"]
    assert first["impostor_images"] == 50
    assert first["impostor"]["count"] < 50 * 49 // 2


def test_the_roc_curve_rises_to_one_and_begins_at_one_impostor_pair(measured: Audit) -> None:
    curve = measured.content["separability"]["roc"]
    assert curve["fmr"][0] == pytest.approx(1 / measured.content["separability"]["impostor"]["count"])
    assert curve["tmr"] == sorted(curve["tmr"])
    assert curve["tmr"][-1] == 1


def test_one_person_with_one_picture_is_audited_without_an_error(tmp_path: Path) -> None:
    data = written(tmp_path, np.ones((1, 4), np.float32), np.array([7]))
    content = audit(data, AuditRecipe(), seed=0).content
    assert content["uniqueness"] == {"share": 1, "unique": 1, "share_packed": 1, "packed": 1, "nearest_center": None}
    assert content["separability"]["eer"] is None
    assert content["label_noise"]["images"] == 0


def test_embeddings_without_labels_are_refused(save: Callable[..., Path]) -> None:
    data = open_embeddings([save("bare.npy", np.eye(3, dtype=np.float32))])
    with pytest.raises(InputError, match="has no labels"):
        audit(data, AuditRecipe(), seed=0)


def test_doubtful_pictures_name_the_other_person_by_similarity() -> None:
    centers = Centers(np.eye(3, dtype=np.float32))
    rows = np.array([[0.6, 0.8, 0.0], [0.8, 0.6, 0.0]], np.float32)
    classes = np.array([0, 0])
    found = audit_between.doubtful(centers, 100, rows, classes, centers.own_similarity(rows, classes))
    assert [(doubt.row, doubt.own_class, doubt.other_class) for doubt in found] == [(100, 0, 1)]
    assert found[0].other == pytest.approx(0.8)
