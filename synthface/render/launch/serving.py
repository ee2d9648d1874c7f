"""A worker in a process of its own: takes shards from a pipe until it is closed, and dies with its parent."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from synthface import errors
from synthface.errors import SynthfaceError
from synthface.render.plan import Shard
from synthface.render.worker import Job, Worker
from synthface.stop import interrupt

# What the worker says: ("ready",), ("measured", facts), ("progress", shard, settled), ("done", shard, content),
# ("lost", shard, error, traceback), ("fatal", class name, problem, fix)
Message = tuple[Any, ...]


def serve(pipe: Connection, job: Job, device: str, cores: int) -> None:
    """The process's main function. Reads a Shard to make, or seconds for a measurement; None ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    signal.signal(signal.SIGTERM, interrupt)
    _die_with_parent()
    try:
        worker = Worker(job, device, cores)
        pipe.send(("ready",))
        while (asked := pipe.recv()) is not None:
            if isinstance(asked, Shard):
                pipe.send(render(worker, asked, functools.partial(_tell, pipe, asked)))
            else:
                pipe.send(("measured", worker.measure(asked)))
    except SynthfaceError as error:
        pipe.send(fatal(error))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass


def render(worker: Worker, shard: Shard, tell: Callable[[int], None]) -> Message:
    """Makes a shard; an error that is not ours is a message, for the shard may succeed elsewhere or later."""
    try:
        return ("done", shard, worker.render(shard, tell))
    except SynthfaceError:
        raise
    except Exception as error:
        return ("lost", shard, explain(error), traceback.format_exc())


def _tell(pipe: Connection, shard: Shard, settled: int) -> None:
    pipe.send(("progress", shard, settled))


def explain(error: BaseException) -> str:
    """The error's name and first line."""
    text = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return f"{type(error).__name__}: {text}." if text else f"{type(error).__name__}."


def fatal(error: SynthfaceError) -> Message:
    return ("fatal", type(error).__name__, error.problem, error.fix)


def revived(message: Message) -> SynthfaceError:
    """The error that a worker's `fatal` message tells of."""
    _, name, problem, fix = message
    made: SynthfaceError = getattr(errors, name, SynthfaceError)(problem, fix)
    return made


def _die_with_parent() -> None:
    """A parent that is killed cannot end its workers."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, name="render-parent", daemon=True).start()
