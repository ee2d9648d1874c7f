"""The run directory: where the artefacts of one dataset live, and the memory of how each was made.

    run/recipe.yaml   the resolved recipe, every value written out
    run/run.json      versions, hardware, and per stage: decisive values, input hashes, command, time

A stage is one arrow of the data's way. Its record keeps every value on which its bytes depend; a command that comes
back with other values is refused instead of mixing two datasets.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from synthface import files, recipe
from synthface.errors import InputError, RunConflictError
from synthface.recipe import Recipe

# stage → the recipe's values that decide its bytes; stages in the order of the data's way
STAGES: dict[str, tuple[str, ...]] = {
    "fit-prior": ("seed", "prior"),
    "sample-ids": ("seed", "prior", "identities"),
    "render": ("seed", "encoder", "prior", "identities", "perturb", "generator", "crop", "gate", "render"),
    "pack": ("seed", "encoder", "prior", "identities", "perturb", "generator", "crop", "gate", "render", "pack"),
    "train-fr": ("seed", "train"),
}
# what stands in the directory once a stage has made anything, as a pattern: while nothing does, its record decides nothing
_ARTEFACTS = {
    "fit-prior": "prior.safetensors",
    "sample-ids": "identities.safetensors",
    "render": "plan.json",
    "pack": "dataset",
    "train-fr": "fr/**/*.pt",
}
_PACKAGES = ("synthface", "numpy", "faiss-cpu", "scikit-learn", "torch", "diffusers", "transformers", "onnxruntime")


class RunDirectory:
    """One run directory. Creating the object touches nothing; `enter` does."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._together = False

    identities = property(lambda self: self.path / "identities.safetensors")
    prior = property(lambda self: self.path / "prior.safetensors")
    dataset = property(lambda self: self.path / "dataset")
    shards = property(lambda self: self.path / "shards")
    fr = property(lambda self: self.path / "fr")
    report = property(lambda self: self.path / "report")
    plan_file = property(lambda self: self.path / "plan.json")
    render_file = property(lambda self: self.path / "render.json")
    recipe_file = property(lambda self: self.path / "recipe.yaml")
    record_file = property(lambda self: self.path / "run.json")

    def recipe(self, name_or_file: str | None = None, values: dict[str, Any] | None = None) -> Recipe:
        """The named recipe, else the one that the directory was made with, else the default; over it `values` by dotted key."""
        if name_or_file is None and self.recipe_file.exists():
            name_or_file = str(self.recipe_file)
        return recipe.load(name_or_file or recipe.DEFAULT, values or {})

    def made_dataset(self) -> Path:
        """The packed dataset. Raises InputError where there is none yet."""
        if not self.dataset.exists():
            raise InputError(
                f"There is no dataset {self.dataset}.",
                "`synthface render` makes it; or name another dataset, or --run.",
            )
        return self.dataset

    def record(self) -> dict[str, Any]:
        """The content of run.json, or an empty record."""
        if not self.record_file.exists():
            return {"stages": {}, "history": []}
        content: dict[str, Any] = files.read_json(self.record_file)
        return content

    @contextlib.contextmanager
    def enter(
        self, stage: str, chosen: Recipe, decisive: dict[str, Any] | None = None, *, together: bool = False
    ) -> Iterator[None]:
        """Locks the directory, refuses other decisive values, writes recipe.yaml and run.json, runs the block.

        Refused is what contradicts this stage or any other whose artefact stands here, earlier or later.
        `decisive` adds values that the recipe cannot know, such as the hash of the prior. `together`: others that enter
        so may work beside this one. Raises RunConflictError that names the keys in which the directory and the recipe
        differ, OutputError when another process is at work.
        """
        values = decisive_values(stage, chosen, decisive)
        lock = files.shared if together else files.exclusive
        with lock(self.path / ".lock", f"the run directory {self.path}"):
            self._together = together
            with self._recording() as record:
                self._check(stage, chosen, values, record, complete=True)
                if not together:  # the others' files are being written
                    files.remove_leftovers(self.path)
                record["stages"][stage] = {**record["stages"].get(stage, {}), "decisive": values}
                record["recipe_sha256"] = hashlib.sha256(recipe.dump(chosen).encode()).hexdigest()
                record["machine"] = machine()
                record["history"] = [*record["history"], {"command": command_line(), "stage": stage, "started": _now()}]
                recipe.write(chosen, self.recipe_file)
            yield

    def refuse_other_values(self, stage: str, chosen: Recipe, decisive: dict[str, Any] | None = None) -> None:
        """What `enter` would refuse, told before long work and without touching the directory.

        `decisive` may still lack values that only this work gives. Raises RunConflictError.
        """
        self._check(stage, chosen, decisive_values(stage, chosen, decisive), self.record(), complete=False)

    def note(self, stage: str, **facts: Any) -> None:
        """Adds facts, such as the hashes of what was made, to the record of a stage that was entered."""
        with self._recording() as record:
            record["stages"][stage].update(facts)

    @contextlib.contextmanager
    def _recording(self) -> Iterator[dict[str, Any]]:
        """run.json, to be changed by one process at a time; written when the block ends well."""
        with contextlib.ExitStack() as stack:
            if self._together:
                stack.enter_context(files.exclusive(self.path / ".record.lock", "the record of the run", wait=True))
            record = self.record()
            yield record
            files.write_json(self.record_file, record)

    def _check(
        self, stage: str, chosen: Recipe, values: dict[str, Any], record: dict[str, Any], *, complete: bool
    ) -> None:
        """Refuses when any stage stands here that the recipe would make otherwise.

        Later stages count as well: recipe.yaml would no longer be theirs. `complete`: `values` holds all that decides
        `stage`, so that a value on one side alone is a difference, too.
        """
        differing: list[str] = []
        elsewhere = False  # whether more differs than what train-fr itself made, which --restart removes
        for known in STAGES:
            made_with = record["stages"].get(known, {}).get("decisive")
            if made_with is None or not any(self.path.glob(_ARTEFACTS[known])):
                continue
            now = values if known == stage else {**values, **decisive_values(known, chosen)}
            keys = set(made_with) | set(now) if known == stage and complete else set(made_with) & set(now)
            for key in sorted(keys):
                if made_with.get(key) != now.get(key):
                    line = f"\n  {key}: {_show(made_with, key)} in the directory, {_show(now, key)} now"
                    elsewhere |= (stage, known) != ("train-fr", "train-fr")
                    if line not in differing:
                        differing.append(line)
        if differing:
            instead = "" if elsewhere else "remove this training with --restart, "
            raise RunConflictError(
                f"The run directory {self.path} was made with other values:{''.join(differing)}",
                f"\nGive those values again, {instead}or start another directory with --run.",
            )


def decisive_values(stage: str, chosen: Recipe, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Dotted key → value of everything that decides the bytes of `stage`."""
    values: dict[str, Any] = {}
    for part in STAGES[stage]:
        section = getattr(chosen, part)
        values.update(_flatten(part, section.decisive() if isinstance(section, recipe.Section) else section))
    return {**values, **(extra or {})}


def machine() -> dict[str, Any]:
    """Versions and hardware, for the record."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "processor": processor_name(),
        "versions": versions,
    }


def processor_name() -> str:
    """The CPU's name as the kernel tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def command_line() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _flatten(prefix: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {key: item for name, part in value.items() for key, item in _flatten(f"{prefix}.{name}", part).items()}
    return {prefix: value}


def _show(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "absent"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
