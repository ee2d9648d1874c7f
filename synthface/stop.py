"""SIGTERM and SIGINT interrupt, or end a training after the current step, with a checkpoint."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from synthface.progress import say

_ONE_WISH = 5.0  # seconds; torchrun passes on to its processes what a terminal has already sent to the whole group
_IMPORTERS = "<frozen importlib"  # how the files are called whose frames carry an import
_AGAIN, _MOST = 0.05, 10.0  # seconds between looks whether an import has ended, and how long they go on
_waiting: dict[int, float] = {}  # signals that wait for an import, and until when
_looking: set[int] = set()  # those of them that a thread is about to send again


def interrupt(number: int, frame: FrameType | None) -> None:
    """A signal's handler: raises KeyboardInterrupt, after the import where one is under way.

    Modules may catch whatever comes while they load, as OpenCV's configuration does, and the signal would be lost.
    """
    now = time.monotonic()
    if _importing(frame) and now < _waiting.setdefault(number, now + _MOST):
        if number not in _looking:
            _looking.add(number)
            _thread.start_new_thread(_send_again, (number,))  # threading's locks may be held where the signal came
        return
    _waiting.pop(number, None)
    raise KeyboardInterrupt


def _send_again(number: int) -> None:
    time.sleep(_AGAIN)
    _looking.discard(number)
    handler = signal.getsignal(number)
    if handler is not interrupt:  # it is another's now, who is told once
        wanted = _waiting.pop(number, None) is not None and callable(handler)
    else:
        wanted = number in _waiting
    if wanted:
        signal.pthread_kill(threading.main_thread().ident or 0, number)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTERS):
            return True
        frame = frame.f_back
    return False


class StopSignals:
    """Within the block the first signal sets `asked`; another one, 5 seconds later or more, interrupts at once.

    A signal in the middle of a step must not stop there: half of the parameters might be updated.
    """

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # elsewhere signals cannot be had, nor arrive
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked and now - self._since < _ONE_WISH:
            return
        if self.asked:
            raise KeyboardInterrupt
        self.asked, self._since = True, now
        say("Stopping after this step, with a checkpoint; another signal, later, stops at once.")
