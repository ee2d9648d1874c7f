"""`synthface fit-prior` as its users meet it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from synthface.identity import prior

Run = Callable[..., Any]


def test_it_prints_what_it_learned(synthface: Run, people_file: Path, tmp_path: Path) -> None:
    done = synthface("fit-prior", people_file, "--out", "p.safetensors", "--encoder", "mine", "--plot", "fig/plot.png")
    assert done.code == 0
    assert "400 people from 1,200 embeddings of dimension 64" in done.out
    assert "50: " in done.out
    assert (tmp_path / "fig/plot.png").read_bytes().startswith(b"\x89PNG")
    made = prior.load(tmp_path / "p.safetensors")
    assert made.encoder == "mine"
    assert made.facts["rows"] == 1_200


def test_json_holds_the_figures_and_nothing_else(synthface: Run, people_file: Path) -> None:
    content = synthface("fit-prior", people_file, "--out", "p.safetensors", "--json").json
    assert content["people"] == 400
    assert 0.8 < content["explained_variance"]["50"] < 1
    assert content["effective_dimension"] == pytest.approx(prior.load("p.safetensors").effective_dimension)
    assert set(content["similarity_of_two_draws"]) == {"mean", "std"}
    assert content["within_class"]["degrees_of_freedom"] == 800


def stated(name: str, encoder: str) -> Path:
    """An embedding file that says which encoder made it, as those of `synthface embed` do."""
    rows = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
    facts = json.dumps({"task": {"encoder": encoder}})
    if name.endswith(".npz"):
        np.savez(name, embeddings=rows, metadata=facts)
    elif name.endswith(".safetensors"):
        save_file({"embeddings": rows}, name, metadata={"synthface": facts})
    else:
        np.save(name, rows)
        Path(f"{name}.json").write_text(facts)
    return Path(name)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.safetensors"])
def test_the_encoder_is_the_one_that_the_files_name(synthface: Run, name: str) -> None:
    file = stated(name, "arcface")
    assert synthface("fit-prior", file, "--out", "p.safetensors", "--json").json["encoder"] == "arcface"
    assert prior.load("p.safetensors").encoder == "arcface"
    assert "made by 'mine'" in synthface("fit-prior", file, "--out", "q.safetensors", "--encoder", "mine").out
    assert prior.load("q.safetensors").encoder == "mine"


def test_files_of_two_encoders_are_refused(synthface: Run) -> None:
    files = [stated("a.npz", "arcface"), stated("b.npz", "embedded")]
    done = synthface("fit-prior", *files, "--out", "p.safetensors")
    assert done.code == 1
    assert "a.npz was made by the encoder 'arcface' and b.npz by 'embedded'." in done.err
    assert not Path("p.safetensors").exists()


def test_in_a_run_directory_it_leaves_its_recipe_and_record(synthface: Run, people_file: Path, tmp_path: Path) -> None:
    assert synthface("fit-prior", people_file, "--run", "r").code == 0
    assert {file.name for file in (tmp_path / "r").iterdir()} == {
        ".lock", "prior.safetensors", "recipe.yaml", "run.json",
    }  # fmt: skip
    again = synthface("fit-prior", people_file, "--run", "r", "--set", "prior.components=20")
    assert again.code == 2
    assert "prior.components: null in the directory, 20 now" in again.err


def test_other_embeddings_or_another_encoder_are_refused_in_a_run_directory(synthface: Run, people_file: Path) -> None:
    assert synthface("fit-prior", people_file, "--run", "r", "--encoder", "mine").code == 0
    before = {file: file.read_bytes() for file in Path("r").iterdir()}
    with np.load(people_file) as file:
        np.savez("other.npz", embeddings=file["embeddings"][:-3], labels=file["labels"][:-3])
    for arguments, words in (
        (["other.npz", "--encoder", "mine"], "inputs_sha256: "),
        ([people_file], 'encoder: "mine" in the directory, null now'),
        ([people_file, "--encoder", "yours"], 'encoder: "mine" in the directory, "yours" now'),
    ):
        done = synthface("fit-prior", *arguments, "--run", "r")
        assert (done.code, done.out) == (2, "")
        assert words in done.err
        assert {file: file.read_bytes() for file in Path("r").iterdir()} == before
    assert synthface("fit-prior", people_file, "--run", "r", "--encoder", "mine").code == 0


def test_a_prior_that_the_recipe_cannot_sample_from_is_not_saved(synthface: Run, people_file: Path) -> None:
    for where in (["--out", "new/p.safetensors"], ["--run", "new/r"]):
        done = synthface("fit-prior", people_file, *where, "--set", "identities.density=mixture")
        assert (done.code, done.out) == (2, "")
        assert "identities.density is 'mixture' and the prior holds none." in done.err
        assert not Path("new").exists()


def test_several_files_are_one_set(synthface: Run, people_file: Path) -> None:
    with np.load(people_file) as file:
        rows, labels = file["embeddings"], file["labels"]
    for name, part in (("a", slice(0, 500)), ("b", slice(500, None))):
        np.savez(f"{name}.npz", embeddings=rows[part], labels=labels[part])
    whole = synthface("fit-prior", people_file, "--out", "w.safetensors", "--json").json
    parts = synthface("fit-prior", "a.npz", "b.npz", "--out", "p.safetensors", "--json").json
    assert {**whole, "prior": 0} == {**parts, "prior": 0}
    assert Path("w.safetensors").read_bytes() == Path("p.safetensors").read_bytes()


def broken(name: str) -> list[str]:
    """Writes one bad input; gives the arguments that meet it."""
    rows = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
    labels = np.arange(60) // 3
    match name:
        case "missing":
            return ["nowhere.npy"]
        case "two dimensions":
            np.save("a.npy", rows)
            np.save("b.npy", rows[:, :8])
            return ["a.npy", "b.npy"]
        case "encoder's dimension":
            np.save("a.npy", rows)
            return ["a.npy", "--set", "encoder.dimension=512"]
        case "nan":
            rows[17, 3] = np.nan
            np.save("a.npy", rows)
        case "zero row":
            rows[21] = 0
            np.save("a.npy", rows)
        case "labels":
            np.savez("a.npz", embeddings=rows, labels=labels[:-1])
            return ["a.npz"]
        case "one class":
            np.savez("a.npz", embeddings=rows, labels=np.zeros(60, int))
            return ["a.npz"]
        case "components":
            np.save("a.npy", rows[:10])
            return ["a.npy", "--set", "prior.components=12"]
        case "empty":
            np.save("a.npy", rows[:0])
    return ["a.npy"]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("missing", 1, "There is no file nowhere.npy."),
        ("two dimensions", 1, "b.npy holds embeddings of dimension 8; a.npy's is 16."),
        ("encoder's dimension", 1, "a.npy holds embeddings of dimension 16; the encoder's is 512."),
        ("nan", 1, "a.npy: row 17 holds NaN or infinity."),
        ("zero row", 1, "a.npy: row 21 is all zeros."),
        ("labels", 1, "a.npz: 59 labels for 60 embeddings."),
        ("one class", 1, "All 60 embeddings carry the label 0: one person only."),
        ("components", 2, "prior.components is 12, and 10 people of dimension 16 span 9."),
        ("empty", 1, "a.npy holds no embeddings"),
    ],
)
def test_bad_input_is_one_sentence_with_a_fix(synthface: Run, tmp_path: Path, name: str, code: int, words: str) -> None:
    Path("old").mkdir()
    for where in (["--out", "out/deep/p.safetensors"], ["--run", "out/run"], ["--out", "old/p.safetensors"]):
        done = synthface("fit-prior", *broken(name), *where)
        assert (done.code, done.out) == (code, "")
        said = done.err.splitlines()[-1]
        assert said.startswith(f"synthface: {words}")
        assert len(said) > len(f"synthface: {words}") + 10  # and what to do about it
        assert not (tmp_path / "out").exists()
    assert not list(Path("old").iterdir())


def test_a_full_disk_is_named_and_leaves_the_old_prior(
    synthface: Run, people_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert synthface("fit-prior", people_file, "--out", "p.safetensors").code == 0
    before = Path("p.safetensors").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = synthface("fit-prior", people_file, "--out", "p.safetensors", "--set", "prior.components=20")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith(
        "synthface: Cannot write p.safetensors: the disk is full. Free some space"
    )
    assert Path("p.safetensors").read_bytes() == before
    assert [file.name for file in Path().iterdir()] == ["p.safetensors"]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("/proc/p.safetensors", "Cannot write /proc/p.safetensors"),
        ("file/p.safetensors", "Cannot make the directory file: a file of that name is there."),
        (".", "it is a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(synthface: Run, people_file: Path, out: str, words: str) -> None:
    Path("file").write_text("")
    done = synthface("fit-prior", people_file, "--out", out)
    assert (done.code, done.out) == (1, "")
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_read_only_file_system_is_named(synthface: Run, people_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    for arguments in (["--out", "p.safetensors"], ["--run", "r"]):
        done = synthface("fit-prior", people_file, *arguments)
        assert done.code == 1
        assert "the file system is read-only. Choose a place that can be written." in done.err


def test_the_plot_is_not_written_where_it_cannot_be(synthface: Run, people_file: Path) -> None:
    done = synthface("fit-prior", people_file, "--out", "p.safetensors", "--plot", "/proc/plot.png")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("synthface: Cannot write /proc/plot.png")
