"""Does a picture show a real person? The nearest reference embedding of every picture, not only of class centers.

Class means hide leaks: one picture of a real person inside a class moves no mean. A published dataset that had been searched by
means was found to leak when its single pictures were searched (HaiyuWu/Vec2Face, issue 16). The paper's Fig. 11 (Arc2Face,
ECCV 2024) shows generated faces beside the nearest training faces; this is the same search over everything, with a gate.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError
from synthface.identity import sphere
from synthface.identity.audit_rates import described
from synthface.identity.embeddings import EmbeddingSet
from synthface.identity.nearest import Crowd
from synthface.progress import Progress
from synthface.recipe.audit import AuditRecipe

_REFERENCE_BYTES = 512 << 20  # references held at once; more are compared piece by piece


class Nearest(NamedTuple):
    """Of each row: the similarity of the nearest reference (float32) and that reference's row."""

    similarity_N: NDArray[np.float32]
    reference_N: NDArray[np.int64]


class Pair(NamedTuple):
    """A row and its nearest reference."""

    row: int
    reference: int
    similarity: float


def nearest_references(rows: EmbeddingSet, references: EmbeddingSet, block: int) -> Nearest:
    """Exhaustive search, in memory that depends neither on the number of rows nor of references.

    Raises InputError when the two are of different dimensions.
    """
    if rows.dimension != references.dimension:
        raise InputError(
            f"The references ({references.paths[0]}) have dimension {references.dimension}, the dataset's embeddings "
            f"{rows.dimension}: they are of different encoders.",
            "Embed the references with the encoder that judges the dataset: give their pictures as --reference, or name "
            "the encoder of the file with --encoder.",
        )
    best_N = np.full(len(rows), -2.0, np.float32)
    found_N = np.zeros(len(rows), np.int64)
    piece = max(1, _REFERENCE_BYTES // (4 * references.dimension))
    with Progress(len(rows) * -(-len(references) // piece), "embeddings", "nearest references") as progress:
        for chunk in references.chunks(piece):
            crowd = Crowd(chunk.embedding_BD)
            for part in rows.chunks(block, reuse=True):
                similarity_B, place_B = crowd.nearest(part.embedding_BD)
                span = slice(part.start, part.start + len(part.embedding_BD))
                nearer_B = similarity_B > best_N[span]
                best_N[span][nearer_B] = similarity_B[nearer_B]
                found_N[span][nearer_B] = place_B[nearer_B] + chunk.start
                progress.update(len(part.embedding_BD))
    return Nearest(np.clip(best_N, -1, 1), found_N)


def worst_pairs(nearest: Nearest, count: int) -> list[Pair]:
    """The most similar pairs, most similar first."""
    order_K = np.argsort(-nearest.similarity_N, kind="stable")[:count]
    return [Pair(int(n), int(nearest.reference_N[n]), float(nearest.similarity_N[n])) for n in order_K]


def leakage(nearest: Nearest, references: int, dimension: int, settings: AuditRecipe) -> dict[str, Any]:
    """Mean, quantiles, share above `leakage_level`, and whether the gate is passed.

    The gate: p99 ≤ `max_leakage_p99` and share ≤ `max_leakage_share`. Its defaults, .45 and .1 %, are those of 512-d ArcFace
    embeddings, in which 10,000 generated pictures against CASIA-WebFace gave a mean of .36 and a p99 of .44.
    """
    similarity_N = nearest.similarity_N
    above_N = similarity_N > settings.leakage_level + sphere.float32_bound(dimension)
    p99 = float(np.quantile(similarity_N, 0.99))
    share = float(above_N.mean())
    described_N = described(similarity_N)
    assert described_N is not None
    return {
        "references": references,
        **described_N,
        "p99": p99,
        "max": float(similarity_N.max()),
        "level": settings.leakage_level,
        "above_level": int(above_N.sum()),
        "share_above_level": share,
        "gate": {
            "max_p99": settings.max_leakage_p99,
            "max_share": settings.max_leakage_share,
            "passed": p99 <= settings.max_leakage_p99 and share <= settings.max_leakage_share,
        },
    }


def by_chance(impostor: dict[str, Any] | None, references: int) -> float | None:
    """What the nearest of M strangers would be like: μ + σ Φ⁻¹(1 − 1/M), were similarities of two people normal (ours).

    impostor: mean and std of the similarity of two people in the dataset. Beside it the gate's absolute numbers, which are
    those of one encoder, can be read for another one. None where the dataset has no two people.
    """
    if impostor is None or references < 2:
        return None
    return float(min(impostor["mean"] - impostor["std"] * NormalDist().inv_cdf(1 / references), 1.0))
