"""`import synthface`: light, lazy, and every example of it runs."""

from __future__ import annotations

import doctest
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synthface
from synthface import api
from synthface.errors import UsageError

DOCS = Path(__file__).parents[2] / "docs"


def test_the_import_loads_no_library_and_the_names_come_when_they_are_used() -> None:
    program = (
        "import sys, types, synthface\n"
        "heavy = {'torch', 'numpy', 'faiss', 'pydantic', 'click', 'sklearn', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert set(synthface.__all__) <= set(dir(synthface))\n"
        "from synthface.render import plan\n"  # which sets the attribute `render` of the package
        "import synthface.render.tally as tally\n"
        "assert callable(synthface.render) and synthface.render.plan is plan and tally.together\n"
        "assert callable(synthface.fit_prior) and callable(synthface.audit) and isinstance(synthface.Dataset, type)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fit_posterior'"):
        synthface.fit_posterior  # noqa: B018


def test_what_is_offered_is_typed_and_documented() -> None:
    assert synthface.Arc2Face.__module__ == "synthface.generator.arc2face"
    for name in synthface.__all__:
        door = api.render if name == "render" else getattr(synthface, name)
        assert door.__doc__, name
        function = door.__init__ if inspect.isclass(door) else door
        untyped = [p for p in inspect.signature(function).parameters.values() if p.annotation is p.empty]
        assert [p.name for p in untyped] in ([], ["self"]), name


def write_people(path: Path) -> None:
    """300 people × 3 photographs, d = 64."""
    rng = np.random.default_rng(0)
    center = rng.standard_normal((300, 64)) * np.linspace(1.3, 0.5, 64)
    rows = np.repeat(center, 3, axis=0) + rng.standard_normal((900, 64)) * 0.3
    np.savez(path, embeddings=rows.astype(np.float32), labels=np.arange(900) // 3)


def test_the_examples_in_the_docstrings_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthface: Callable[..., Any]
) -> None:
    """One after the other, in one folder; with the dry generator, which needs no networks, but for Arc2Face's own."""
    import synthface as package

    monkeypatch.chdir(tmp_path)
    write_people(tmp_path / "people.npz")
    assert synthface("fit-prior", "people.npz", "--out", "prior.safetensors").code == 0
    dry = ["encoder.model=dry", "encoder.verifier=dry", "generator.model=dry", "crop.size=48",
           "prior.file=prior.safetensors", "identities.threshold=0.5"]  # fmt: skip
    assert synthface("sample-ids", "--ids", 5, *[word for key in dry for word in ("--set", key)]).code == 0
    said: list[str] = []
    run = 0
    names = ("fit_prior", "sample_identities", "Arc2Face", "render", "Dataset", "audit")
    assert set(names) == set(package.__all__)
    for name in names:
        door = api.render if name == "render" else getattr(package, name)
        tries = 0
        for test in doctest.DocTestFinder(recurse=False).find(door, name, globs={"synthface": package}):
            runner = doctest.DocTestRunner()
            runner.run(test, out=said.append)
            tries += runner.tries
        assert tries >= 2, name
        run += tries
    assert not said, "".join(said)
    assert run > 15


def test_a_dataset_is_a_sequence_of_pictures_and_labels(tmp_path: Path) -> None:
    import cv2

    for person in ("anna", "bert"):
        (tmp_path / person).mkdir()
        for number in range(2):
            cv2.imwrite(str(tmp_path / person / f"{number}.png"), np.full((20, 20, 3), 40 * number, np.uint8))
    data = synthface.Dataset(tmp_path)
    assert (len(data), data.num_classes, data.labels_N.tolist()) == (4, 2, [0, 0, 1, 1])
    assert [label for _, label in data] == [0, 0, 1, 1]
    np.testing.assert_array_equal(data[-1][0], data.image(3))
    assert [label for _, label in data[1:3]] == [0, 1]
    assert len(data.payloads([0, 3])) == 2
    assert data.manifest() is None
    with pytest.raises(IndexError):
        data[4]
    assert repr(data) == f"Dataset({str(tmp_path)!r}): 4 pictures of 2 people"


def test_a_prior_in_memory_is_no_prior_of_a_run_directory(tmp_path: Path) -> None:
    write_people(tmp_path / "people.npz")
    prior = synthface.fit_prior(tmp_path / "people.npz", out=tmp_path / "p.safetensors", encoder="mine")
    with pytest.raises(UsageError, match="Save it"):
        synthface.sample_identities(5, prior=prior, run=tmp_path / "run")
    values = {"encoder.model": "mine"}
    kept = synthface.sample_identities(
        5, prior=tmp_path / "p.safetensors", threshold=0.5, run=tmp_path / "run", values=values
    )
    free = synthface.sample_identities(9, prior=prior, threshold=0.5)
    np.testing.assert_array_equal(kept.center_ND, free.center_ND[:5])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The one namespace and folder in which the page's blocks run, one after the other."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("page"))
    yield {}
    os.chdir(before)


def blocks(page: str) -> list[Any]:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [
        (match.start(), match[1]) for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]
    return [pytest.param(code, id=f"line {text[:at].count(chr(10)) + 1}") for at, code in found]


@pytest.mark.parametrize("code", blocks("python.md"))
def test_every_block_of_the_python_page_runs(page: dict[str, Any], code: str) -> None:
    """In order. Those with pictures need the generator that ships, and fail without it."""
    exec(compile(code, "docs/python.md", "exec"), page)


def test_the_notebook_runs_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells, one after the other, with fewer people and pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    notebook = json.loads((DOCS / "quickstart.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    small = re.sub(r"^(PEOPLE, PICTURES = ).*$", r"\g<1>3, 2", cells[0], flags=re.MULTILINE)
    assert small != cells[0]
    names: dict[str, Any] = {}
    for number, code in enumerate([small, *cells[1:]]):
        exec(compile(code, f"quickstart.ipynb, cell {number}", "exec"), names)
