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


def test_several_signals_in_one_import_interrupt_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catches_all_thrice.py").write_text(CATCHES_ALL * 3)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module("catches_all_thrice")
        time.sleep(30)
    assert sys.modules.pop("catches_all_thrice").whole
    time.sleep(0.3)  # an interrupt that came now would fail the test


def test_whoever_takes_the_signals_over_meanwhile_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catches_all_and_ends.py").write_text(CATCHES_ALL)
    monkeypatch.syspath_prepend(tmp_path)
    heard: list[int] = []
    importlib.import_module("catches_all_and_ends")
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    time.sleep(0.5)
    assert heard == [signal.SIGTERM]
    assert sys.modules.pop("catches_all_and_ends").whole
    signal.signal(signal.SIGTERM, interrupt)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
