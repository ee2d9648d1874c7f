"""A worker: the networks on one device, and the making of shards with them."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthface import devices
from synthface.dataset import ShardWriter
from synthface.identity import perturb, prior
from synthface.identity.conditions import Guard
from synthface.identity.nearest import Centers
from synthface.recipe import Recipe
from synthface.render import shards
from synthface.render.develop import Developer
from synthface.render.draw import Drawer
from synthface.render.gate import Gate
from synthface.render.measure import Enough, Stopwatch
from synthface.render.networks import open_networks
from synthface.render.people import People
from synthface.render.plan import Shard
from synthface.render.sitting import Sitting
from synthface.render.studio import Studio, one_thread_each
from synthface.render.tally import Tally


@dataclass(frozen=True)
class Job:
    """What every worker is told, wherever it runs. shards: the run's folder of them; prior: the prior's file."""

    recipe: Recipe
    people: People
    plan_hash: str
    shards: Path
    prior: Path


class Worker:
    """One device. `cores`: how many cores it may use, None: all that this process has."""

    def __init__(self, job: Job, device: str, cores: int | None = None) -> None:
        self.job, self.device = job, device
        recipe, people = job.recipe, job.people
        self.networks = open_networks(recipe, people.center_ND.shape[1], device)
        centers = Centers(people.center_ND)
        self._guard = Guard(perturb.Perturbation(prior.load(job.prior), recipe.perturb, recipe.seed), centers)
        self._gate = Gate(recipe.gate, centers)
        self._lot = self.networks.lot  # smaller after the device's memory ended
        self._developer = Developer(self.networks, recipe.crop)
        self._kept_any = False
        self.threads = (cores or devices.cores()) if self.networks.kind == "cpu" else 1

    def render(self, shard: Shard, tell: Callable[[int], None]) -> dict[str, Any]:
        """Makes a shard and its marker, whose content it gives; `tell` gets the number of images settled so far.

        Raises PartlyDoneError when nothing passes the gate, OutputError for full disks and the like.
        """
        job, folder = self.job, self.job.shards
        began = time.perf_counter()
        started = shards.now()
        tally, drawer, redrawn = Tally(), self._drawer(), dict(vars(self._guard.refusals))
        with shards.claim(folder, shard, self.device) as claim, one_thread_each():
            shards.remove(folder, shard)
            with ShardWriter(folder / shard.name) as writer:

                def take(sitting: Sitting | None, settled: int) -> None:
                    for picture in sitting.pictures() if sitting else ():
                        writer.write(*picture)
                    claim.note(settled)
                    tell(settled)
                    if not self._kept_any:
                        tally.refuse_hopeless()

                self._studio().photograph(self._people(shard), tally, drawer, take)
            self._lot = drawer.lot
            self._kept_any |= tally.kept > 0
            seconds = time.perf_counter() - began
            content = {
                **tally.content(),
                "condition_redraws": {key: n - redrawn[key] for key, n in vars(self._guard.refusals).items()},
                "bytes": writer.bytes,
                "started": started,
                "seconds": round(seconds, 3),
                "images_per_second": round(tally.kept / seconds, 3),
                "attempts_per_second": round((tally.kept + tally.rejected.total()) / seconds, 3),
                "busy_share": round(min(drawer.seconds / (seconds * self.threads), 1.0), 4),
                "lot": self.networks.lot,
                "lots": {str(lot): count for lot, count in sorted(drawer.lots.items())},
                "halved": self._developer.halved,
                **self._where(),
            }
            return shards.complete(folder, shard, job.plan_hash, content)

    def measure(self, seconds: float) -> dict[str, Any]:
        """The speed of the whole way but for the disk; see `measure.Stopwatch`."""
        job, watch, tally = self.job, Stopwatch(seconds, self.threads, self.job.recipe.crop), Tally()
        people = [(identity, int(count)) for identity, count in enumerate(job.people.images_N)]
        with one_thread_each(), contextlib.suppress(Enough):
            self._studio().photograph(people, tally, self._drawer(watch.lot), watch.take)
        return {**watch.result(tally.kept_so_far()), **self._where()}

    def _studio(self) -> Studio:
        return Studio(self.job.recipe, self._developer, self._guard, self._gate, self.threads)

    def _drawer(self, watch: Callable[..., None] | None = None) -> Drawer:
        return Drawer(self.networks.generator, self.networks.options, self._lot, watch)

    def _people(self, shard: Shard) -> list[tuple[int, int]]:
        images_N = self.job.people.images_N
        return [(identity, int(images_N[identity])) for identity in range(shard.first, shard.end)]

    def _where(self) -> dict[str, Any]:
        networks = self.networks
        return {
            "device": networks.device,
            "kind": networks.kind,
            "hardware": networks.hardware,
            "precision": networks.precision,
            "threads": self.threads,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
