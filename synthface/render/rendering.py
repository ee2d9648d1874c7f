"""`render`: from identities to shards. What follows, pack and verify, is finish.py.

plan → for each shard that is not whole: conditions → generate → crop → gate → files → marker
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import files, run
from synthface.errors import InputError
from synthface.identity import priors
from synthface.progress import duration, say
from synthface.recipe import Recipe
from synthface.render import launch, measure, networks, plan, shards
from synthface.render.launch import Engine
from synthface.render.ledger import Ledger
from synthface.render.people import People, gather
from synthface.render.plan import Plan, Shard
from synthface.render.worker import Job
from synthface.run import RunDirectory

Part = tuple[int, int]


@dataclass(frozen=True)
class Order:
    """Everything that is known before the first picture. extra: decisive values that no recipe knows."""

    run: RunDirectory
    recipe: Recipe
    people: People
    extra: dict[str, Any]
    prior: Path

    @property
    def decisive(self) -> dict[str, Any]:
        return run.decisive_values("render", self.recipe, self.extra)

    def job(self) -> Job:
        return Job(self.recipe, self.people, plan.fingerprint(self.decisive), self.run.shards, self.prior)


@dataclass
class Outcome:
    """What a call did. made: markers of the shards made now; failed: errors by shard; seconds: of making them."""

    plan: Plan
    made: dict[int, dict[str, Any]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    remade: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    workers: int = 0


def take_order(recipe: Recipe, directory: RunDirectory) -> Order:
    """Reads people and prior, hashes all weights. Raises RecipeError, InputError, MissingWeightsError."""
    networks.check(recipe)
    people = gather(recipe, directory)
    prior_file = priors.locate(recipe, directory)
    learned = priors.open_for(recipe, prior_file)
    if learned.dimension != people.center_ND.shape[1]:
        raise InputError(
            f"The people have dimension {people.center_ND.shape[1]}, the prior {prior_file} has {learned.dimension}.",
            "Both must be of one encoder: its embeddings, and a prior fitted on them.",
        )
    extra = {
        "identities_sha256": people.sha256,
        "prior_sha256": files.sha256_file(prior_file),
        **networks.fingerprints(recipe),
    }
    return Order(directory, recipe, people, extra, prior_file)


def render(
    order: Order, part: Part | None = None, only: Callable[[Sequence[Shard]], list[Shard]] | None = None
) -> Outcome:
    """Makes the shards that are not whole: all, those of part i of n, or those that `only` picks.

    Raises RunConflictError when the directory was made with other values, OutputError when another process is at work
    or the disk is full; PartlyDoneError when nothing passes the gate.
    """
    directory, recipe, folder = order.run, order.recipe, order.run.shards
    with contextlib.ExitStack() as stack:
        stack.enter_context(directory.enter("render", recipe, order.extra, together=part is not None))
        files.make_directory(folder)
        if part is not None:
            name = f".part-{part[0]}-of-{part[1]}.lock"
            stack.enter_context(files.exclusive(folder / name, f"part {part[0]}/{part[1]} of {directory.path}"))
        engine = LazyEngine(order)
        stack.callback(engine.close)
        planned = _plan(order, engine, part)
        mine = planned.part(part)
        whole, damaged = shards.survey(folder, mine, planned.hash)
        for number, wrong in damaged.items():
            say(f"Shard {planned.shards[number].name} is made again: {wrong}.")
        todo = [shard for shard in mine if shard.number not in whole]
        outcome = Outcome(planned, remade=damaged)
        if only is not None:
            todo = only(todo)
        if todo:
            _announce(planned, todo, whole, len(engine.started.devices))
            began = time.perf_counter()
            with Ledger(folder, todo, recipe.render.shard_attempts) as ledger:
                engine.started.run(ledger)
            outcome.seconds = time.perf_counter() - began
            outcome.made, outcome.failed, outcome.workers = ledger.done, ledger.failed, len(engine.started.devices)
        _note_halvings(directory, outcome)
    return outcome


def everything_is_there(order: Order, planned: Plan) -> bool:
    """Whether every shard of the plan has its marker."""
    return all(shards.read(order.run.shards, shard, planned.hash) is not None for shard in planned.shards)


class LazyEngine:
    """The engine, started when it is needed: nothing is loaded where all is done."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._engine: Engine | None = None

    @property
    def started(self) -> Engine:
        if self._engine is None:
            settings = self._order.recipe.render
            launcher = "local" if settings.launcher == "slurm" else settings.launcher
            self._engine = launch.start(launcher, self._order.job(), settings.devices)
        return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()


def _plan(order: Order, engine: LazyEngine, part: Part | None) -> Plan:
    """The plan that is there, or a new one; of several parts that start together one makes it."""
    path = order.run.plan_file
    with _planning(order, part):
        if path.exists():
            return plan.load(path, order.people.images_N, order.decisive)
        settings = order.recipe.render
        measured: dict[str, Any] = {}
        workers = part[1] if part else 1
        if settings.shard_images is None:
            say(f"Measuring the speed for some {settings.measure_seconds:g} seconds …")
            measured = engine.started.measure(settings.measure_seconds)
            workers *= len(engine.started.devices)  # every part is taken to have as many
        planned = cut_for(order, measured, workers)
        planned.save(path)
        return planned


@contextlib.contextmanager
def _planning(order: Order, part: Part | None) -> Iterator[None]:
    if part is None:
        yield
        return
    with files.exclusive(order.run.shards / ".plan.lock", "the plan", wait=True):
        yield


def cut_for(order: Order, measured: dict[str, Any], workers: int) -> Plan:
    """A new plan: shards of `shard_images`, or of as many as the measured speed makes in `shard_minutes`."""
    shards_of = sized(order.recipe, order.people.images_N, measured, workers)
    return Plan(order.decisive, order.people.images_N, shards_of, measured)


def sized(recipe: Recipe, images_N: NDArray[np.int64], measured: dict[str, Any], workers: int) -> tuple[Shard, ...]:
    """The shards of that plan."""
    settings = recipe.render
    if settings.shard_images is not None:
        return plan.cut(images_N, settings.shard_images)
    speed = measure.images_per_second(measured)
    return plan.cut(images_N, max(1, round(speed * 60 * settings.shard_minutes)), workers)


def _announce(planned: Plan, todo: Sequence[Shard], whole: dict[int, Any], devices: int) -> None:
    """devices: how many workers there are, of which one has been measured."""
    images = sum(shard.images for shard in todo)
    parts = [f"{images:,} images in {len(todo):,} shards"]
    if whole:
        parts.append(f"{len(whole):,} shards are there already")
    if planned.measured:
        speed = measure.images_per_second(planned.measured)
        parts.append(
            f"{speed:,.3g} images/s were measured on one device, so about {duration(images / speed / devices)}"
            + (f" on {devices}" if devices > 1 else "")
        )
    say("Rendering " + "; ".join(parts) + ".")


def _note_halvings(directory: RunDirectory, outcome: Outcome) -> None:
    """Writes into run.json which shards had to do with smaller lots, or with smaller batches of encoders and detector."""
    made = {f"{number:05d}": content for number, content in outcome.made.items()}
    lots = {name: content["lots"] for name, content in made.items() if set(content["lots"]) != {str(content["lot"])}}
    batches = {name: content["halved"] for name, content in made.items() if content["halved"]}
    for key, halved in (("halved_lots", lots), ("halved_batches", batches)):
        if halved:
            known = directory.record()["stages"]["render"].get(key, {})
            directory.note("render", **{key: {**known, **halved}})
