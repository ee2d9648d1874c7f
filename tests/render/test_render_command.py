"""`synthface render`, `status` and `retry` as a user calls them, on the dry generator."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from render_run import rows_of

from synthface import api, seeds
from synthface import recipe as recipes
from synthface.dataset import open_dataset
from synthface.identity import identities, perturb, prior, sphere
from synthface.identity.conditions import Guard
from synthface.render import networks, rendering
from synthface.render.dry import DryEncoder, DryGenerator
from synthface.run import RunDirectory

Run = Callable[..., Any]
MakeRun = Callable[..., Path]


def test_people_become_a_verified_dataset_with_a_contact_sheet(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    result = synthface("render", "--run", run, "--json")
    assert result.code == 0, result.err
    content = result.json
    assert content["images"] == content["images_wanted"] == content["dataset_images"] == 120
    assert content["shards"] == {"all": 5, "whole": 5, "made_now": 5, "made_again": 0}
    assert content["attempts"] == 120 + sum(content["rejected"].values())
    assert 0 < sum(content["rejected"].values()) < 60
    assert 0 < content["busy_share"] <= 1
    dataset = open_dataset(run / "dataset")
    assert len(dataset) == 120
    assert dataset.num_classes == 20
    assert dataset.image(0).shape == (48, 48, 3)
    assert (run / "dataset" / "contact_sheet.png").stat().st_size > 1_000
    assert (run / "dataset" / "README.md").exists()
    assert synthface("verify", run / "dataset").code == 0


def test_every_row_of_the_manifest_tells_how_its_picture_was_made(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    assert synthface("render", "--run", run).code == 0
    recipe = recipes.load(run / "recipe.yaml")
    center_ND = identities.load(run / "identities.safetensors").center_ND[:20]
    learned = prior.load(recipe.prior.file or "")
    guard = Guard(perturb.Perturbation(learned, recipe.perturb, recipe.seed), center_ND)
    generator, encoder = DryGenerator(64, 48), DryEncoder(64, 48)
    rows = rows_of(run / "dataset")
    assert [(row["identity"], row["index"]) for row in rows] == [(k, i) for k in range(20) for i in range(6)]
    assert {row["attempt"] for row in rows} > {0}
    for row in rows:
        assert row["seed"] == seeds.image_seed(recipe.seed, row["identity"], row["index"], row["attempt"])
        condition_1D = guard.draw(np.array([row["identity"]]), np.array([row["index"]])).condition_MD
        embedding_1D = sphere.unit_rows(encoder.embed(generator.sample(condition_1D, [row["seed"]])))
        likeness = float(embedding_1D[0].astype(np.float64) @ center_ND[row["identity"]])
        assert row["center_similarity"] == pytest.approx(likeness, abs=1e-6)
        assert row["center_similarity"] >= np.float32(0.68)
        assert row["reference_similarity"] >= np.float32(0.6)
        assert row["landmarks"] is row["yaw"] is row["detection_score"] is None


def test_a_second_call_makes_nothing_and_says_the_same(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    first = synthface("render", "--run", run, "--json").json
    before = {path: path.stat().st_mtime_ns for path in (run / "dataset").iterdir()}
    again = synthface("render", "--run", run, "--json").json
    assert again["shards"]["made_now"] == 0
    assert again["images_per_second"] is None
    assert again["dataset_sha256"] == first["dataset_sha256"]
    assert {path: path.stat().st_mtime_ns for path in (run / "dataset").iterdir()} == before


def test_other_values_are_refused_by_name(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    assert synthface("render", "--run", run).code == 0
    other = synthface("render", "--run", run, "--per-id", 7, "--set", "gate.min_center_similarity=0.5")
    assert other.code == 2
    assert "render.per_id: 6 in the directory, 7 now" in other.err
    assert "gate.min_center_similarity: 0.68 in the directory, 0.5 now" in other.err


def test_other_people_are_refused(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    assert synthface("render", "--run", run).code == 0
    made = identities.load(run / "identities.safetensors")
    made.center_ND[3] = made.center_ND[4]
    made.save(run / "identities.safetensors")
    refused = synthface("render", "--run", run)
    assert refused.code == 2
    assert "identities_sha256" in refused.err


def test_people_behind_the_rendered_ones_may_be_added(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    assert synthface("render", "--run", run).code == 0
    assert synthface("sample-ids", "--ids", 70, "--run", run).code == 0
    assert synthface("render", "--run", run).code == 0


def test_too_few_people_are_said(synthface: Run, make_run: MakeRun) -> None:
    refused = synthface("render", "--ids", 61, "--run", make_run())
    assert refused.code == 1
    assert "holds 60 people, 61 are to be rendered" in refused.err
    assert "synthface sample-ids --ids 61" in refused.err


def test_groups_of_different_depth(synthface: Run, make_run: MakeRun) -> None:
    run = make_run(render={"groups": [{"ids": 4, "per_id": 9}, {"ids": 10, "per_id": 2}]})
    assert synthface("render", "--run", run, "--json").json["images"] == 56
    counts = np.bincount(open_dataset(run / "dataset").labels_N)
    assert counts.tolist() == [9] * 4 + [2] * 10


def test_ids_on_the_command_line_replace_groups(synthface: Run, make_run: MakeRun) -> None:
    run = make_run(render={"groups": [{"ids": 4, "per_id": 9}, {"ids": 10, "per_id": 2}]})
    content = synthface("render", "--run", run, "--ids", 3, "--per-id", 2, "--json").json
    assert (content["identities"], content["images_wanted"]) == (3, 6)


def test_given_people_are_rendered_one_a_label(synthface: Run, world: Path, make_run: MakeRun, tmp_path: Path) -> None:
    with np.load(world / "people.npz") as file:
        np.savez(tmp_path / "given.npz", embeddings=file["embeddings"][:30], labels=file["labels"][:30])
    run = make_run(gate={"min_center_similarity": 0.4, "max_duplicate_similarity": None})
    content = synthface("render", "--identities", tmp_path / "given.npz", "--per-id", 3, "--run", run, "--json").json
    assert (content["identities"], content["images_wanted"]) == (10, 30)
    with np.load(tmp_path / "given.npz") as file:
        unit_MD = file["embeddings"] / np.linalg.norm(file["embeddings"].astype(np.float64), axis=1, keepdims=True)
    mean_ND = unit_MD.reshape(10, 3, -1).mean(1)
    embedding_BD = DryEncoder(64, 48).embed(np.stack([open_dataset(run / "dataset").image(i) for i in range(30)]))
    nearest = (embedding_BD @ (mean_ND / np.linalg.norm(mean_ND, axis=1, keepdims=True)).T).argmax(1)
    assert nearest.tolist() == np.repeat(np.arange(10), 3).tolist()


def ten_people(world: Path, tmp_path: Path) -> Path:
    """Embeddings of ten people, three rows each."""
    with np.load(world / "people.npz") as file:
        np.savez(tmp_path / "ten.npz", embeddings=file["embeddings"][:30], labels=file["labels"][:30])
    return tmp_path / "ten.npz"


GROUPS = [{"ids": 4, "per_id": 9}, {"ids": 10, "per_id": 2}]
LENIENT = {"min_center_similarity": 0.4, "max_duplicate_similarity": None}


def test_given_people_replace_the_recipes_groups(
    synthface: Run, world: Path, make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(gate=LENIENT, render={"groups": GROUPS})
    content = synthface("render", "--identities", ten_people(world, tmp_path), "--run", run, "--json").json
    assert (content["identities"], content["images_wanted"]) == (10, 60)


def test_given_people_are_understood_in_python_as_on_the_command_line(
    synthface: Run, world: Path, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, ten = make_run(gate=LENIENT, render={"groups": GROUPS}), ten_people(world, tmp_path)
    dataset = api.render(run, identities=ten.name, per_id=3)
    assert (dataset.num_classes, len(dataset)) == (10, 30)
    settings = recipes.load(run / "recipe.yaml").render
    assert (settings.identities, settings.ids, settings.groups) == (str(ten), 10, ())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = synthface("render", "--run", run, "--json").json
    assert (again["dataset_identities"], again["shards"]["made_now"]) == (10, 0)


def test_without_named_devices_the_cut_is_for_those_that_are_there(
    synthface: Run, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "default_devices", lambda _: ("cpu", "cpu"))
    run = make_run(render={"shard_images": None, "measure_seconds": 0.2})
    told = synthface("render", "--run", run, "--dry-run", "--json").json
    assert told["devices"] == ["cpu", "cpu"]
    assert told["shards"] >= 8, "four a worker"
    made = synthface("render", "--run", run, "--json")
    assert made.json["workers"] == 2
    assert made.json["shards"]["all"] == told["shards"]
    assert "were measured on one device" in made.err
    assert " on 2." in made.err


def test_a_rehearsal_tells_what_it_takes_and_writes_nothing(synthface: Run, make_run: MakeRun) -> None:
    run = make_run(render={"shard_images": None, "measure_seconds": 0.3})
    before = sorted(path.name for path in run.iterdir())
    content = synthface("render", "--ids", 50, "--per-id", 40, "--dry-run", "--run", run, "--json").json
    assert content["images"] == content["images_remaining"] == 2_000
    assert content["measured"]["attempts_per_second"] > 10
    assert 0.3 < content["measured"]["kept_share"] <= 1
    assert content["seconds"] == pytest.approx(content["device_hours"] * 3_600, rel=0.5, abs=4)
    assert content["bytes_of_shards"] > 2_000 * 500
    assert sorted(path.name for path in run.iterdir()) == before
    text = synthface("render", "--ids", 50, "--per-id", 40, "--dry-run", "--run", run)
    assert "2,000 images of 50 identities" in text.out
    assert "device-hours" in text.out


def test_shards_are_sized_by_the_measured_speed(synthface: Run, make_run: MakeRun) -> None:
    run = make_run(render={"shard_images": None, "shard_minutes": 1e-3, "measure_seconds": 0.2})
    content = synthface("render", "--run", run, "--json").json
    plan = json.loads((run / "plan.json").read_text())
    speed = plan["measured"]["attempts_per_second"] * plan["measured"]["kept_share"]
    assert max(images for _, _, images in plan["shards"]) <= max(6, round(speed * 0.06))
    assert content["shards"]["all"] == len(plan["shards"])


def test_a_gate_that_lets_nothing_pass_ends_with_code_3_and_the_reasons(synthface: Run, make_run: MakeRun) -> None:
    run = make_run(gate={"min_center_similarity": 0.999}, render={"ids": 60, "per_id": 10, "shard_images": 50})
    refused = synthface("render", "--run", run)
    assert refused.code == 3
    assert "None of the first 100 images passed the gate, in 400 attempts" in refused.err
    assert "400  less like its center than gate.min_center_similarity" in refused.err
    assert not (run / "dataset").exists()


def test_a_gate_that_lets_nothing_pass_is_noticed_long_before_a_large_shard_is_done(
    synthface: Run, make_run: MakeRun
) -> None:
    run = make_run(gate={"min_center_similarity": 0.999}, render={"ids": 60, "per_id": 25, "shard_images": 1_500})
    refused = synthface("render", "--run", run)
    assert refused.code == 3
    found = re.search(r"None of the first (\d+) images passed the gate", refused.err)
    assert found is not None, refused.err
    assert 125 <= int(found[1]) <= 500, "five people at least"
    assert not list((run / "shards").glob("*.failed.json"))


def test_a_small_set_of_which_nothing_passes_has_no_dataset(synthface: Run, make_run: MakeRun) -> None:
    run = make_run(gate={"min_center_similarity": 0.999}, render={"ids": 4, "per_id": 3})
    refused = synthface("render", "--run", run)
    assert refused.code == 3
    assert "Not a single image passed the gate" in refused.out
    assert synthface("render", "--run", run).code == 3


def test_identities_short_of_images_end_with_code_3_and_a_dataset(synthface: Run, make_run: MakeRun) -> None:
    run = make_run(gate={"min_center_similarity": 0.8, "max_attempts": 2})
    result = synthface("render", "--run", run, "--json")
    assert result.code == 3
    content = result.json
    assert 0 < content["images"] < 120
    assert sum(content["short"].values()) == 120 - content["images"]
    assert content["attempts"] == content["images"] + sum(content["rejected"].values())
    assert content["dataset_images"] == content["images"]
    missing = [tuple(entry[:2]) for path in sorted((run / "shards").glob("?????.json"))
               for entry in json.loads(path.read_text())["missing"]]  # fmt: skip
    there = {(row["identity"], row["index"]) for row in rows_of(run / "dataset")}
    assert there.isdisjoint(missing)
    assert len(there) + len(missing) == 120


def test_the_distribution_of_every_value_is_kept(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    content = synthface("render", "--run", run, "--json").json
    kept = json.loads((run / "render.json").read_text())["distributions"]
    assert set(kept) == {"center_similarity", "reference_similarity", "sharpness", "duplicate_similarity"}
    likeness = kept["center_similarity"]
    assert likeness["kept"]["count"] == 120
    assert likeness["rejected"]["count"] == content["attempts"] - 120
    assert sum(likeness["kept"]["histogram"]) == 120
    rows = rows_of(run / "dataset")
    assert likeness["kept"]["min"] == pytest.approx(min(row["center_similarity"] for row in rows))
    assert likeness["kept"]["sum"] == pytest.approx(sum(row["center_similarity"] for row in rows), rel=1e-6)
    edges = np.linspace(-1, 1, 101)
    counts, _ = np.histogram([row["center_similarity"] for row in rows], bins=edges)
    assert likeness["kept"]["histogram"] == counts.tolist()


def test_status_before_and_after(synthface: Run, make_run: MakeRun) -> None:
    run = make_run()
    early = synthface("status", run)
    assert early.code == 1
    assert "Nothing has been planned" in early.err
    made = synthface("render", "--run", run, "--json").json
    content = synthface("status", run, "--json").json
    assert content["images"] == content["images_settled"] == content["images_wanted"] == 120
    assert content["shards"] == {"all": 5, "whole": 5, "at_work": 0, "failed": 0}
    assert content["rejected"] == made["rejected"]
    assert content["images_per_second"] > 0
    assert content["dataset"] == str(run / "dataset")
    assert "120 of 120 images (100.0%)" in synthface("status", run).out


def test_a_shard_that_fails_is_told_with_its_traceback_and_retried_alone(
    synthface: Run, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(render={"shard_attempts": 2})
    draw = DryGenerator.sample
    calls = []

    def fails_in_shard_2(self: DryGenerator, condition_ND: Any, drawn_seeds: Any, **settings: Any) -> Any:
        center_ND = identities.load(run / "identities.safetensors").center_ND
        if (condition_ND @ center_ND[9]).max() > 0.999:  # the picture of this center itself, in shard 2
            calls.append(1)
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return draw(self, condition_ND, drawn_seeds, **settings)

    monkeypatch.setattr(DryGenerator, "sample", fails_in_shard_2)
    failed = synthface("render", "--run", run)
    assert failed.code == 1
    assert "1 of 5 shards failed, the first (00002) with: RuntimeError: CUDA error" in failed.err
    assert f"synthface retry {run}" in failed.err
    assert len(calls) == 2
    content = synthface("status", run, "--json").json
    assert content["shards"] == {"all": 5, "whole": 4, "at_work": 0, "failed": 1}
    assert "in fails_in_shard_2" in content["failed"]["00002"]["traceback"]
    text = synthface("status", run).out
    assert "shard 00002 failed after 2 attempts on cpu" in text
    assert "illegal memory access" in text

    monkeypatch.undo()
    (run / "shards" / "00004.json").unlink()  # not failed: not retry's matter
    retried = synthface("retry", run, "--json")
    assert retried.code == 0
    assert retried.json["shards"] == {"all": 5, "whole": 4, "made_now": 1, "made_again": 0}
    assert not retried.json["complete"]
    assert not (run / "shards" / "00002.failed.json").exists()
    assert synthface("render", "--run", run, "--json").json["complete"]


def test_failures_in_a_row_stop_the_whole(synthface: Run, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(render={"shard_attempts": 1})

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(DryGenerator, "sample", fails)
    failed = synthface("render", "--run", run)
    assert failed.code == 1
    assert "3 shards were given up one after the other" in failed.err
    assert len(list((run / "shards").glob("*.failed.json"))) == 3


def test_the_gate_needs_the_networks_that_it_names(synthface: Run, make_run: MakeRun) -> None:
    run = make_run(encoder={"model": "dry", "verifier": None})
    refused = synthface("render", "--run", run)
    assert refused.code == 2
    assert "encoder.verifier is null" in refused.err
    looking = synthface("render", "--run", make_run("other"), "--set", "gate.max_yaw=40")
    assert looking.code == 2
    assert "gate.max_yaw need a face detector" in looking.err


def test_demonstration_models_are_called_so_once(synthface: Run) -> None:
    result = synthface("render")  # fails later: nobody has been sampled
    assert result.code == 1
    assert result.err.count("demonstration models") == 1
    assert "--recipe arc2face-0.5m" in result.err


def test_a_part_that_cannot_be_is_refused(synthface: Run, make_run: MakeRun) -> None:
    for part in ("0/3", "4/3", "2", "a/b"):
        refused = synthface("render", "--part", part, "--run", make_run(f"run{part.replace('/', '-')}"))
        assert refused.code == 2
        assert "is not of the form i/n" in refused.err


def test_the_hash_of_the_plan_covers_what_decides_a_pixel(make_run: MakeRun) -> None:
    run = RunDirectory(make_run())

    def hash_with(**overrides: Any) -> str:
        recipe = recipes.load(run.recipe_file, overrides)
        return rendering.take_order(recipe, run).job().plan_hash

    plain = hash_with()
    for key, value in (("seed", 1), ("perturb.target_cosine", 0.7), ("gate.max_attempts", 5), ("crop.jpeg_quality", 96),
                       ("crop.jpeg_subsampling", "4:4:4"), ("render.per_id", 7), ("generator.num_inference_steps", 9)):  # fmt: skip
        assert hash_with(**{key: value}) != plain, key
    for key, value in (("generator.batch_size", 3), ("crop.threads", 1), ("render.shard_images", 50),
                       ("render.devices", ["cpu", "cpu"]), ("render.launcher", "ray")):  # fmt: skip
        assert hash_with(**{key: value}) == plain, key
