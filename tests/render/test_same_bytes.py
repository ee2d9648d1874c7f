"""One recipe, one dataset: whatever made it, however it was cut, however often it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from generator_world import arc2face_recipe
from render_run import Command, dataset_of, rows_of

from synthface import recipe as recipes
from synthface.dataset import open_dataset
from synthface.render import rendering
from synthface.run import RunDirectory

Run = Callable[..., Any]
MakeRun = Callable[..., Path]
Start = Callable[..., Command]


@pytest.mark.parametrize(
    "changed",
    [
        {"render": {"shard_images": 1}},
        {"render": {"shard_images": 50}, "crop": {"threads": 1}},
        {"generator": {"batch_size": 3}, "crop": {"threads": 5}},
    ],
)
def test_the_cut_the_batch_and_the_threads_decide_nothing(
    synthface: Run, make_run: MakeRun, expected: str, changed: dict[str, Any]
) -> None:
    run = make_run(**changed)
    assert synthface("render", "--run", run).code == 0
    assert dataset_of(run) == expected


def test_two_processes_make_the_same(start: Start, make_run: MakeRun, expected: str) -> None:
    run = make_run()
    content = start("render", "--run", run, "--devices", "cpu,cpu", "--json").json()
    assert content["workers"] == 2
    assert content["dataset_sha256"] == expected == dataset_of(run)


def test_three_parts_make_the_same_and_the_last_one_packs(synthface: Run, make_run: MakeRun, expected: str) -> None:
    run = make_run()
    for part in ("3/3", "1/3"):
        content = synthface("render", "--part", part, "--run", run, "--json").json
        assert not content["complete"]
        assert content["dataset"] is None
    assert not (run / "dataset").exists()
    content = synthface("render", "--part", "2/3", "--run", run, "--json").json
    assert content["dataset_sha256"] == expected == dataset_of(run)


def test_parts_that_run_at_once_make_the_same(start: Start, make_run: MakeRun, expected: str) -> None:
    run = make_run(render={"shard_images": None, "shard_minutes": 1e-3, "measure_seconds": 0.1})
    commands = [start("render", "--part", f"{part}/3", "--run", run, "--json") for part in (1, 2, 3)]
    contents = [command.json() for command in commands]
    assert sum(content["shards"]["made_now"] for content in contents) == contents[0]["shards"]["all"]
    assert {content["plan"] for content in contents} == {contents[0]["plan"]}
    assert any(content["dataset_sha256"] == expected for content in contents)
    assert dataset_of(run) == expected


def test_a_part_and_the_whole_exclude_each_other(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    directory = RunDirectory(run)
    order = rendering.take_order(recipes.load(run / "recipe.yaml"), directory)
    with directory.enter("render", order.recipe, order.extra, together=True):
        assert "Another process is working on the run directory" in synthface("render", "--run", run).err
        assert synthface("render", "--run", run, "--part", "1/2").code == 0
    with directory.enter("render", order.recipe, order.extra):
        refused = synthface("render", "--run", run, "--part", "2/2")
        assert refused.code == 1
        assert "Another process is working on the run directory" in refused.err


def test_another_seed_makes_another_dataset_of_the_same_people(
    synthface: Run, make_run: MakeRun, expected: str
) -> None:
    run = make_run()
    assert synthface("render", "--run", run, "--set", "perturb.target_cosine=0.81").code == 0
    assert dataset_of(run) != expected
    assert [row["identity"] for row in rows_of(run / "dataset")] == [k for k in range(20) for _ in range(6)]


def test_arc2face_draws_the_same_in_one_process_and_in_two(
    start: Start, golden: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    """The official layout, ONNX encoders and torch: bits that could depend on threads and batches do not."""
    sections = arc2face_recipe(golden, tmp_path)
    one, two = make_run("one", **sections), make_run("two", **sections)
    people = str(tmp_path / "people512.npz")
    content = start("render", "--run", one, "--identities", people, "--json", "--set", "generator.batch_size=5").json()
    assert content["images"] > 8
    assert content["attempts"] > content["images"], "some were drawn again"
    both = start("render", "--run", two, "--identities", people, "--devices", "cpu,cpu", "--json").json()
    assert both["workers"] == 2
    assert both["dataset_sha256"] == content["dataset_sha256"]
    assert len(open_dataset(two / "dataset")) == content["images"]
