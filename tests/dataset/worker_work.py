"""Work for the pool's processes; a module of its own, so that they need not import a test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path


def lethal(directory: str) -> Callable[[int, int], list[int]]:
    """Work that kills its process: always at 3, once at 5; and stops for ever, once, at 7."""

    def work(start: int, stop: int) -> list[int]:
        for number in range(start, stop):
            mark = Path(directory) / str(number)
            if number == 3 or (number in (5, 7) and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGSTOP if number == 7 else signal.SIGKILL)
        return list(range(start, stop))

    return work


def failing(message: str) -> Callable[[int, int], int]:
    """Work that raises."""

    def work(start: int, stop: int) -> int:
        raise ValueError(message)

    return work
