"""The plan: how the work is cut, and everything that decides a pixel, hashed.

    plan.json   format, hash, decisive values, shards as [first identity, end, images], the measured speed

The cut decides who makes which pictures when, not what they look like: another cut gives the same dataset.

What only rounds otherwise is not hashed, though it decides bytes: the device, the settings of speed in the recipe's
`generator` and `encoder` (`batch_size` on a GPU, `batched_guidance`, `channels_last`, `fused_attention` and the like), and
what `generator.dtype: auto` becomes on a device. So a run goes on elsewhere; the bytes are the same where these are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.errors import InputError, RunConflictError, UsageError

FORMAT = "synthface.plan/1"
_SHARDS_A_WORKER = 4  # at least so many, where identities suffice: the last shard keeps the others waiting less


class Shard(NamedTuple):
    """Whole identities `first` … `end` − 1 and how many images are wanted of them together."""

    number: int
    first: int
    end: int
    images: int

    @property
    def name(self) -> str:
        return f"{self.number:05d}"


@dataclass(frozen=True)
class Plan:
    """decisive: dotted key → value of all that decides a pixel. images_N: pictures wanted of each identity."""

    decisive: dict[str, Any]
    images_N: NDArray[np.int64]
    shards: tuple[Shard, ...]
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        return fingerprint(self.decisive)

    @property
    def images(self) -> int:
        return int(self.images_N.sum())

    @property
    def identities(self) -> int:
        return len(self.images_N)

    def part(self, part: tuple[int, int] | None) -> list[Shard]:
        """The shards of part i of n, 1 ≤ i ≤ n: every n-th one; all without a part."""
        return list(self.shards) if part is None else list(self.shards[part[0] - 1 :: part[1]])

    def save(self, path: Path) -> None:
        content = {
            "format": FORMAT,
            "hash": self.hash,
            "identities": self.identities,
            "images": self.images,
            "measured": self.measured,
            "decisive": self.decisive,
            "shards": [[shard.first, shard.end, shard.images] for shard in self.shards],
        }
        files.write_json(path, content)


def fingerprint(decisive: dict[str, Any]) -> str:
    """Hex SHA-256 of the decisive values."""
    text = json.dumps([FORMAT, decisive], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def cut(images_N: NDArray[np.int64], images_per_shard: int, workers: int = 1) -> tuple[Shard, ...]:
    """Whole identities in their order, `images_per_shard` at most unless a single identity has more.

    With several `workers` shards are made smaller, so that each worker gets some.
    """
    if workers > 1:
        images_per_shard = min(images_per_shard, max(int(images_N.sum()) // (workers * _SHARDS_A_WORKER), 1))
    shards: list[Shard] = []
    first = filled = 0
    for identity, count in enumerate(images_N.tolist()):
        if filled and filled + count > images_per_shard:
            shards.append(Shard(len(shards), first, identity, filled))
            first, filled = identity, 0
        filled += count
    shards.append(Shard(len(shards), first, len(images_N), filled))
    return tuple(shards)


def load(path: Path, images_N: NDArray[np.int64], decisive: dict[str, Any]) -> Plan:
    """The plan that was made before, for the same decisive values.

    Raises RunConflictError that names the values in which they differ, InputError for a damaged file.
    """
    content = files.read_json(path)
    try:
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        made_with: dict[str, Any] = content["decisive"]
        shards = tuple(Shard(number, *(int(value) for value in row)) for number, row in enumerate(content["shards"]))
        measured = dict(content["measured"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a plan of this version ({error}).",
            "Remove it: `synthface render` makes it again, and finished shards of the same cut stay.",
        ) from error
    if content["hash"] != fingerprint(decisive):
        raise RunConflictError(
            f"{path} was made with other values:{differences(made_with, decisive)}",
            "\nGive those values again, or start another directory with --run.",
        )
    if not _covers(shards, images_N):
        raise InputError(f"{path} does not cover its identities.", "Remove it and run the same command again.")
    return Plan(decisive, images_N, shards, measured)


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """One line for each value that differs."""

    def shown(values: dict[str, Any], key: str) -> str:
        return json.dumps(values[key], ensure_ascii=False) if key in values else "absent"

    keys = [key for key in sorted(set(before) | set(now)) if before.get(key) != now.get(key)]
    return "".join(f"\n  {key}: {shown(before, key)} in the plan, {shown(now, key)} now" for key in keys)


def parse_part(text: str) -> tuple[int, int]:
    """`2/8` → (2, 8). Raises UsageError."""
    part, slash, parts = text.partition("/")
    if not (slash and part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise UsageError(f"--part {text} is not of the form i/n.", "For example --part 1/8 … --part 8/8.")
    return int(part), int(parts)


def _covers(shards: Sequence[Shard], images_N: NDArray[np.int64]) -> bool:
    end = 0
    for shard in shards:
        if shard.first != end or shard.end <= shard.first or shard.end > len(images_N):
            return False
        if shard.images != int(images_N[shard.first : shard.end].sum()):
            return False
        end = shard.end
    return end == len(images_N)
