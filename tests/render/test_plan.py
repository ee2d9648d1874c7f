"""The cut, its file, and the people behind it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthface.errors import InputError, RunConflictError, UsageError
from synthface.recipe.pictures import RenderRecipe
from synthface.render import people, plan
from synthface.render.plan import Plan

counts = st.lists(st.integers(1, 60), min_size=1, max_size=80).map(lambda values: np.array(values, np.int64))


@given(counts, st.integers(1, 500), st.integers(1, 5))
def test_shards_are_whole_identities_in_order_and_no_larger_than_asked(
    images_N: np.ndarray, size: int, workers: int
) -> None:
    shards = plan.cut(images_N, size, workers)
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert [shard.first for shard in shards] == [0, *(shard.end for shard in shards[:-1])]
    assert shards[-1].end == len(images_N)
    for shard in shards:
        assert shard.images == images_N[shard.first : shard.end].sum()
        assert shard.images <= size or shard.end == shard.first + 1


@given(counts, st.integers(1, 100), st.integers(1, 7))
def test_parts_together_are_the_whole_and_share_nothing(images_N: np.ndarray, size: int, parts: int) -> None:
    planned = Plan({}, images_N, plan.cut(images_N, size))
    numbers = [shard.number for part in range(1, parts + 1) for shard in planned.part((part, parts))]
    assert sorted(numbers) == list(range(len(planned.shards)))


def test_several_workers_get_several_shards_each() -> None:
    assert len(plan.cut(np.full(100, 10), 1_000_000)) == 1
    assert len(plan.cut(np.full(100, 10), 1_000_000, workers=4)) >= 16


def test_a_plan_is_read_back_and_refused_for_other_values(tmp_path: Path) -> None:
    images_N = np.array([5, 5, 2, 9])
    made = Plan({"seed": 0, "crop.size": 112}, images_N, plan.cut(images_N, 10), {"attempts_per_second": 3.0})
    made.save(tmp_path / "plan.json")
    found = plan.load(tmp_path / "plan.json", images_N, dict(made.decisive))
    assert (found.shards, found.hash, found.measured) == (made.shards, made.hash, made.measured)
    with pytest.raises(
        RunConflictError, match=r"crop.size: 112 in the plan, 96 now\n  seed: 0 in the plan, absent now"
    ):
        plan.load(tmp_path / "plan.json", images_N, {"crop.size": 96})


@pytest.mark.parametrize("damage", ["gap", "images", "format", "json", "keys"])
def test_a_damaged_plan_is_said(tmp_path: Path, damage: str) -> None:
    images_N = np.array([5, 5, 2, 9])
    path = tmp_path / "plan.json"
    Plan({}, images_N, plan.cut(images_N, 10)).save(path)
    content = json.loads(path.read_text())
    if damage == "gap":
        content["shards"][1][0] += 1
    elif damage == "images":
        content["shards"][1][2] += 1
    elif damage == "format":
        content["format"] = "synthface.plan/0"
    elif damage == "keys":
        del content["measured"]
    path.write_text("{" if damage == "json" else json.dumps(content))
    with pytest.raises(InputError, match=r"plan\.json"):
        plan.load(path, images_N, {})


def test_the_order_of_values_does_not_matter_to_the_hash_and_their_change_does() -> None:
    assert plan.fingerprint({"a": 1, "b": [2]}) == plan.fingerprint({"b": [2], "a": 1})
    assert plan.fingerprint({"a": 1}) != plan.fingerprint({"a": 1.5})


def test_part_of() -> None:
    assert plan.parse_part("2/8") == (2, 8)
    for text in ("0/8", "9/8", "8", "-1/2", "1/0"):
        with pytest.raises(UsageError, match="not of the form"):
            plan.parse_part(text)


def test_the_published_set_of_1_2_million_is_a_recipe() -> None:
    settings = RenderRecipe.model_validate({"groups": [{"ids": 20_000, "per_id": 50}, {"ids": 40_000, "per_id": 5}]})
    images_N = people.images_of(settings)
    assert len(images_N) == 60_000
    assert images_N.sum() == 1_200_000


def test_given_people_that_cancel_out_are_named(tmp_path: Path) -> None:
    row = np.ones(8, np.float32)
    np.savez(tmp_path / "e.npz", embeddings=np.stack([row, row, -row]), labels=np.array([3, 7, 7]))
    with pytest.raises(InputError, match="person 7 cancel out"):
        people.given(str(tmp_path / "e.npz"))
