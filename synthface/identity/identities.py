"""The artefact of `sample-ids`: people who do not exist, in the order in which they were accepted."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import files
from synthface.errors import InputError, RunConflictError
from synthface.identity.prior import read_artefact

FORMAT = "synthface.identities/1"


@dataclass(frozen=True)
class Identities:
    """Accepted identities and where sampling stands.

    center_ND: (N, d) float32 unit rows. candidate_N: (N,) int64, each identity's number in the candidate stream.
    nearest_M: (M,) float32, M ≤ N: cosine similarity of the first M identities to the nearest earlier one, as the faiss
    pass confirmed it (−1 for the first). excluded_M: the same to the nearest excluded row, or empty.
    next_candidate: the first candidate that has not been looked at. `facts`: how they were made, and statistics.
    """

    center_ND: NDArray[np.float32]
    candidate_N: NDArray[np.int64]
    next_candidate: int
    nearest_M: NDArray[np.float32]
    excluded_M: NDArray[np.float32]
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def none(cls, dimension: int, facts: dict[str, Any]) -> Identities:
        """The empty beginning."""
        empty = np.empty(0, np.float32)
        return cls(np.empty((0, dimension), np.float32), np.empty(0, np.int64), 0, empty, empty, facts)

    def __len__(self) -> int:
        return len(self.center_ND)

    @property
    def confirmed(self) -> bool:
        """Has the faiss pass seen every identity?"""
        return len(self.nearest_M) == len(self)

    @property
    def acceptance(self) -> float:
        """Share of the candidates looked at so far that were accepted."""
        return len(self) / self.next_candidate if self.next_candidate else 1.0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the identities as safetensors, atomically. The bytes are a function of the content alone."""
        from safetensors.numpy import save

        tensors = {
            "centers": self.center_ND,
            "candidates": self.candidate_N,
            "nearest": self.nearest_M,
            "nearest_excluded": self.excluded_M,
        }
        facts = {**self.facts, "format": FORMAT, "next_candidate": self.next_candidate}
        content = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
                       metadata={"synthface": json.dumps(facts, sort_keys=True)})  # fmt: skip
        files.write_bytes(path, content)


def resume(path: str | os.PathLike[str], dimension: int, facts: dict[str, Any]) -> Identities:
    """The identities at `path` to go on from, or the empty beginning where there is no file.

    Raises RunConflictError when the file was made with other `facts` than the present ones.
    """
    if not Path(path).exists():
        return Identities.none(dimension, facts)
    begun = load(path)
    differing = sorted(key for key in facts if begun.facts.get(key) != facts[key])
    if differing:
        raise RunConflictError(
            f"{path} was made with another {', '.join(differing)}.", "Move it away, or choose another run directory."
        )
    return begun


def load(path: str | os.PathLike[str]) -> Identities:
    """Reads identities; raises InputError when the file is missing, foreign or damaged."""
    path = Path(path)
    tensors, facts = read_artefact(path, FORMAT, "a file of identities", "Make one with `synthface sample-ids`.")
    try:
        made = Identities(
            tensors["centers"],
            tensors["candidates"],
            int(facts.pop("next_candidate")),
            tensors["nearest"],
            tensors["nearest_excluded"],
            facts,
        )
    except KeyError as error:
        raise InputError(f"{path} lacks {error}.", "Remove it and run `synthface sample-ids` again.") from error
    if len(made.candidate_N) != len(made) or len(made.nearest_M) > len(made):
        raise InputError(f"{path} contradicts itself: {len(made)} centers, {len(made.candidate_N)} candidate numbers.",
                         "Remove it and run `synthface sample-ids` again.")  # fmt: skip
    return made
