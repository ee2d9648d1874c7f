"""`synthface train-fr`: what it writes and prints, how it is stopped and goes on, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_world import write_people

from fr_train import checkpoints
from fr_train.training import recogniser
from fr_train.training.log import TrainLog, read_log

SETTINGS = {
    "train.backbone": "small",
    "train.embedding_size": 32,
    "train.batch_size": 8,
    "train.epochs": 2,
    "train.milestones": [],
    "train.warmup_epochs": 0,
    "train.learning_rate": 0.05,
    "train.scale": 16,
    "train.precision": "no",
    "train.device": "cpu",
    "train.checkpoint_every": 4,
    "evaluate.names": ["lfw", "calfw"],
    "evaluate.bootstrap": 50,
}


def arguments(data: Path, run: Path, *more: object, **changed: object) -> list[str]:
    values = {**SETTINGS, **{f"train.{key}": value for key, value in changed.items()}}
    chosen = [part for key, value in values.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    return ["train-fr", "--data", str(data), "--run", str(run), *chosen, *map(str, more)]


Run = Callable[..., Any]


def test_it_trains_and_ends_with_the_table_of_the_last_epoch(
    people: Path, write_set: Callable[[Path, int], Path], tmp_path: Path, synthface: Run
) -> None:
    write_set(tmp_path / "bins" / "lfw.bin", 40)
    found = synthface(*arguments(people, tmp_path / "run", "--benchmarks", tmp_path / "bins"))
    assert found.code == 0, found.err
    fr = tmp_path / "run" / "fr"
    assert found.out.startswith("small with adaface: 6 people, 48 pictures, 12 steps, loss ")
    assert f"The recogniser is {fr / 'model.pt'}." in found.out
    assert "| Accuracy, % |" in found.out
    assert "LFW" in found.out
    assert "CALFW is absent: insightface's training archives carry it" in found.err
    result = json.loads((fr / "result.json").read_text())
    assert result["training"]["epochs"] == 2
    assert 0.4 < result["evaluation"]["benchmarks"]["lfw"]["accuracy"] <= 1
    assert len(read_log(fr / "log.jsonl")) == 12
    last, model = (checkpoints.read(fr / name)["model"] for name in ("checkpoints/last.pt", "model.pt"))
    assert all(torch.equal(last[key], model[key]) for key in last)  # the last epoch is what is measured

    again = synthface(*arguments(people, tmp_path / "run", "--benchmarks", tmp_path / "bins", "--json"))
    assert again.code == 0
    assert again.json["evaluation"]["benchmarks"] == result["evaluation"]["benchmarks"]
    assert again.json["training"] == result["training"]  # a finished training is not repeated, and its facts are kept
    assert json.loads((fr / "result.json").read_text())["training"] == result["training"]
    assert result["training"]["seconds"] > 0


def test_without_sets_it_says_which_are_wanted_and_where_they_are(people: Path, tmp_path: Path, synthface: Run) -> None:
    found = synthface(*arguments(people, tmp_path / "run", "--benchmarks", tmp_path / "bins", "--json", epochs=1))
    assert found.code == 0, found.err
    assert found.json["evaluation"] is None
    assert f"There is no folder {tmp_path / 'bins'}, so the recogniser is not measured." in found.err
    assert "LFW (lfw.bin): insightface's training archives carry it" in found.err


def test_a_folder_without_sets_is_like_none(people: Path, tmp_path: Path, synthface: Run) -> None:
    (tmp_path / "bins").mkdir()
    found = synthface(*arguments(people, tmp_path / "run", "--benchmarks", tmp_path / "bins", "--json", epochs=1))
    assert found.code == 0, found.err
    assert found.json["evaluation"] is None
    assert (
        f"There is no verification set (*.bin) in {tmp_path / 'bins'}, so the recogniser is not measured." in found.err
    )
    assert "LFW (lfw.bin): insightface's training archives carry it" in found.err
    assert json.loads((tmp_path / "run" / "fr" / "result.json").read_text()) == found.json


def test_what_a_training_gave_is_written_before_it_is_measured(
    people: Path, write_set: Callable[[Path, int], Path], tmp_path: Path, synthface: Run
) -> None:
    whole = write_set(tmp_path / "bins" / "lfw.bin", 40).read_bytes()
    (tmp_path / "bins" / "lfw.bin").write_bytes(whole[:5_000])
    again = arguments(people, tmp_path / "run", "--benchmarks", tmp_path / "bins", epochs=1)
    torn = synthface(*again)
    assert torn.code == 1
    assert "is truncated or damaged" in torn.err
    path = tmp_path / "run" / "fr" / "result.json"
    kept = json.loads(path.read_text())
    assert (kept["training"]["steps"], kept["evaluation"]) == (6, None)

    (tmp_path / "bins" / "lfw.bin").write_bytes(whole)
    assert synthface(*again).code == 0
    measured = json.loads(path.read_text())
    assert measured["evaluation"]["benchmarks"]["lfw"]["pairs"] == 40

    (tmp_path / "bins" / "lfw.bin").write_bytes(whole[:5_000])
    assert synthface(*again).code == 1
    assert json.loads(path.read_text()) == measured  # an earlier table of the same training outlives a failure


def test_computed_people_are_made_for_the_table_where_no_folder_is_named(
    people: Path, tmp_path: Path, synthface: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "cache"))
    sets = ("--set", "evaluate.names=[lfw, mixed]", "--set", "evaluate.pairs=20")
    found = synthface(*arguments(people, tmp_path / "run", *sets, "--json", epochs=1))
    assert found.code == 0, found.err
    assert found.json["evaluation"]["benchmarks"]["mixed"]["pairs"] == 20
    assert list(found.json["evaluation"]["absent"]) == ["lfw"]
    assert "The sets of computed people have 20 pairs each, the field's 6,000" in found.err
    made = tmp_path / "cache" / "benchmarks" / "parametric-20"
    assert sorted(file.name for file in made.iterdir()) == ["mixed.bin", "mixed.json"]
    before = (made / "mixed.bin").stat().st_mtime_ns
    (made / "cross_pose.bin").write_bytes(
        (made / "mixed.bin").read_bytes()
    )  # a set of another recipe in the same cache
    measured = synthface("evaluate", tmp_path / "run" / "fr" / "model.pt", "--run", tmp_path / "run", "--json", *sets)
    assert measured.code == 0, measured.err
    assert measured.json["benchmarks"] == found.json["evaluation"]["benchmarks"]
    assert (made / "mixed.bin").stat().st_mtime_ns == before  # made once

    monkeypatch.setenv("SYNTHFACE_CACHE", str(tmp_path / "run" / "fr" / "model.pt"))  # a file where a folder is wanted
    broken = synthface("evaluate", tmp_path / "run" / "fr" / "model.pt", "--run", tmp_path / "run", *sets)
    assert broken.code == 1
    assert "model.pt" in broken.err


KILLED = """
import os, signal
from fr_train.training.log import TrainLog
write = TrainLog.write
def writing(log, step, facts):
    write(log, step, facts)
    if step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
TrainLog.write = writing
from synthface.cli import main
main()
"""


def test_killed_by_the_kernel_the_same_command_goes_on_to_the_same_bits(
    people: Path, tmp_path: Path, synthface: Run
) -> None:
    whole = synthface(*arguments(people, tmp_path / "whole", "--benchmarks", "none"))
    assert whole.code == 0, whole.err
    command = [sys.executable, "-c", KILLED, *arguments(people, tmp_path / "cut", "--benchmarks", "none")]
    killed = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(read_log(tmp_path / "cut" / "fr" / "log.jsonl")) == 7
    assert checkpoints.read(tmp_path / "cut" / "fr" / "checkpoints" / "last.pt")["step"] == 4

    resumed = synthface(*arguments(people, tmp_path / "cut", "--benchmarks", "none", "--resume"))
    assert resumed.code == 0, resumed.err
    assert "Going on from" in resumed.err
    logs = [read_log(tmp_path / run / "fr" / "log.jsonl") for run in ("whole", "cut")]
    for one, other in zip(*logs, strict=True):
        assert {**one, "images_per_second": 0} == {**other, "images_per_second": 0}
    one, other = (checkpoints.read(tmp_path / run / "fr" / "checkpoints" / "last.pt") for run in ("whole", "cut"))
    assert all(torch.equal(one["model"][key], other["model"][key]) for key in one["model"])
    assert all(torch.equal(one["head"][key], other["head"][key]) for key in one["head"])
    momenta = [content["optimizer"]["state"] for content in (one, other)]
    assert all(
        torch.equal(momenta[0][key]["momentum_buffer"], momenta[1][key]["momentum_buffer"]) for key in momenta[0]
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_step_with_a_checkpoint_and_130(
    people: Path, tmp_path: Path, synthface: Run, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write = TrainLog.write

    def writing(log: TrainLog, step: int, facts: dict[str, Any]) -> None:
        write(log, step, facts)
        if step == 5:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(TrainLog, "write", writing)
    found = synthface(*arguments(people, tmp_path / "run"))
    assert found.code == 130
    assert "Stopping after this step, with a checkpoint" in found.err
    assert checkpoints.read(tmp_path / "run" / "fr" / "checkpoints" / "last.pt")["step"] == 6


def test_restart_begins_anew_and_other_values_need_it(people: Path, tmp_path: Path, synthface: Run) -> None:
    run = tmp_path / "run"
    first = synthface(*arguments(people, run, "--benchmarks", "none", epochs=1))
    assert first.code == 0, first.err
    other = synthface(*arguments(people, run, "--benchmarks", "none", epochs=1, learning_rate=0.01))
    assert other.code == 2
    assert "train.learning_rate: 0.05 in the directory, 0.01 now" in other.err
    assert "Give those values again, remove this training with --restart, or start another directory" in other.err
    reseeded = synthface(*arguments(people, run, "--set", "seed=1", "--benchmarks", "none", epochs=1))
    assert "with --restart" in reseeded.err
    more = synthface(*arguments(people, tmp_path / "new", "--resume"))
    assert more.code == 1
    assert "last.pt to resume from" in more.err
    both = synthface(*arguments(people, run, "--resume", "--restart"))
    assert both.code == 2
    assert "exclude each other" in both.err
    again = synthface(*arguments(people, run, "--benchmarks", "none", "--restart", epochs=1, learning_rate=0.01))
    assert again.code == 0, again.err
    log = read_log(run / "fr" / "log.jsonl")
    assert (len(log), log[0]["lr"]) == (6, 0.01)


def test_the_advice_of_a_failed_beginning_can_be_followed_in_the_same_run(
    people: Path, tmp_path: Path, synthface: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    fast = synthface(*arguments(people, run, "--benchmarks", "none", epochs=1, learning_rate=1e30, head="cosface"))
    assert "Lower train.learning_rate, or add train.warmup_epochs or train.clip_grad_norm." in fast.err
    whole = recogniser.normalised

    def full(image_BHWC: torch.Tensor, color: str) -> torch.Tensor:
        if len(image_BHWC) > 4:
            raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB")
        return whole(image_BHWC, color)

    monkeypatch.setattr(recogniser, "normalised", full)
    large = synthface(*arguments(people, run, "--benchmarks", "none", epochs=1))
    assert "Try --batch-size 4, and scale" in large.err
    small = synthface(*arguments(people, run, "--benchmarks", "none", "--batch-size", "4", epochs=1))
    assert small.code == 0, small.err
    assert len(read_log(run / "fr" / "log.jsonl")) == 12


def test_more_damaged_pictures_may_be_allowed_in_the_same_run(tmp_path: Path, synthface: Run) -> None:
    folder, run = damaged(tmp_path / "data"), tmp_path / "run"
    strict = synthface(*arguments(folder, run, "--benchmarks", "none", checkpoint_every=1))
    assert "raise train.max_corrupt" in strict.err
    lenient = synthface(*arguments(folder, run, "--benchmarks", "none", checkpoint_every=1, max_corrupt=0.2))
    assert lenient.code == 0, lenient.err


def damaged(folder: Path) -> Path:
    """Class folders in which 3 of 24 pictures cannot be decoded."""
    write_people(folder, 4, 6)
    for photo in range(3):
        (folder / "0002" / f"{photo}.jpg").write_bytes(b"\xff\xd8\xff damaged")
    return folder


@pytest.mark.parametrize(
    ("make", "changed", "code", "sentence"),
    [
        (lambda folder: folder, {}, 1, "There is no dataset"),
        (lambda folder: write_people(folder, 1, 9), {}, 1, "has one class; recognition is learned from differences"),
        (lambda folder: write_people(folder, 2, 2), {}, 2, "A batch of 8 is larger than the data, which has 4 pictures"),
        (damaged, {}, 1, "pictures cannot be decoded, more than train.max_corrupt"),
        (lambda folder: write_people(folder, 2, 4), {"backbone": "ir_5O"}, 2, "There is no backbone named 'ir_5O'"),
        (lambda folder: write_people(folder, 2, 4), {"head": "arcfase"}, 2, "arcface"),
        (lambda folder: write_people(folder, 2, 4), {"precision": "fp16"}, 2, "fp16 needs a CUDA device"),
        (lambda folder: write_people(folder, 2, 4), {"device": "cuda:7"}, 1, "'cuda:7' was asked for"),
        (lambda folder: write_people(folder, 2, 4), {"device": "tpu"}, 2, "There is no device 'tpu'"),
        (lambda folder: write_people(folder, 2, 4), {"warmup_epochs": 2}, 2, "leaves nothing of 2 epochs"),
        (lambda folder: write_people(folder, 2, 4), {"learning_rate": 1e30, "head": "cosface"}, 1, "no longer a number"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_with_the_fix_and_no_traceback(
    tmp_path: Path,
    synthface: Run,
    make: Callable[[Path], Path],
    changed: dict[str, object],
    code: int,
    sentence: str,
) -> None:
    if torch.cuda.is_available() and sentence in ("fp16 needs a CUDA device", "'cuda:7' was asked for"):
        pytest.skip("there is a CUDA device")
    found = synthface(*arguments(make(tmp_path / "data"), tmp_path / "run", **changed))
    assert found.code == code, found.err
    assert sentence in found.err
    assert "Traceback" not in found.err
    assert found.out == ""
