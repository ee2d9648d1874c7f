"""What a user installs is all there: recipes, embedded networks, templates and type marks are in the wheel."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built from a copy of the sources by the project's build backend, as pip and uv do it; no network is used."""
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("synthface", "fr_train", "recipes"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    program = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(out)], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as opened:
        yield opened


@pytest.mark.slow
def test_every_file_of_the_packages_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for package in ("synthface", "fr_train"):
        for folder in (ROOT / package, *(path for path in (ROOT / package).iterdir() if path.is_symlink())):
            for file in folder.rglob("*"):
                if file.is_file() and "__pycache__" not in file.parts:
                    assert file.relative_to(ROOT).as_posix() in names


@pytest.mark.slow
def test_the_wheel_holds_recipes_type_marks_and_the_embedded_networks(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {"synthface/py.typed", "fr_train/py.typed", "synthface/recipes/embedded.yaml"} <= names
    recipes = {f"synthface/recipes/{file.name}" for file in (ROOT / "recipes").glob("*.yaml")}
    assert recipes <= names
    sums = wheel.read("synthface/embedded/SHA256SUMS").decode().splitlines()
    told = {name: digest for digest, name in (line.split(maxsplit=1) for line in sums)}
    assert {"encoder.safetensors", "verifier.safetensors", "prior.safetensors"} <= set(told)
    assert any(name.startswith("generator/") for name in told)
    for name, digest in told.items():
        assert hashlib.sha256(wheel.read(f"synthface/embedded/{name}")).hexdigest() == digest, name
    for card in ("encoder.md", "verifier.md", "prior.md", "generator/README.md"):
        assert f"synthface/embedded/{card}" in names


@pytest.mark.slow
def test_the_wheel_holds_nothing_but_the_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"synthface", "fr_train"}
