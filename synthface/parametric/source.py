"""A dataset of parametric people: RecordIO with exact labels, landmarks and pose, for training and as a test world."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from synthface import dataset, files
from synthface.dataset import Packed, Row, ShardWriter
from synthface.errors import RunConflictError, UsageError
from synthface.parametric.population import LOOKS
from synthface.parametric.studio import Shoot, Studio
from synthface.progress import Progress
from synthface.recipe.pictures import PackRecipe

RESERVED = "test"  # the crowd of the verification sets
_PICTURES_A_SHARD = 2_000
_PLAN = "plan.json"


def make_people(
    out: str | os.PathLike[str],
    ids: int,
    per_id: int,
    *,
    crowd: str = "train",
    seed: int = 0,
    workers: int | None = None,
) -> Packed | None:
    """The first `ids` people of a crowd, `per_id` photographs each, as a RecordIO folder at `out`; None if it is there.

    Shards are collected in a folder beside `out` until all are there: an interrupted call goes on with the first that
    is missing. Raises UsageError for numbers below 1 and the crowd of the verification sets, RunConflictError when `out`
    or the shards beside it were made otherwise.
    """
    if ids < 1 or per_id < 1:
        raise UsageError(f"{ids} people with {per_id} pictures each make no dataset.", "Ask for one or more of both.")
    if crowd == RESERVED:
        raise UsageError(f"The people of the crowd '{crowd}' are kept for verification sets.", "Choose another name.")
    out = Path(out)
    facts = {"ids": ids, "per_id": per_id, "crowd": crowd, "seed": str(seed), "looks": LOOKS}
    parts = out.with_name(f"{out.name}.shards")
    with files.exclusive(out.with_name(f".{out.name}.lock"), f"the dataset {out}"):
        if _same_plan(out / _PLAN, facts, out):
            return None
        begun = _same_plan(parts / _PLAN, facts, parts)
        if out.exists() and not begun:
            raise RunConflictError(f"{out} exists and is no dataset of parametric people.", "Choose another folder.")
        if not begun:
            files.write_json(parts / _PLAN, facts)
        shards = _photograph(parts, facts, seed, workers)
        packed = dataset.pack(shards, out, PackRecipe(), seed, overwrite=True)
        files.write_json(out / _PLAN, facts)
        shutil.rmtree(parts)
    return packed


def _photograph(parts: Path, facts: dict[str, Any], seed: int, workers: int | None) -> list[Path]:
    """Fills the shards that are missing; gives all."""
    ids, per_id, crowd = facts["ids"], facts["per_id"], facts["crowd"]
    together = max(1, _PICTURES_A_SHARD // per_id)
    files.remove_leftovers(parts)
    shards = {start: parts / f"{start:07d}" for start in range(0, ids, together)}
    missing = {start: path for start, path in shards.items() if not path.with_name(f"{path.name}.parquet").exists()}
    done = ids - sum(min(together, ids - start) for start in missing)
    with Studio(workers) as studio, Progress(ids * per_id, "pictures", "photographing", done * per_id) as progress:
        for start, path in missing.items():
            people = np.arange(start, min(start + together, ids))
            shoot = Shoot(seed, crowd, np.repeat(people, per_id), np.tile(np.arange(per_id), len(people)))
            with ShardWriter(path) as shard:
                for n, photograph in enumerate(studio.take(shoot)):
                    yaw, pitch, roll = (float(angle) for angle in photograph.pose)
                    row = Row(
                        identity=int(shoot.person_N[n]), index=int(shoot.picture_N[n]), seed=photograph.seed, attempt=0,
                        landmarks=photograph.landmarks, yaw=yaw, pitch=pitch, roll=roll,
                    )  # fmt: skip
                    shard.write(photograph.jpeg, row)
                    progress.update(1)
    return [path.with_name(f"{path.name}.rec") for path in shards.values()]


def _same_plan(path: Path, facts: dict[str, Any], folder: Path) -> bool:
    """Whether `folder` was made by these facts; False when there is no plan, RunConflictError when by others."""
    if not path.exists():
        return False
    known = files.read_json(path)
    differing = [
        f"\n  {key}: {known.get(key)!r} there, {facts[key]!r} now" for key in facts if known.get(key) != facts[key]
    ]
    if differing:
        raise RunConflictError(
            f"{folder} holds parametric people that were made otherwise:{''.join(differing)}",
            "\nGive those values again, choose another folder, or remove this one.",
        )
    return True
