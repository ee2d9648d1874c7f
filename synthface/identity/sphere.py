"""Operations on unit embeddings: the hypersphere on which identities live."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthface.errors import InputError

Floats = NDArray[np.float32]


def normalize(embedding_ND: NDArray[np.floating]) -> Floats:
    """Rows scaled to unit length, float32. Raises InputError for rows of zeros or with NaN or infinity."""
    x_ND = np.ascontiguousarray(embedding_ND, dtype=np.float32)
    square_N = np.einsum("...d,...d->...", x_ND, x_ND, dtype=np.float32)
    if not (np.isfinite(square_N) & (square_N > 1e-30)).all():
        return _normalize_in_double(np.asarray(embedding_ND, dtype=np.float64))
    return x_ND / np.sqrt(square_N)[..., None]


def _normalize_in_double(x_ND: NDArray[np.float64]) -> Floats:
    """For rows whose squared length overflows or underflows float32, and for naming the rows that have no direction."""
    rows = x_ND.reshape(-1, x_ND.shape[-1])
    for fault_N, what in ((~np.isfinite(rows).all(1), "holds NaN or infinity"), (~rows.any(1), "is all zeros")):
        if fault_N.any():
            raise InputError(
                f"Row {int(np.argmax(fault_N))} {what}.", "An embedding needs a direction; remove the row."
            )
    rows = rows / np.abs(rows).max(1, keepdims=True)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32).reshape(x_ND.shape)


def unit_rows(embedding_BD: NDArray[np.floating]) -> Floats:
    """Rows scaled to unit length; a row without a direction becomes zeros, whose similarity to all is 0."""
    length_B = np.sqrt(np.einsum("bd,bd->b", embedding_BD, embedding_BD, dtype=np.float64))
    good_B = np.isfinite(length_B) & (length_B > 1e-12)
    unit_BD = np.zeros(embedding_BD.shape, np.float32)
    unit_BD[good_B] = embedding_BD[good_B] / length_B[good_B, None]
    return unit_BD


def average(embedding_KD: NDArray[np.floating], weight_K: Sequence[float] | None = None) -> Floats:
    """One identity from several embeddings of a person: the normalised mean of the unit rows (Arc2Face, App. B).

    embedding_KD: (K, D); weight_K: non-negative weights, equal by default. Gives (D,) float32 of unit length.
    Raises InputError when the rows cancel out and no direction is left.
    """
    unit_KD = normalize(np.atleast_2d(embedding_KD)).astype(np.float64)
    mean_D = np.average(unit_KD, axis=0, weights=weight_K)
    if np.linalg.norm(mean_D) < 1e-6:
        raise InputError(
            "The embeddings cancel out: their mean has no direction.", "Average photographs of one person."
        )
    return normalize(mean_D)


def slerp(start_D: NDArray[np.floating], end_D: NDArray[np.floating], share: ArrayLike) -> Floats:
    """Points on the great circle from one person to another (Arc2Face, Fig. 10): the angle grows evenly with `share`.

    start_D, end_D: (D,), normalised here; share: scalar or (S,), 0 is the start, 1 the end, values outside go on along
    the circle. Gives (D,) or (S, D) float32 unit rows. Raises InputError for opposite points, between which no single
    shortest path exists.
    """
    a_D, b_D = normalize(start_D).astype(np.float64), normalize(end_D).astype(np.float64)
    share_S = np.asarray(share, dtype=np.float64)[..., None]
    angle = math.atan2(float(np.linalg.norm(a_D - b_D)), float(np.linalg.norm(a_D + b_D))) * 2  # exact near 0 and pi
    if math.pi - angle < 1e-6:
        raise InputError("The two people are opposite points of the sphere: no path between them is the shortest.")
    if angle < 1e-7:
        return normalize((1 - share_S) * a_D + share_S * b_D)
    return normalize((np.sin((1 - share_S) * angle) * a_D + np.sin(share_S * angle) * b_D) / math.sin(angle))


def rejection(direction_ND: NDArray[np.floating], center_ND: NDArray[np.floating]) -> NDArray[np.float64]:
    """The part of each direction that is orthogonal to its unit center, scaled to unit length, float64."""
    d_ND, c_ND = np.asarray(direction_ND, np.float64), np.asarray(center_ND, np.float64)
    tangent_ND = d_ND - np.sum(d_ND * c_ND, -1, keepdims=True) * c_ND
    return tangent_ND / np.linalg.norm(tangent_ND, axis=-1, keepdims=True)


def exact_similarity(a_D: Floats, b_D: Floats) -> float:
    """The dot product of two float32 rows, correctly rounded to float64: the value that decides near a threshold.

    Products of two float32 numbers are exact in float64 and `math.fsum` adds without error, so that the result
    depends on no summation order, thread count or instruction set.
    """
    return math.fsum((a_D.astype(np.float64) * b_D.astype(np.float64)).tolist())


def float32_bound(dimension: int) -> float:
    """How far a float32 dot product of two unit rows can lie from the exact one, in any summation order.

    The standard bound γ_d = d·u / (1 − d·u) with unit roundoff u = 2⁻²⁴ (Higham, *Accuracy and Stability*, §3.1), for
    rows whose own length is within 1e-6 of one.
    """
    du = dimension * 2.0**-24
    return du / (1 - du) * (1 + 1e-5)
