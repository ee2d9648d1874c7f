"""Whole distributions compared: Fréchet distance, spread, and how much of the real style is covered."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.errors import InputError
from synthface.identity.embeddings import EmbeddingSet
from synthface.identity.moments import Moments, Product, SecondMoment, product
from synthface.identity.threads import in_order

Floats = NDArray[np.float32]
_BLOCK = 4_096


def moments(rows: EmbeddingSet) -> Moments:
    """Mean and scatter of all rows, streamed on all cores, summed in float64."""
    second = SecondMoment(rows.dimension)

    def part(chunk: tuple[int, Floats]) -> Product:
        return product(chunk[1], chunk[0])

    for found in in_order(part, ((chunk.start, chunk.embedding_BD) for chunk in rows.chunks(_BLOCK))):
        second.add(found)
    return second.moments()


def spread(seen: Moments) -> dict[str, float]:
    """Total variance of unit rows (1 − |mean|², 0: all alike, 1: spread evenly) and the effective dimension
    (Σλ)² / Σλ² of their covariance: the number of equal directions that would give the same concentration.
    """
    covariance_DD = seen.scatter_DD / seen.count
    total = float(np.trace(covariance_DD))
    return {
        "total_variance": total,
        "effective_dimension": total**2 / max(float((covariance_DD**2).sum()), np.finfo(float).tiny),
    }


def frechet_distance(a: Moments, b: Moments) -> float:
    """|μ_a − μ_b|² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½), unbiased covariances: Heusel et al. (NeurIPS 2017), Eq. 6.

    On embeddings of a recogniser in place of Inception features: nothing is downloaded, and what is compared are faces,
    not backgrounds. The two sets must be of one encoder; 0 means equal means and covariances. Few rows overestimate it.
    """
    covariance_a, covariance_b = a.scatter_DD / max(a.count - 1, 1), b.scatter_DD / max(b.count - 1, 1)
    value, vector = np.linalg.eigh(covariance_a)
    root_DD = (vector * np.sqrt(np.clip(value, 0, None))) @ vector.T
    cross = np.linalg.eigvalsh(root_DD @ covariance_b @ root_DD)  # the eigenvalues of Σ_a Σ_b, by a symmetric matrix
    trace = np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.sqrt(np.clip(cross, 0, None)).sum()
    return float(max(np.square(a.mean_D - b.mean_D).sum() + trace, 0.0))


def style_recall(
    real_MD: Floats, real_M: NDArray[np.int64], made_ND: Floats, made_N: NDArray[np.int64], neighbours: int
) -> dict[str, Any]:
    """D_intra: the share of real pictures within the k-nearest-neighbour ball of a generated picture of the same person.

    DCFace (CVPR 2023), Eq. 14 and 15, d the Euclidean distance; people in both sets with more than `neighbours`
    generated pictures count, each person the same. real_M, made_N: whose picture each row is. DCFace takes Inception's
    features for the style; the rows here are what the caller gives. Raises InputError when no person is in both sets.
    """
    shares = []
    made_of, real_of = _by_person(made_N), _by_person(real_M)
    for person in sorted(made_of.keys() & real_of.keys()):
        made_KD, real_KD = made_ND[made_of[person]].astype(np.float64), real_MD[real_of[person]].astype(np.float64)
        if len(made_KD) > neighbours:
            radius_K = np.sort(_distances(made_KD, made_KD), axis=1)[:, neighbours]  # column 0 is the picture itself
            shares.append(float((_distances(real_KD, made_KD) <= radius_K).any(axis=1).mean()))
    if not shares:
        raise InputError(
            f"No person has real pictures and more than {neighbours} generated ones.",
            "Diversity by recall needs real pictures of the very people that were generated.",
        )
    return {"share": float(np.mean(shares)), "people": len(shares), "neighbours": neighbours}


def _by_person(label_N: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Label → its rows, in their order: one sort, whatever the number of people."""
    order_N = np.argsort(label_N, kind="stable")
    label_C, start_C = np.unique(label_N[order_N], return_index=True)
    return dict(zip(label_C.tolist(), np.split(order_N, start_C[1:]), strict=True)) if len(label_C) else {}


def _distances(a_MD: NDArray[np.float64], b_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    squared_MN = (a_MD**2).sum(1)[:, None] + (b_ND**2).sum(1) - 2 * a_MD @ b_ND.T
    return np.sqrt(np.clip(squared_MN, 0, None))
