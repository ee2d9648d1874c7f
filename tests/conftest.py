"""Where the tests find golden numbers and real faces."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import hypothesis
import pytest

GOLDEN = Path(__file__).parent / "golden"

hypothesis.settings.register_profile("facts", deadline=None)  # a test asserts what is so, not how fast it was found
hypothesis.settings.load_profile("facts")


@pytest.fixture
def golden() -> Path:
    """The folder of numbers that the official code produced (each folder inside has a README)."""
    return GOLDEN


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real faces and networks. Absent on a laptop: skipped. Absent in CI: a failure."""
    place = os.environ.get("SYNTHFACE_REAL_DATA")
    if place and Path(place).is_dir():
        return Path(place).resolve()
    message = f"SYNTHFACE_REAL_DATA {'names no folder: ' + place if place else 'is not set'}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def onnxruntime_claims_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime says that it has CUDA; whether it can be used is another matter."""
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: both)
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None, raising=False)


@pytest.fixture(scope="session")
def docs_script() -> Callable[[str], ModuleType]:
    """Gives a script of docs/, by its name without suffix, as a module."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent.parent / "docs" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


class CommandResult(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """stdout as the one JSON object that `--json` promises."""
        content = json.loads(self.out)
        assert isinstance(content, dict)
        return content


@pytest.fixture
def synthface(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., CommandResult]]:
    """Runs `synthface ARGS...` in this process, as the entry point does."""
    from synthface.cli import cli

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(*arguments: object) -> CommandResult:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return CommandResult(code, out, err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
