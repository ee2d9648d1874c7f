"""Workers on this machine: in this process, or one process a device."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from synthface.devices import cores
from synthface.errors import ResourceError
from synthface.render.launch import serving
from synthface.render.ledger import Ledger
from synthface.render.plan import Shard
from synthface.render.worker import Job, Worker

_STARTS = 3  # times a worker may die before it is ready
_GRACE = 8.0  # seconds between asking workers to stop and killing them


class ThisProcess:
    """One device, no further process."""

    def __init__(self, job: Job, device: str) -> None:
        self.job, self.devices = job, (device,)
        self._worker: Worker | None = None

    def _open(self) -> Worker:
        if self._worker is None:
            self._worker = Worker(self.job, self.devices[0])
        return self._worker

    def measure(self, seconds: float) -> dict[str, Any]:
        return self._open().measure(seconds)

    def run(self, ledger: Ledger) -> None:
        while (shard := ledger.next()) is not None:
            message = serving.render(self._open(), shard, functools.partial(ledger.progress, shard))
            ledger.book(message, self.devices[0])

    def close(self) -> None:
        self._worker = None


class _Process:
    """A worker process: its pipe, and the shard in its hands."""

    def __init__(self, job: Job, device: str, cores: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.device = device
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serving.serve, args=(theirs, job, device, cores), daemon=True)
        self.process.start()
        theirs.close()
        self.ready = False
        self.shard: Shard | None = None

    def death(self) -> str:
        """How it ended."""
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            return f"the worker was killed by {name}" + (" (out of memory?)." if -code == signal.SIGKILL else ".")
        return f"the worker ended with code {code}."


class Processes:
    """One process a device. A process that dies is replaced, and its shard is begun again."""

    def __init__(self, job: Job, devices: Sequence[str]) -> None:
        self.job, self.devices = job, tuple(devices)
        sharing = sum(device == "cpu" for device in self.devices)
        self._cores = max(1, cores() // max(sharing, 1))
        self._workers: list[_Process] = []
        self._false_starts = 0

    def measure(self, seconds: float) -> dict[str, Any]:
        self._start()
        worker = self._workers[0]
        worker.pipe.send(seconds)
        while True:
            message = self._receive(worker)
            if message is None:
                raise ResourceError(
                    f"The speed on {worker.device} could not be measured: {worker.death()}",
                    "Set generator.batch_size lower, or name another device.",
                )
            if message[0] == "measured":
                facts: dict[str, Any] = message[1]
                return facts

    def run(self, ledger: Ledger) -> None:
        self._start()
        while True:
            for worker in self._workers:
                if worker.ready and worker.shard is None and (shard := ledger.next()) is not None:
                    worker.shard = shard
                    with contextlib.suppress(OSError):  # it has died: its pipe will tell
                        worker.pipe.send(shard)
            if all(worker.shard is None for worker in self._workers if worker.ready) and not ledger.waiting:
                return
            self._listen(ledger)

    def _start(self) -> None:
        if not self._workers:
            self._workers = [_Process(self.job, device, self._cores) for device in self.devices]

    def _listen(self, ledger: Ledger) -> None:
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(by_pipe), timeout=1.0):
            worker = by_pipe[pipe]  # type: ignore[index]
            message = self._receive(worker)
            if message is None:
                self._replace(worker, ledger)
            else:
                self._book(worker, message, ledger)

    def _receive(self, worker: _Process) -> serving.Message | None:
        """The worker's next message, None when it has died. Raises what it says is fatal."""
        try:
            message: serving.Message = worker.pipe.recv()
        except (EOFError, OSError):
            return None
        if message[0] == "ready":
            worker.ready = True
        elif message[0] == "fatal":
            raise serving.revived(message)
        return message

    def _book(self, worker: _Process, message: serving.Message, ledger: Ledger) -> None:
        if message[0] in ("done", "lost"):
            worker.shard = None
        ledger.book(message, worker.device)

    def _replace(self, worker: _Process, ledger: Ledger) -> None:
        why = worker.death()
        if not worker.ready:
            self._false_starts += 1
            if self._false_starts >= _STARTS:
                raise ResourceError(
                    f"Workers died {_STARTS} times before they were ready, the last one on {worker.device}: {why}",
                    "Free memory, or name fewer devices with --devices.",
                )
        self._workers[self._workers.index(worker)] = _Process(self.job, worker.device, self._cores)
        if worker.shard is not None:
            ledger.lose(worker.shard, why, "", worker.device)

    def close(self) -> None:
        """Asks the workers to stop, and kills those that do not."""
        for worker in self._workers:
            worker.process.terminate()
        end = time.monotonic() + _GRACE
        for worker in self._workers:
            worker.process.join(max(0.0, end - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers = []
