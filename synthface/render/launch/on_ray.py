"""Workers as actors on a Ray cluster, or on this machine: one a device, each holding its networks.

The nodes share the run directory's file system and have the same installation. A lost actor's shard is begun again by the
others; a new actor takes its place where the cluster has room for one.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from synthface.errors import ResourceError, SynthfaceError
from synthface.render import shards
from synthface.render.launch import serving
from synthface.render.ledger import Ledger
from synthface.render.plan import Shard
from synthface.render.worker import Job, Worker

_STARTS = 3  # times an actor may be lost before it is ready
_ALONE = 600.0  # seconds to wait for a worker when there is none
_ANSWER = 10.0  # seconds for a cluster's port to answer


class RayEngine:
    """One actor a device. `devices` empty: every GPU of the cluster, else the CPUs of every node."""

    def __init__(self, job: Job, devices: Sequence[str]) -> None:
        self._ours = not ray.is_initialized()
        if self._ours:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            try:
                _knock(os.environ.get("RAY_ADDRESS", ""))
                ray.init(log_to_driver=False, logging_level="warning")  # joins the cluster that RAY_ADDRESS names
            except (ConnectionError, RuntimeError, OSError) as error:
                raise ResourceError(
                    f"Ray cannot be reached: {serving.explain(error)}",
                    "Check RAY_ADDRESS, or start it with `ray start`.",
                ) from error
        self.job, self.devices = job, tuple(devices) or _devices_of_cluster()
        self._job = ray.put(job)
        self._actors: list[_Actor] = []
        self._false_starts = 0

    def measure(self, seconds: float) -> dict[str, Any]:
        self._start()
        try:
            facts: dict[str, Any] = _result(self._actors[0].handle.measure.remote(seconds))
        except RayError as error:
            raise ResourceError(
                f"The speed could not be measured: {serving.explain(error)}", "Look at Ray's logs."
            ) from error
        return facts

    def run(self, ledger: Ledger) -> None:
        self._start()
        alone_since = time.monotonic()
        while True:
            for actor in self._actors:
                if actor.ready and actor.shard is None and (shard := ledger.next()) is not None:
                    actor.begin(shard)
            if all(actor.shard is None for actor in self._actors if actor.ready) and not ledger.waiting:
                return
            self._listen(ledger)
            if any(actor.ready for actor in self._actors):
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since > _ALONE:
                raise ResourceError(
                    f"The Ray cluster has had no room for a worker for {_ALONE:.0f} seconds.",
                    "Look at `ray status`; name fewer devices with --devices, or add nodes.",
                )

    def _start(self) -> None:
        if not self._actors:
            self._actors = [_Actor(self._job, device, self._cores(device)) for device in self.devices]

    def _cores(self, device: str) -> int:
        """CPUs of an actor: of a CPU worker its share of the smallest node's, of a GPU worker one."""
        if device != "cpu":
            return 1
        nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        share = sum(nodes) / max(sum(name == "cpu" for name in self.devices), 1)
        return max(1, int(min([share, *(count for count in nodes if count)])))

    def _listen(self, ledger: Ledger) -> None:
        by_answer = {actor.answer: actor for actor in self._actors if actor.answer is not None}
        arrived, _ = ray.wait(list(by_answer), timeout=1.0)
        for answer in arrived:
            actor = by_answer[answer]
            actor.answer = None
            try:
                message = _result(answer)
            except RayError as error:
                self._replace(actor, error, ledger)
                continue
            actor.ready, actor.shard = True, None
            if message is not None:
                ledger.book(message, actor.device)
        at_work = {actor.shard.number: actor.shard for actor in self._actors if actor.shard is not None}
        for number, claim in shards.claims(self.job.shards).items():
            if number in at_work:
                ledger.progress(at_work[number], int(claim.get("images", 0)))

    def _replace(self, actor: _Actor, error: RayError, ledger: Ledger) -> None:
        why = "the worker was lost" + (f": {str(error).strip().splitlines()[0].rstrip('.')}." if str(error) else ".")
        if not actor.ready:
            self._false_starts += 1
            if self._false_starts >= _STARTS:
                raise ResourceError(
                    f"Ray workers were lost {_STARTS} times before they were ready: {why}", "Look at Ray's logs."
                ) from error
        self._actors[self._actors.index(actor)] = _Actor(self._job, actor.device, actor.cores)
        if actor.shard is not None:
            ledger.lose(actor.shard, why, "", actor.device)

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor.handle)
        self._actors = []
        if self._ours:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError when nobody listens at host:port of a cluster's address: Ray itself would try for many minutes."""
    if found := re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address):
        socket.create_connection((found[1], int(found[2])), timeout=_ANSWER).close()


class _Actor:
    """A remote worker, the shard in its hands, and the answer that is awaited from it."""

    def __init__(self, job: Any, device: str, cores: int) -> None:
        self.device, self.cores = device, cores
        options: dict[str, Any] = {"num_cpus": cores, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        if device.startswith("cuda"):
            options["num_gpus"] = 1
        self.handle: Any = ray.remote(_Remote).options(**options).remote(job, device.partition(":")[0], cores)
        self.ready = False
        self.shard: Shard | None = None
        self.answer: Any = self.handle.hello.remote()

    def begin(self, shard: Shard) -> None:
        self.shard = shard
        self.answer = self.handle.render.remote(shard)


class _Remote:
    """What runs in the actor's process."""

    def __init__(self, job: Job, device: str, cores: int) -> None:
        self._refusal: serving.Message | None = None
        try:
            self._worker = Worker(job, device, cores)
        except SynthfaceError as error:
            self._refusal = serving.fatal(error)

    def hello(self) -> serving.Message | None:
        """None when the networks are loaded."""
        return self._refusal

    def measure(self, seconds: float) -> Any:
        return self._refusal or self._worker.measure(seconds)

    def render(self, shard: Shard) -> serving.Message:
        try:
            return serving.render(self._worker, shard, lambda settled: None)
        except SynthfaceError as error:
            return serving.fatal(error)


def _result(answer: Any) -> Any:
    """What an actor answered. Raises what it says is fatal, RayError when it is lost."""
    try:
        message = ray.get(answer)
    except RayTaskError as error:  # not a lost actor: a defect of ours, with its traceback
        raise SynthfaceError(f"A Ray worker failed: {error}") from error
    if isinstance(message, tuple) and message[0] == "fatal":
        raise serving.revived(message)
    return message


def _devices_of_cluster() -> tuple[str, ...]:
    gpus = int(ray.cluster_resources().get("GPU", 0))
    nodes = sum(1 for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1)
    return ("cuda",) * gpus if gpus else ("cpu",) * max(nodes, 1)
