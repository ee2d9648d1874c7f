"""Signals interrupt at once, but no import: what a module catches while it loads would be lost."""

from __future__ import annotations

import importlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthface.stop import interrupt

CATCHES_ALL = """
import signal
try:
    signal.raise_signal(signal.SIGTERM)
    whole = True
except BaseException:
    whole = False
"""


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_signal_interrupts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_in_the_middle_of_an_import_interrupts_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "catches_all.py").write_text(CATCHES_ALL)
    monkeypatch.syspath_prepend(tmp_path)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module("catches_all")
        time.sleep(30)
    assert time.monotonic() - began < 10
    assert sys.modules.pop("catches_all").whole
    with pytest.raises(KeyboardInterrupt):  # the next one finds nothing left of it
        signal.raise_signal(signal.SIGTERM)
