"""Kills an action before its first, second, … step, by SIGKILL, each time in a process of its own."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Steps = Sequence[tuple[Any, str]]  # (module or class, name of its function)


def killed_in(action: Callable[[], object]) -> bool:
    """Runs the action in a forked child; whether it was killed (else it ended well)."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def dying_before(step: int, action: Callable[[], object], steps: Steps) -> Callable[[], object]:
    """The action, killed by SIGKILL before the call number `step` of the functions in `steps`."""

    def run() -> object:
        calls = itertools.count()
        for holder, name in steps:
            original = getattr(holder, name)

            def wrapped(*args: object, _original: Callable[..., object] = original, **kwargs: object) -> object:
                if next(calls) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return _original(*args, **kwargs)

            setattr(holder, name, wrapped)
        return action()

    return run


def until_it_ends_well(action: Callable[[], object], steps: Steps, least: int) -> Iterator[int]:
    """Kills the action before its first, second, … step, until there is no such step; there must be `least` of them."""
    for step in itertools.count():
        if not killed_in(dying_before(step, action, steps)):
            assert step >= least
            return
        yield step
