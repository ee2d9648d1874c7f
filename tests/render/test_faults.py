"""Killed, stopped, out of space, out of memory, damaged: nothing finished is lost, and the same command goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from generator_world import arc2face_recipe
from render_run import Command, dataset_of, rows_of, settled, until

from synthface.errors import ResourceError
from synthface.render import shards
from synthface.render.dry import DryEncoder, DryGenerator

Run = Callable[..., Any]
MakeRun = Callable[..., Path]
Start = Callable[..., Command]

KILLS = 20
LONG = {"ids": 60, "per_id": 60, "shard_images": 1_200}  # seconds of work in three shards
LONGER = {"ids": 60, "per_id": 200, "shard_images": 4_000}  # several seconds a shard, so that its claim tells of images


def history(run: Path) -> int:
    """How many commands have entered the run directory."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return len(json.loads((run / "run.json").read_text())["history"])
    return 0


def killed_after(command: Command, run: Path, entered: int, delay: float) -> bool:
    """Kills a command so many seconds after it has entered the run directory; False when it had ended by itself."""
    until(lambda: history(run) > entered or command.poll() is not None)
    time.sleep(delay)
    command.send_signal(signal.SIGKILL)
    return command.wait(30) == -signal.SIGKILL


def test_killed_twenty_times_at_random_instants_it_makes_the_same_dataset(
    start: Start, synthface: Run, make_run: MakeRun
) -> None:
    work = {"ids": 50, "per_id": 100, "shard_images": 200}
    whole, run = make_run("whole", render=work), make_run("killed", render=work)
    instants = random.Random(7)
    kills, before = 0, 0
    while kills < KILLS:
        command = start("render", "--run", run)
        assert killed_after(command, run, history(run), instants.uniform(0, 0.35)), "the work is too short for the test"
        kills += 1
        made = settled(run)
        assert made >= before, "a finished shard was lost"
        before = made
    while settled(run) < 25:
        killed_after(start("render", "--run", run), run, history(run), instants.uniform(2, 4))
    for _ in range(3):  # and in what follows the shards: pack, verify, contact sheet
        killed_after(start("render", "--run", run), run, history(run), instants.uniform(0, 1.0))
    last = start("render", "--run", run, "--json").json()
    assert last["complete"]
    assert synthface("render", "--run", whole).code == 3, "a few of the images never pass the gate"
    assert dataset_of(run) == dataset_of(whole) == last["dataset_sha256"]
    rows = [(row["identity"], row["index"]) for row in rows_of(run / "dataset")]
    assert len(set(rows)) == len(rows) == last["images"]
    assert not list(run.rglob("*.tmp")), "what killed writers left behind is cleared away"
    assert not list((run / "shards").glob("*.claim"))


def test_a_term_signal_stops_within_seconds_with_code_130_and_the_rest_follows(start: Start, make_run: MakeRun) -> None:
    run = make_run(render=LONG)
    command = start("render", "--run", run)
    until(lambda: bool(shards.claims(run / "shards")))
    command.send_signal(signal.SIGTERM)
    began = time.monotonic()
    code, _, err = command.result(60)
    assert code == 130
    assert time.monotonic() - began < 30
    assert "stopped. What was finished is kept" in err
    assert not list((run / "shards").glob(".*.tmp"))
    assert start("render", "--run", run, "--json").json()["complete"]


def test_a_device_in_the_middle_of_a_long_lot_does_not_hold_up_the_stop(
    start: Start, golden: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    run = make_run(**arc2face_recipe(golden, tmp_path))
    command = start("render", "--run", run, "--identities", tmp_path / "people512.npz", "--set",
                    "generator.num_inference_steps=500", "--set", "generator.scheduler=DDIMScheduler")  # fmt: skip
    until(lambda: bool(shards.claims(run / "shards")))
    time.sleep(0.5)
    began = time.monotonic()
    command.send_signal(signal.SIGTERM)
    assert command.result(120)[0] == 130
    assert time.monotonic() - began < 60


def test_two_processes_stop_together(start: Start, make_run: MakeRun) -> None:
    run = make_run(render=LONG)
    command = start("render", "--run", run, "--devices", "cpu,cpu")
    until(lambda: len(shards.claims(run / "shards")) == 2)
    children = psutil.Process(command.pid).children(recursive=True)
    # Python's own resource tracker ends a moment after the process that it serves
    workers = [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]
    assert len(workers) == 2
    command.send_signal(signal.SIGTERM)
    assert command.result(60)[0] == 130
    assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]


def test_a_worker_that_is_killed_is_replaced_and_its_shard_made_again(
    start: Start, synthface: Run, make_run: MakeRun
) -> None:
    run, whole = make_run(render=LONGER), make_run("whole", render=LONGER)
    command = start("render", "--run", run, "--devices", "cpu,cpu", "--json")
    until(lambda: any(claim.get("images", 0) > 0 for claim in shards.claims(run / "shards").values()))
    victim = next(claim["pid"] for claim in shards.claims(run / "shards").values() if claim.get("images", 0) > 0)
    assert victim != command.pid
    os.kill(victim, signal.SIGKILL)
    code, out, err = command.result()
    assert code in (0, 3), err
    assert "the worker was killed by SIGKILL" in err
    assert "It is begun again." in err
    assert json.loads(out)["complete"]
    assert synthface("render", "--run", whole).code == code
    assert dataset_of(run) == dataset_of(whole)


def test_workers_do_not_outlive_a_killed_parent(start: Start, make_run: MakeRun) -> None:
    run = make_run(render=LONG)
    command = start("render", "--run", run, "--devices", "cpu,cpu")
    until(lambda: len(shards.claims(run / "shards")) == 2)
    workers = [claim["pid"] for claim in shards.claims(run / "shards").values()]
    command.kill()
    command.wait(30)
    until(lambda: not any(psutil.pid_exists(pid) and _alive(pid) for pid in workers), 20)
    assert start("render", "--run", run, "--json").json()["complete"]


def _alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_the_second_of_two_renders_is_refused(start: Start, make_run: MakeRun) -> None:
    run = make_run(render=LONG)
    first = start("render", "--run", run, "--json")
    until(lambda: (run / "plan.json").exists())
    code, _, err = start("render", "--run", run).result()
    assert code == 1
    assert f"Another process is working on the run directory {run}" in err
    assert first.json()["complete"]


@pytest.mark.parametrize("damage", ["shorter", "changed", "absent", "marker"])
def test_a_damaged_shard_is_found_by_the_next_run_and_made_again(
    synthface: Run, make_run: MakeRun, expected: str, damage: str
) -> None:
    run = make_run()
    assert synthface("render", "--run", run).code == 0
    target = run / "shards" / "00001.rec"
    content = target.read_bytes()
    if damage == "shorter":
        target.write_bytes(content[:-1_000])
    elif damage == "changed":
        middle = len(content) // 2
        target.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "absent":
        target.with_suffix(".parquet").unlink()
    else:
        target.with_suffix(".json").write_text("{")
    again = synthface("render", "--run", run, "--json")
    assert again.code == 0
    assert again.json["shards"]["made_now"] == 1
    if damage != "marker":
        assert "Shard 00001 is made again" in again.err
    assert dataset_of(run) == expected


def test_a_damaged_dataset_is_packed_again(synthface: Run, make_run: MakeRun, expected: str) -> None:
    run = make_run()
    assert synthface("render", "--run", run).code == 0
    with open(run / "dataset" / "train.rec", "r+b") as file:
        file.truncate(5_000)
    assert synthface("render", "--run", run, "--json").json["shards"]["made_now"] == 0
    assert dataset_of(run) == expected


def test_when_the_devices_memory_ends_the_lot_is_halved_noted_and_the_work_goes_on(
    synthface: Run, make_run: MakeRun, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    draw = DryGenerator.sample

    def with_little_memory(self: DryGenerator, condition_ND: Any, seeds: Any, **settings: Any) -> Any:
        if len(seeds) > 3:
            raise ResourceError(f"A batch of {len(seeds)} pictures does not fit into the memory of cpu; 3 fits.")
        return draw(self, condition_ND, seeds, **settings)

    monkeypatch.setattr(DryGenerator, "sample", with_little_memory)
    result = synthface("render", "--run", run)
    assert result.code == 0
    assert "6 pictures at once do not fit, going on with 3" in result.err
    assert json.loads((run / "shards" / "00000.json").read_text())["lots"].keys() == {"3"}
    noted = json.loads((run / "run.json").read_text())["stages"]["render"]["halved_lots"]
    assert set(noted) == {"00000", "00001", "00002", "00003", "00004"}
    assert dataset_of(run) == expected


def test_when_the_memory_ends_for_the_encoders_their_batches_are_halved_and_the_work_goes_on(
    synthface: Run, make_run: MakeRun, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    look = DryEncoder.embed

    def with_little_memory(self: DryEncoder, image_BHWC: Any) -> Any:
        if len(image_BHWC) > 1:
            raise ResourceError(f"A batch of {len(image_BHWC)} pictures does not fit into the memory; 1 fits.")
        return look(self, image_BHWC)

    monkeypatch.setattr(DryEncoder, "embed", with_little_memory)
    result = synthface("render", "--run", run)
    assert result.code == 0
    assert "the encoder goes on with 1 pictures at once" in result.err
    assert json.loads((run / "shards" / "00000.json").read_text())["halved"] == {"encoder": 1, "verifier": 1}
    noted = json.loads((run / "run.json").read_text())["stages"]["render"]
    assert set(noted["halved_batches"]) == {"00000", "00001", "00002", "00003", "00004"}
    assert "halved_lots" not in noted
    assert dataset_of(run) == expected


def in_a_namespace(script: str, run: Path) -> list[str]:
    """A shell in which $RUN is a place of its own to mount on; where the kernel does not allow it: skipped, in CI a failure."""
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    probe = [*words, 'mount -t tmpfs tmpfs "$RUN"']
    if shutil.which("unshare") is None or subprocess.run(probe, env={**os.environ, "RUN": str(run)}).returncode:
        message = "this machine lets nobody mount a small file system (unshare --map-root-user --mount)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return [*words, script]


def test_a_full_disk_is_said_and_after_space_is_made_the_same_command_goes_on(
    start: Start, make_run: MakeRun, tmp_path: Path, expected: str
) -> None:
    run, small = make_run(), tmp_path / "small"
    small.mkdir()
    script = f"""
        mount -t tmpfs -o size=200k tmpfs "$RUN" && cp -r {run}/. "$RUN"
        "$@"; echo "code $?" >&2
        mount -o remount,size=32m "$RUN"
        "$@"; code=$?
        cp -r "$RUN" {tmp_path}/kept; exit $code
    """
    prefix = (*in_a_namespace(script, small), "sh")
    code, _, err = start("render", "--run", small, prefix=prefix, env={"RUN": str(small)}).result()
    assert "the disk is full" in err
    assert "Free some space and run the same command again" in err
    assert "code 1" in err
    assert "Traceback" not in err
    assert code == 0, err
    assert dataset_of(tmp_path / "kept") == expected


def test_a_read_only_directory_is_said(start: Start, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    script = 'mount --bind "$RUN" "$RUN" && mount -o remount,ro,bind "$RUN" && exec "$@"'
    prefix = (*in_a_namespace(script, tmp_path / "run"), "sh")
    code, _, err = start("render", "--run", run, prefix=prefix, env={"RUN": str(run)}).result()
    assert code == 1
    assert "the file system is read-only" in err
    assert "Choose a place that can be written" in err
