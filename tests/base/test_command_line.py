"""What all commands share: quick help, hints, exit codes, and stdout for results alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from synthface import errors
from synthface.cli import COMMANDS, cli

Run = Callable[..., Any]


def all_commands() -> list[tuple[str, click.Command]]:
    context = click.Context(cli)
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", part) for inner, part in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), [pytest.param(*found, id=found[0]) for found in all_commands()])
def test_every_command_has_examples_debug_and_options_with_help(name: str, command: click.Command) -> None:
    assert "Example" in (command.help or "")
    assert f"synthface {name}" in (command.help or "")
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    for option in options:
        assert option.help, option.name
        hidden = isinstance(option.default, str | int | float | Path) and not option.show_default
        assert option.is_flag or not hidden, f"{option.name}: defaults live in the recipe, or are shown"
    if not isinstance(command, click.Group):
        assert any("--debug" in option.opts for option in options)


def test_help_imports_neither_torch_nor_numpy_nor_a_command() -> None:
    program = (
        "import sys\nfrom synthface.cli import cli\ncli.run(['--help'])\n"
        "heavy = {'torch', 'numpy', 'diffusers', 'faiss', 'cv2', 'pydantic', 'sklearn', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"train-fr", "evaluate", "train-generator"}])
def test_a_commands_help_imports_no_torch(name: str) -> None:
    program = f"import sys\nfrom synthface.cli import cli\ncode = cli.run([{name!r}, '--help'])\nsys.exit(code or ('torch' in sys.modules) * 9)"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sampl-ids"], "There is no command 'sampl-ids'. Did you mean 'sample-ids'?"),
        (["xyzzy"], "`synthface --help` lists the commands."),
        (["sample-ids", "--thresold", "0.3"], "--threshold"),
        (["recipe", "lst"], "list"),
        (["fit-prior"], "Missing argument 'EMB...'"),
        (["sample-ids", "--ids", "many"], "'many' is not a valid integer"),
        (["sample-ids", "--recipe", "embeded"], "Did you mean 'embedded'?"),
    ],
)
def test_wrong_usage_exits_with_2_and_a_hint(synthface: Run, arguments: list[str], words: str) -> None:
    done = synthface(*arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "Traceback" not in done.err


def test_no_command_prints_the_help(synthface: Run) -> None:
    assert "sample-ids" in synthface("--help").out
    assert synthface("--help").code == 0
    assert re.fullmatch(r"synthface \d+\.\d+\.\d+\n", synthface("--version").out)


def test_a_traceback_appears_with_debug_only() -> None:
    command = [sys.executable, "-c", "from synthface.cli import main; main()", "recipe", "validate", "nothing.yaml"]
    plain, debug = (
        subprocess.run(command + more, capture_output=True, text=True, check=False) for more in ([], ["--debug"])
    )
    assert plain.returncode == debug.returncode == 2
    assert plain.stderr.startswith("synthface: There is no recipe named 'nothing.yaml'")
    assert debug.stderr.startswith("Traceback")
    assert debug.stderr.endswith(plain.stderr)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("no"), 2),
        (errors.InputError("no"), 1),
        (errors.RunConflictError("no"), 2),
        (errors.PartlyDoneError("no"), 3),
        (KeyboardInterrupt(), 130),
        (ValueError("no"), 1),
    ],
)
def test_debug_changes_no_exit_code(
    synthface: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("synthface.recipe.load", fail)
    plain, debug = (synthface("recipe", "validate", "embedded", *more) for more in ([], ["--debug"]))
    assert (plain.code, debug.code) == (code, code)
    assert "Traceback" not in plain.err
    assert debug.err.lstrip().startswith("Traceback")
    assert plain.err.splitlines()[-1] in debug.err


def test_what_was_interrupted_ends_though_a_thread_is_busy_and_runs_its_exit_functions() -> None:
    script = """
import atexit, threading, time
import synthface.recipe
from synthface.cli import main

def interrupted(*arguments):
    threading.Thread(target=time.sleep, args=(600,)).start()
    raise KeyboardInterrupt

atexit.register(print, "exit functions ran")
synthface.recipe.load = interrupted
main()
"""
    words = [sys.executable, "-c", script, "recipe", "validate", "embedded"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert done.stdout == "exit functions ran\n"
    assert done.stderr.endswith("synthface: stopped. What was finished is kept; the same command goes on.\n")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("Unable to allocate 9.31 GiB"), "The memory is too small: Unable to allocate 9.31 GiB."),
        (PermissionError(13, "Permission denied", "secret.npy"), "secret.npy: Permission denied. Check the path"),
        (KeyError("x"), "Unexpected KeyError: 'x'. The same command with --debug shows where"),
    ],
)
def test_a_failure_that_nobody_foresaw_is_a_sentence_too(
    synthface: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("synthface.recipe.load", fail)
    done = synthface("recipe", "validate", "embedded")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"synthface: {words}")


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -c 'from synthface.cli import main; main()' recipe show | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(done.stdout) == 10
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize(("shell", "words"), [("bash", "complete"), ("zsh", "#compdef synthface"), ("fish", "complete")])  # fmt: skip
def test_shells_can_complete_commands(shell: str, words: str) -> None:
    command = [sys.executable, "-c", "from synthface.cli import main; main()"]
    script = subprocess.run(command, env={**os.environ, "_SYNTHFACE_COMPLETE": f"{shell}_source"},
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert words in script.stdout
    asked = {**os.environ, "_SYNTHFACE_COMPLETE": "bash_complete", "COMP_WORDS": "synthface sam", "COMP_CWORD": "1"}
    found = subprocess.run(command, env=asked, capture_output=True, text=True, check=True)
    assert "sample-ids" in found.stdout


def test_recipes_are_listed_shown_copied_validated(synthface: Run, tmp_path: Path) -> None:
    assert "embedded" in synthface("recipe", "list").out
    assert synthface("recipe", "show", "embedded", "--json").json["identities"]["count"] == 1_000
    assert "identities.threshold  (default: 0.3)" in synthface("recipe", "show", "--key", "identities").out
    assert synthface("recipe", "copy", "embedded", tmp_path / "mine.yaml").code == 0
    assert synthface("recipe", "validate", tmp_path / "mine.yaml").out.endswith("is valid.\n")
    assert synthface("recipe", "copy", "embedded", tmp_path / "mine.yaml").code == 1
    unknown = synthface("recipe", "show", "--key", "identities.treshold")
    assert unknown.code == 2
    assert "Did you mean 'identities.threshold'?" in unknown.err


def test_doctor_tells_versions_processor_disk_and_weights(synthface: Run, tmp_path: Path) -> None:
    content = synthface("doctor", "--run", tmp_path / "run", "--json").json
    subjects = {finding["subject"] for finding in content["findings"]}
    assert {"python", "torch", "faiss-cpu", "processor", "memory", "disk"} <= subjects
    assert any(subject == "gpu" or subject.startswith("cuda:") for subject in subjects)
    assert any(subject.startswith("weights") for subject in subjects)
    for finding in content["findings"]:
        assert finding["state"] == "ok" or finding["advice"]
    assert not (tmp_path / "run").exists()


def test_doctor_names_weights_that_are_here_and_says_how_to_get_the_others(
    synthface: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHFACE_MODELS", str(tmp_path))
    (tmp_path / "own.onnx").write_bytes(b"a network")
    chosen = ["--set", f"encoder.model={tmp_path / 'own.onnx'}", "--set", "encoder.detector=scrfd"]
    done = synthface("doctor", *chosen, "--json")
    assert done.code == 1
    findings = {finding["subject"]: finding for finding in done.json["findings"]}
    assert f"encoder.model={tmp_path / 'own.onnx'}" in findings["weights"]["value"]
    assert findings["scrfd"]["advice"] == "synthface models pull scrfd"
    assert findings["public weights"] == {
        "subject": "public weights", "state": "note", "value": "none pulled",
        "advice": "`synthface models list` shows them",
    }  # fmt: skip
    assert "→ synthface models pull scrfd" in synthface("doctor", *chosen).out


def test_doctor_calls_a_missing_package_and_an_unwritable_place_a_lack(
    synthface: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from synthface import doctor

    monkeypatch.chdir(tmp_path)  # click looks at the run directory too, where there is one

    known = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("timm", "ray") else known(name))
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    told = synthface("doctor", "--json")
    assert told.out, told.err
    findings = {finding["subject"]: finding for finding in told.json["findings"]}
    assert (findings["timm"]["state"], findings["timm"]["advice"]) == ("lack", "pip install timm")
    assert (findings["ray"]["state"], findings["ray"]["advice"]) == (
        "note", "only when you use it: pip install 'synthface[ray]'",
    )  # fmt: skip
    assert findings["run directory"]["state"] == "lack"
