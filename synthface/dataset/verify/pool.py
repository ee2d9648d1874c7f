"""Processes that work on slices of a range, any of which may be killed, crash or hang without harm.

Each worker has a pipe of its own. A worker that ends without an answer, or gives none for too long, is replaced; its
slice is cut in two and both halves are done again, so that a picture on which the decoder dies is found and everything
else is done. Nothing waits for a process that no longer exists.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

T = TypeVar("T")
Slice = tuple[int, int]
Work = Callable[[int, int], T]
PATIENCE = 300.0  # seconds for one slice
_BIRTH = 300.0  # seconds until a new process is at work: imports on a busy machine


def run(
    make_work: Callable[..., Work[T]],
    arguments: tuple[Any, ...],
    total: int,
    *,
    workers: int,
    slice_size: int,
    patience: float = PATIENCE,
) -> Iterator[tuple[int, int, T | None]]:
    """Yields (start, stop, result) for slices that cover 0 … total, in the order in which they are done.

    `make_work(*arguments)` is called once in each worker and gives the function of (start, stop). Both must be
    importable and picklable. A result of None: the slice holds a single item, on which workers died twice.
    """
    waiting: list[tuple[Slice, int]] = [
        ((start, min(start + slice_size, total)), 0) for start in range(0, total, slice_size)
    ][::-1]
    crew: list[_Worker] = []
    try:
        while waiting or any(worker.task for worker in crew):
            crew = [worker for worker in crew if worker.alive]
            while len(crew) < min(workers, len(waiting) + sum(worker.task is not None for worker in crew)):
                crew.append(_Worker(make_work, arguments))
            for worker in crew:
                if worker.task is None and waiting:
                    worker.give(waiting.pop())
            busy = [worker for worker in crew if worker.task is not None]
            wait([handle for worker in busy for handle in (worker.pipe, worker.process.sentinel)], timeout=1.0)
            for worker in busy:
                assert worker.task is not None
                (start, stop), deaths = worker.task
                answer = worker.answer(patience)
                if answer is _NOT_YET:
                    continue
                if answer is not _DEAD:
                    yield start, stop, answer
                elif stop - start > 1:
                    middle = (start + stop) // 2
                    waiting += [((middle, stop), 0), ((start, middle), 0)]
                elif deaths == 0:
                    waiting.append(((start, stop), 1))
                else:
                    yield start, stop, None
    finally:
        for worker in crew:
            worker.kill()


_NOT_YET, _DEAD = object(), object()


class _Worker:
    """A process, its pipe and the slice it is at."""

    def __init__(self, make_work: Callable[..., Work[Any]], arguments: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, make_work, arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.task: tuple[Slice, int] | None = None
        self.alive = True
        self._ready = False
        self._since = time.monotonic()

    def give(self, task: tuple[Slice, int]) -> None:
        self.task, self._since = task, time.monotonic()
        with contextlib.suppress(OSError):  # it died while idle; `answer` notices
            self.pipe.send(task[0])

    def answer(self, patience: float) -> Any:
        """The result, _NOT_YET, or _DEAD. Raises what the work raised."""
        try:
            if not self._ready and self.pipe.poll():
                self.pipe.recv()
                self._ready, self._since = True, time.monotonic()
            if self._ready and self.pipe.poll():
                result, error = self.pipe.recv()
                self.task = None
                if error is not None:
                    raise error
                return result
        except (EOFError, OSError):
            self.kill()
            return _DEAD
        if self.process.is_alive():
            if time.monotonic() - self._since < (patience if self._ready else _BIRTH):
                return _NOT_YET
        elif self.pipe.poll():  # it answered, then died
            return self.answer(patience)
        self.kill()
        return _DEAD

    def kill(self) -> None:
        self.alive, self.task = False, None
        self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


def _serve(pipe: Connection, make_work: Callable[..., Work[Any]], arguments: tuple[Any, ...]) -> None:
    """A worker's life: it ends when the parent closes the pipe or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work = make_work(*arguments)
    pipe.send("ready")
    while True:
        try:
            start, stop = pipe.recv()
        except EOFError:
            return
        answer: tuple[Any, Exception | None]
        try:
            answer = work(start, stop), None
        except Exception as error:
            answer = None, error
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return
