"""How good a dataset of embeddings is, told by the papers' own figures; formulas and sources stand with each function.

audit_classes.py   people one after the other, from files in any order
audit_within.py    centers, consistency, diversity, genuine pairs
audit_between.py   uniqueness, nearest centers, label noise
audit_rates.py     EER, FMR100, FMR1000, FDR, d′, ROC
audit_leakage.py   the nearest real person of every picture
audit_spread.py    Fréchet distance, effective dimension, D_intra
audit_balance.py   groups and measured values

Everything is computed over all rows; the two figures that rest on a draw say how large it was. Memory depends on the number
of people (two centers each), on the recipe's numbers of pairs and on the pictures of the largest person, whose embeddings are
held together; of all others a few numbers a picture are held.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.identity import audit_between, audit_rates, audit_spread
from synthface.identity.audit_between import Doubt
from synthface.identity.audit_classes import People, people_of
from synthface.identity.audit_leakage import Pair, by_chance, leakage, nearest_references, worst_pairs
from synthface.identity.audit_within import Within, within
from synthface.identity.embeddings import EmbeddingSet
from synthface.identity.nearest import Centers
from synthface.progress import Progress
from synthface.recipe.audit import AuditRecipe


@dataclass(frozen=True)
class Audit:
    """content: the figures, for JSON. doubts, leaks: the worst cases, by row of the set (leaks: and row of the references)."""

    content: dict[str, Any]
    doubts: list[Doubt]
    leaks: list[Pair]
    people: People


def audit(
    rows: EmbeddingSet,
    settings: AuditRecipe,
    seed: int,
    references: EmbeddingSet | None = None,
    scratch: Path | None = None,
) -> Audit:
    """Measures labelled embeddings. references: embeddings of real people, by the same encoder.

    scratch: folder for a sorted copy where the labels are not in order. Raises InputError without labels, and when the
    references are of another dimension.
    """
    people = people_of(rows)
    inside = within(rows, people, settings.threshold, settings.genuine_pairs, seed, scratch)
    chosen_R = audit_rates.drawn_rows(len(rows), settings.impostor_images, seed, "impostor images")
    row_RD, doubts, doubtful = _second_pass(rows, people, inside, chosen_R, settings)
    impostor_I = audit_rates.impostor_scores(row_RD, people.class_N[chosen_R])
    separability = audit_rates.separation(inside.genuine_G, impostor_I)
    separability |= {"genuine_pairs": inside.pairs, "impostor_images": len(chosen_R)}
    seen = audit_spread.moments(rows)
    content: dict[str, Any] = {
        "images": len(rows),
        "identities": len(people),
        "images_per_identity": _per_identity(people.count_C),
        "dimension": rows.dimension,
        "threshold": settings.threshold,
        "uniqueness": {
            **audit_between.uniqueness(inside.center_CD, settings.threshold),
            "nearest_center": audit_between.nearest_center(inside.center_CD),
        },
        "consistency": {
            "share": consistency(inside.own_N, people, settings.threshold),
            "share_of_images": float((inside.own_N > settings.threshold).mean()),
            "own_center": audit_rates.described(inside.own_N),
        },
        "diversity": {"share": diversity(inside.diverse_N, people)},
        "separability": separability,
        "label_noise": {"images": doubtful, "share": doubtful / len(rows)},
        "spread": audit_spread.spread(seen),
        "leakage": None,
        "frechet": None,
    }
    leaks: list[Pair] = []
    if references is not None:
        nearest = nearest_references(rows, references, settings.block)
        content["leakage"] = leakage(nearest, len(references), rows.dimension, settings)
        content["leakage"]["by_chance"] = by_chance(separability["impostor"], len(references))
        leaks = worst_pairs(nearest, settings.shown)
        there = audit_spread.moments(references)
        content["frechet"] = {
            "distance": audit_spread.frechet_distance(seen, there),
            "references": audit_spread.spread(there),
        }
    return Audit(content, doubts, leaks, people)


def consistency(own_N: NDArray[np.float64], people: People, threshold: float) -> float:
    """C_intra = 1/C Σ_c 1/N_c Σ_i [d(f_i, f_c) < r]: DCFace (CVPR 2023), Eq. 13.

    own_N: similarity of each picture to its person's mean f_c; d is the cosine distance, r = 1 − `threshold`.
    """
    return _mean_over_people(own_N > threshold, people)


def diversity(diverse_N: NDArray[np.bool_], people: People) -> float:
    """1/C Σ_c 1/N_c |{i : d(f_i, f_j) > r for all j < i of the person}| (ours: Eq. 11's r-balls, within each person).

    DCFace's own diversity, Eq. 14 and 15, needs real pictures of the same people: `audit_spread.style_recall`.
    """
    return _mean_over_people(diverse_N, people)


def _mean_over_people(true_N: NDArray[np.bool_], people: People) -> float:
    """Of each person the share of pictures for which it is true; the mean over people."""
    return float((np.bincount(people.class_N, true_N, len(people)) / people.count_C).mean())


def _second_pass(
    rows: EmbeddingSet, people: People, inside: Within, chosen_R: NDArray[np.int64], settings: AuditRecipe
) -> tuple[NDArray[np.float32], list[Doubt], int]:
    """What needs all centers: the doubtful rows, the worst first, and how many there are. Collects `chosen_R` on its way."""
    row_RD = np.empty((len(chosen_R), rows.dimension), np.float32)
    centers, worst, count = Centers(inside.center_CD), list[Doubt](), 0
    with Progress(len(rows), "embeddings", "between people") as progress:
        for chunk in rows.chunks(settings.block, reuse=True):
            end = chunk.start + len(chunk.embedding_BD)
            first, last = np.searchsorted(chosen_R, [chunk.start, end])
            row_RD[first:last] = chunk.embedding_BD[chosen_R[first:last] - chunk.start]
            part = slice(chunk.start, end)
            found = audit_between.doubtful(
                centers, chunk.start, chunk.embedding_BD, people.class_N[part], inside.own_N[part]
            )
            count += len(found)
            worst = sorted([*worst, *found], key=lambda doubt: doubt.own - doubt.other)[: settings.shown]
            progress.update(len(chunk.embedding_BD))
    return row_RD, worst, count


def _per_identity(count_C: NDArray[np.int64]) -> dict[str, float]:
    return {
        "min": int(count_C.min()),
        "median": float(np.median(count_C)),
        "mean": float(count_C.mean()),
        "max": int(count_C.max()),
    }
