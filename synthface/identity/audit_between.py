"""What is measured between people: how many are unique, how near the nearest other is, and whose pictures are doubtful."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthface.identity import neighbours
from synthface.identity.audit_rates import described
from synthface.identity.nearest import Centers
from synthface.identity.sample import greedy
from synthface.progress import Progress

Floats = NDArray[np.float32]
_BLOCK = 4_096


class Doubt(NamedTuple):
    """A picture nearer to another person than to its own: its row, both classes, both similarities."""

    row: int
    own_class: int
    other_class: int
    own: float
    other: float


def uniqueness(center_CD: Floats, threshold: float) -> dict[str, Any]:
    """U_class = |U_c| / C, U_c = {f_c : d(f_c, f_m) > r for all m < c}: DCFace (CVPR 2023), Eq. 12, d the cosine distance.

    `share` takes the equation by its letter: all earlier centers count. `share_packed` takes the text above Eq. 12, "add
    r-balls until no more fit without collision": earlier centers that collided themselves do not count. Similarities from
    `threshold` = 1 − r on collide; near ties are decided by exactly rounded products.
    """
    everyone = neighbours.engine("auto", threshold, center_CD.shape[1])
    packed = neighbours.engine("auto", threshold, center_CD.shape[1])
    unique = kept = 0
    with Progress(len(center_CD), "people", "uniqueness") as progress:
        for start in range(0, len(center_CD), _BLOCK):
            block_BD = np.ascontiguousarray(center_CD[start : start + _BLOCK])
            pair_P2 = everyone.near_pairs(block_BD)
            collides_B = everyone.near_any(block_BD)
            collides_B[pair_P2[:, 1]] = True
            unique += int((~collides_B).sum())
            everyone.add(block_BD)
            far_BD = np.ascontiguousarray(block_BD[~packed.near_any(block_BD)])
            stays_K = greedy(len(far_BD), packed.near_pairs(far_BD))
            packed.add(far_BD[stays_K])
            kept += len(stays_K)
            progress.update(len(block_BD))
    return {"share": unique / len(center_CD), "unique": unique, "share_packed": kept / len(center_CD), "packed": kept}


def nearest_center(center_CD: Floats) -> dict[str, Any] | None:
    """Distribution of each center's similarity to the nearest other center, by faiss; None for one person."""
    if len(center_CD) < 2:
        return None
    index = neighbours.flat_index(center_CD.shape[1])
    index.add(np.ascontiguousarray(center_CD))
    nearest_C = np.empty(len(center_CD), np.float32)
    for start in range(0, len(center_CD), _BLOCK):
        block_BD = np.ascontiguousarray(center_CD[start : start + _BLOCK])
        best_B2, found_B2 = index.search(block_BD, 2)
        own_B = found_B2[:, 0] == np.arange(start, start + len(block_BD))
        nearest_C[start : start + len(block_BD)] = np.where(own_B, best_B2[:, 1], best_B2[:, 0])
    return described(nearest_C)


def doubtful(
    centers: Centers, start: int, row_BD: Floats, class_B: NDArray[np.int64], own_B: NDArray[np.float64]
) -> list[Doubt]:
    """Label noise: the rows of a block, numbered from `start`, that are nearer to another center than to their own.

    Over all centers, by faiss; near ties are decided by exactly rounded products. The own center is the mean of all the
    person's pictures, the row among them, which favours it: 1/n of the center is the picture itself.
    """
    found = []
    for place in np.flatnonzero(centers.nearer_to_another(row_BD, class_B, own_B)).tolist():
        similarity_C = centers.center_ND @ row_BD[place]
        other = int(similarity_C.argmax())
        found.append(Doubt(start + place, int(class_B[place]), other, float(own_B[place]), float(similarity_C[other])))
    return found
