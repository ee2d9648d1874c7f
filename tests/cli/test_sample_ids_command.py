"""`synthface sample-ids` as its users meet it: extends, resumes, refuses, explains."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthface.identity import identities, prior

Run = Callable[..., Any]
ENTRY = [sys.executable, "-c", "from synthface.cli import main; main()"]


def sample(synthface: Run, prior_file: Path, ids: int, *more: object) -> Any:
    return synthface("sample-ids", "--prior", prior_file, "--ids", ids, "--threshold", 0.5, *more)


def test_it_samples_confirms_and_reports(synthface: Run, prior_file: Path) -> None:
    content = sample(synthface, prior_file, 150, "--report", "--json", "--set", "perturb.target_cosine=0.8").json
    assert content["identities"] == 150
    assert content["largest_similarity"] < 0.5
    report = content["report"]
    assert report["intra_class"]["mean"] > report["inter_class"]["mean"] + 0.3
    assert report["to_center"]["mean"] == pytest.approx(0.8, abs=0.01)
    assert report["to_center"]["quantiles"]["0.99"] < 0.99  # picture 0, the center itself, is left out
    assert 0 <= report["eer"] < 0.05
    assert report["d_prime"] > 3
    assert Path(report["figure"]).read_bytes().startswith(b"\x89PNG")
    made = identities.load("run/identities.safetensors")
    assert len(made.facts["statistics"]["nearest_histogram"]) == 200
    assert made.facts["statistics"]["acceptance_curve"][-1][1] == 150


def test_the_text_names_file_acceptance_and_proof(synthface: Run, prior_file: Path) -> None:
    done = sample(synthface, prior_file, 80, "--report")
    assert "80 identities in run/identities.safetensors" in done.out
    assert "confirmed by faiss: largest similarity of two identities 0." in done.out
    assert "EER" in done.out


def test_more_extends_fewer_keeps_and_the_bytes_are_those_of_one_run(synthface: Run, prior_file: Path) -> None:
    for ids in (40, 120):
        assert sample(synthface, prior_file, ids).code == 0
    assert sample(synthface, prior_file, 10).out.startswith("120 identities in run/identities.safetensors (10 were")
    assert sample(synthface, prior_file, 120, "--run", "once").code == 0
    assert Path("run/identities.safetensors").read_bytes() == Path("once/identities.safetensors").read_bytes()


def test_excluded_people_are_kept_away_from(synthface: Run, prior_file: Path, people_file: Path) -> None:
    free = sample(synthface, prior_file, 60, "--run", "free", "--json").json
    kept = sample(synthface, prior_file, 60, "--exclude", people_file, "--json").json
    assert kept["largest_excluded_similarity"] < 0.5
    assert kept["candidates"] > free["candidates"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", 0.6], "identities.threshold: 0.5 in the directory, 0.6 now"),
        (["--seed", 9], "seed: 0 in the directory, 9 now"),
        (["--set", "identities.scale=0.9"], "identities.scale: 1.0 in the directory, 0.9 now"),
    ],
)
def test_a_run_directory_of_other_values_is_refused(
    synthface: Run, prior_file: Path, arguments: list[object], words: str
) -> None:
    assert sample(synthface, prior_file, 20).code == 0
    before = {file: file.read_bytes() for file in Path("run").iterdir()}
    done = sample(synthface, prior_file, 40, *arguments)
    assert done.code == 2
    assert words in done.err
    assert {file: file.read_bytes() for file in Path("run").iterdir()} == before


def test_a_run_directory_of_another_prior_is_refused(synthface: Run, prior_file: Path, people_file: Path) -> None:
    assert sample(synthface, prior_file, 20).code == 0
    assert synthface("fit-prior", people_file, "--out", "p.safetensors", "--set", "prior.components=30").code == 0
    done = sample(synthface, Path("p.safetensors"), 20)
    assert done.code == 2
    assert "prior_sha256" in done.err


def test_identities_of_another_seed_copied_into_a_run_are_refused(synthface: Run, prior_file: Path) -> None:
    assert sample(synthface, prior_file, 20, "--run", "other", "--seed", 1).code == 0
    Path("run").mkdir()
    Path("run/identities.safetensors").write_bytes(Path("other/identities.safetensors").read_bytes())
    done = sample(synthface, prior_file, 30)
    assert done.code == 2
    assert "was made with another seed" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--threshold", 1], 2, "identities.threshold: input should be less than 1"),
        (["--threshold", -1.5], 2, "identities.threshold: input should be greater than -1"),
        (["--ids", 0], 2, "identities.count: input should be greater than or equal to 1"),
        (["--ids", -3], 2, "identities.count"),
        (["--exclude", "none.npy"], 1, "There is no file none.npy."),
        (["--set", "identities.components=65"], 2, "identities.components is 65 and the prior has 64"),
        (["--set", "identities.density=mixture"], 2, "density is 'mixture' and the prior holds none"),
        (["--set", "identities.treshold=0.2"], 2, "unknown key. Did you mean 'identities.threshold'?"),
    ],
)
def test_bad_values_are_one_sentence_and_leave_nothing(
    synthface: Run, prior_file: Path, arguments: list[object], code: int, words: str
) -> None:
    done = synthface("sample-ids", "--prior", prior_file, *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert not Path("run").exists()


def test_excluded_embeddings_of_another_dimension_are_refused(synthface: Run, prior_file: Path) -> None:
    np.save("real.npy", np.ones((3, 32), np.float32))
    done = sample(synthface, prior_file, 5, "--exclude", "real.npy")
    assert done.code == 1
    assert "real.npy holds embeddings of dimension 32; the encoder's is 64." in done.err


@pytest.mark.parametrize(("value", "words"), [(np.nan, "row 1 holds NaN or infinity"), (0.0, "row 1 is all zeros")])
def test_faulty_excluded_rows_are_named_and_bind_nothing(
    synthface: Run, prior_file: Path, value: float, words: str
) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    rows[1] = value
    np.save("real.npy", rows)
    done = sample(synthface, prior_file, 5, "--exclude", "real.npy")
    assert (done.code, done.out) == (1, "")
    assert f"real.npy: {words}" in done.err
    assert not Path("run").exists()
    np.save("real.npy", rows[2:])  # mended, the same command goes on
    assert sample(synthface, prior_file, 5, "--exclude", "real.npy").code == 0


def test_excluded_people_give_the_same_bytes_in_one_run_and_in_several(
    synthface: Run, prior_file: Path, people_file: Path
) -> None:
    for ids in (20, 40):
        assert sample(synthface, prior_file, ids, "--exclude", people_file).code == 0
    assert sample(synthface, prior_file, 40, "--exclude", people_file, "--run", "once").code == 0
    assert Path("run/identities.safetensors").read_bytes() == Path("once/identities.safetensors").read_bytes()


def test_what_a_later_stage_was_made_with_is_not_overwritten(synthface: Run, prior_file: Path) -> None:
    """A rendered directory: its recipe.yaml stays that of its pictures, so that the bare `render` goes on."""
    from synthface import recipe as recipes
    from synthface.run import RunDirectory

    assert sample(synthface, prior_file, 20).code == 0
    run = RunDirectory("run")
    with run.enter("render", recipes.load(run.recipe_file), {"identities_sha256": "0"}):
        run.plan_file.write_text("{}")
    before = {file: file.read_bytes() for file in Path("run").iterdir()}
    done = synthface("sample-ids", "--ids", 30, "--set", "perturb.target_cosine=0.6")
    assert (done.code, done.out) == (2, "")
    assert "perturb.target_cosine: null in the directory, 0.6 now" in done.err
    assert {file: file.read_bytes() for file in Path("run").iterdir()} == before
    assert synthface("sample-ids", "--ids", 30).code == 0  # more people change no picture


def test_the_number_of_cores_changes_no_byte_of_prior_and_identities() -> None:
    rng = np.random.default_rng(0)
    center = np.repeat(rng.standard_normal((1_000, 256)) * np.linspace(1.3, 0.5, 256) + 0.05, 3, axis=0)
    rows = center + rng.standard_normal((3_000, 256)) * 0.4
    np.savez("people.npz", embeddings=rows.astype(np.float16), labels=np.arange(3_000) // 3)
    program = (
        "import sys; from synthface.cli import cli; run = sys.argv[1]\n"
        "fit = ['fit-prior', 'people.npz', '--set', 'prior.mixture_components=3', '--run', run]\n"
        "draw = ['sample-ids', '--ids', '600', '--threshold', '0.3', '--exclude', 'people.npz', '--run', run]\n"
        "sys.exit(cli.run(fit) or cli.run(draw))"
    )
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", program, threads], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    for name in ("prior.safetensors", "identities.safetensors"):
        assert Path("1", name).read_bytes() == Path("2", name).read_bytes(), name


def test_a_prior_of_another_encoder_is_refused(synthface: Run, people_file: Path) -> None:
    assert synthface("fit-prior", people_file, "--out", "p.safetensors", "--encoder", "antelopev2").code == 0
    done = synthface("sample-ids", "--prior", "p.safetensors")
    assert done.code == 1
    assert "was fitted on embeddings of 'antelopev2', and the recipe's encoder is 'embedded'" in done.err
    assert synthface("sample-ids", "--prior", "p.safetensors", "--ids", 5, "--threshold", 0.9,
                     "--set", "encoder.model=antelopev2").code == 0  # fmt: skip


def test_excluded_embeddings_of_another_encoder_are_told_of(synthface: Run, prior_file: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    np.savez("real.npz", embeddings=rows, metadata=json.dumps({"task": {"encoder": "arcface"}}))
    done = sample(synthface, prior_file, 5, "--exclude", "real.npz")
    assert done.code == 0
    assert "real.npz was made by the encoder 'arcface', and the recipe's is 'embedded'" in done.err


@pytest.mark.parametrize("content", [b"", b"not a prior", b"\xff" * 500])
def test_a_damaged_prior_is_refused(synthface: Run, content: bytes) -> None:
    Path("p.safetensors").write_bytes(content)
    done = synthface("sample-ids", "--prior", "p.safetensors")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("synthface: p.safetensors cannot be read as safetensors")


def test_too_many_identities_stop_early_and_what_fits_is_kept(synthface: Run, prior_file: Path) -> None:
    arguments = ["--ids", 100_000, "--prior", prior_file, "--threshold", 0.3,
                 "--set", "identities.min_acceptance=0.3", "--set", "identities.acceptance_window=4096"]  # fmt: skip
    done = synthface("sample-ids", *arguments)
    assert done.code == 1
    assert "identities fit below a similarity of 0.3, and 100,000 were asked for" in done.err
    kept = identities.load("run/identities.safetensors")
    assert f"Ask for at most {len(kept):,}" in done.err
    assert kept.confirmed
    fits = synthface("sample-ids", "--ids", len(kept), *arguments[2:])
    assert fits.code == 0


def test_killed_at_any_moment_the_same_command_goes_on_to_the_same_bytes(prior_file: Path) -> None:
    command = [*ENTRY, "sample-ids", "--ids", "12000", "--prior", str(prior_file), "--threshold", "0.78",
               "--set", "identities.save_every=0.01", "--set", "identities.block=64"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = 0
    for stop_after in (0.1, 0.25, 0.4):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        appeared = Path("run/identities.safetensors")
        deadline = time.monotonic() + 60
        while process.poll() is None and not appeared.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            process.wait(stop_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        identities.load(appeared)  # whole at any instant
    assert killed
    subprocess.run(command, env=environment, check=True, capture_output=True)
    whole = [*command, "--run", "whole"]
    subprocess.run(whole, env=environment, check=True, capture_output=True)
    assert Path("run/identities.safetensors").read_bytes() == Path("whole/identities.safetensors").read_bytes()
    assert not list(Path("run").glob(".*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_accepted_and_exits_with_130(prior_file: Path, number: signal.Signals) -> None:
    command = [*ENTRY, "sample-ids", "--ids", "10000000", "--prior", str(prior_file), "--threshold", "0.9",
               "--set", "identities.save_every=0.05", "--set", "identities.min_acceptance=0"]  # fmt: skip
    heeded = functools.partial(signal.signal, number, signal.SIG_DFL)  # what runs behind a shell's & may ignore SIGINT
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heeded)
    deadline = time.monotonic() + 60
    while not Path("run/identities.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    before = len(identities.load("run/identities.safetensors"))
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.rstrip().endswith("synthface: stopped. What was finished is kept; the same command goes on.")
    assert len(identities.load("run/identities.safetensors")) >= before > 0


def test_two_processes_do_not_work_on_one_directory(synthface: Run, prior_file: Path) -> None:
    from synthface import files

    with files.exclusive("run/.lock", "the test"):
        done = sample(synthface, prior_file, 5)
    assert done.code == 1
    assert "Another process is working on the run directory run." in done.err


def test_a_full_disk_is_named_and_leaves_the_old_file(
    synthface: Run, prior_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sample(synthface, prior_file, 20).code == 0
    before = Path("run/identities.safetensors").read_bytes()
    original = os.fsync

    def full(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").count("identities.safetensors"):
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    done = sample(synthface, prior_file, 60)
    assert done.code == 1
    assert "Cannot write run/identities.safetensors: the disk is full." in done.err
    assert Path("run/identities.safetensors").read_bytes() == before
    assert not list(Path("run").glob(".*.tmp"))


def test_a_place_that_cannot_be_written_is_named(synthface: Run, prior_file: Path) -> None:
    Path("file").write_text("")
    done = sample(synthface, prior_file, 5, "--run", "file/run")
    assert done.code == 1
    assert "a part of the path is not a directory" in done.err
    done = sample(synthface, prior_file, 5, "--run", "/proc/run")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("synthface: Cannot write /proc/run")


def test_a_read_only_file_system_is_named(synthface: Run, prior_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    done = sample(synthface, prior_file, 5)
    assert (done.code, done.out) == (1, "")
    assert "the file system is read-only. Choose a place that can be written." in done.err
    assert {file.name for file in Path("run").iterdir()} <= {".lock"}


def test_the_run_remembers_how_it_was_made(synthface: Run, prior_file: Path) -> None:
    from synthface import files

    assert sample(synthface, prior_file, 20).code == 0
    record = json.loads(Path("run/run.json").read_text())
    decisive = record["stages"]["sample-ids"]["decisive"]
    assert decisive["prior_sha256"] == files.sha256_file(prior_file)
    assert decisive["identities.threshold"] == 0.5
    assert record["machine"]["versions"]["numpy"]
    assert record["history"][0]["stage"] == "sample-ids"
    again = sample(synthface, prior_file, 40, "--set", "identities.block=128")
    assert again.code == 0  # speed settings do not decide
    assert prior.load(prior_file).dimension == identities.load("run/identities.safetensors").center_ND.shape[1]
