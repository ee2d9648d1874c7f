"""The proof after sampling: an independent faiss pass over all identities, and what it learned.

Sampling may use 8-bit screens; this pass does not trust them. It finds every identity's nearest earlier identity (and
nearest excluded row) with a faiss flat index in float32 and fails loudly if any reaches the threshold.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface import seeds
from synthface.errors import SynthfaceError
from synthface.identity import neighbours, sphere
from synthface.identity.embeddings import EmbeddingSet
from synthface.identity.identities import Identities
from synthface.progress import Progress
from synthface.recipe.people import IdentitiesRecipe

_BLOCK = 8_192
_PAIRS_SAMPLED = 4_000  # identities whose mutual similarities make the histogram
BINS = np.linspace(-1.0, 1.0, 201)


def confirm(identities: Identities, settings: IdentitiesRecipe, seed: int, excluded: EmbeddingSet | None) -> Identities:
    """Searches the identities that no earlier pass has seen and adds the statistics to the facts.

    Raises SynthfaceError when two identities, or an identity and an excluded row, are not below the threshold: that
    would be a defect of synthface or a damaged file, never a matter of chance.
    """
    nearest_M, neighbour_M = _nearest_earlier(identities)
    largest = _exact_largest(identities, nearest_M, neighbour_M)
    excluded_M = _nearest_excluded(identities, excluded) if excluded is not None else np.empty(0, np.float32)
    _refuse(largest, settings, "two identities")
    if len(excluded_M):
        _refuse(float(excluded_M.max()) - sphere.float32_bound(excluded.dimension if excluded else 2), settings,
                "an identity and an excluded row")  # fmt: skip
    statistics = {
        "largest_similarity": largest,
        "largest_excluded_similarity": float(excluded_M.max()) if len(excluded_M) else None,
        "similarity": _similarity_statistics(identities, seed),
        "nearest_histogram": histogram(nearest_M[1:]),
        "acceptance_curve": acceptance_curve(identities),
        "candidates_drawn": identities.next_candidate,
        "capacity": capacity(identities, settings.min_acceptance),
    }
    return dataclasses.replace(
        identities, nearest_M=nearest_M, excluded_M=excluded_M, facts={**identities.facts, "statistics": statistics}
    )


def _nearest_earlier(identities: Identities) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Similarity to, and number of, each identity's nearest earlier one; what an earlier pass found is kept."""
    import faiss

    center_ND = np.ascontiguousarray(identities.center_ND)
    known = len(identities.nearest_M)
    nearest_N = np.full(len(identities), -1.0, np.float32)
    neighbour_N = np.zeros(len(identities), np.int64)
    nearest_N[:known] = identities.nearest_M
    neighbour_N[:known] = -1  # not searched again; found again by `_exact_largest` where it matters
    index: Any = faiss.IndexFlatIP(center_ND.shape[1])
    if neighbours.gpus():
        index = faiss.index_cpu_to_all_gpus(index)
    index.add(center_ND[:known])
    with Progress(len(identities), "identities", "confirming", initial=known) as progress:
        for start in range(known, len(identities), _BLOCK):
            block_BD = center_ND[start : start + _BLOCK]
            rows = np.arange(start, start + len(block_BD))
            own_BB = np.where(np.tri(len(block_BD), k=-1, dtype=bool), block_BD @ block_BD.T, np.float32(-2))
            nearest_N[rows] = own_BB.max(axis=1)
            neighbour_N[rows] = own_BB.argmax(axis=1) + start
            if start:
                similarity_B1, number_B1 = index.search(block_BD, 1)
                nearer_B = similarity_B1[:, 0] > nearest_N[rows]
                nearest_N[rows[nearer_B]] = similarity_B1[nearer_B, 0]
                neighbour_N[rows[nearer_B]] = number_B1[nearer_B, 0]
            index.add(block_BD)
            progress.update(len(block_BD))
            new_N = neighbour_N[rows]
            # one product a pair: the stored value depends on the pair alone, not on how the search was blocked
            nearest_N[rows] = np.einsum("bd,bd->b", block_BD, center_ND[new_N], dtype=np.float64)
    nearest_N[:1] = -1.0
    return nearest_N, neighbour_N


def _exact_largest(
    identities: Identities, nearest_N: NDArray[np.float32], neighbour_N: NDArray[np.int64]
) -> float | None:
    """The exact similarity of the most similar pair; None for a single identity."""
    if len(identities) < 2:
        return None
    bound = sphere.float32_bound(identities.center_ND.shape[1])
    largest = -2.0
    for row in np.flatnonzero(nearest_N >= nearest_N.max() - 2 * bound):
        neighbour = neighbour_N[row]
        if neighbour < 0:
            neighbour = np.argmax(identities.center_ND[:row] @ identities.center_ND[row])
        largest = max(largest, sphere.exact_similarity(identities.center_ND[row], identities.center_ND[neighbour]))
    return largest


def _nearest_excluded(identities: Identities, excluded: EmbeddingSet) -> NDArray[np.float32]:
    """Similarity of each identity to its nearest excluded row, in one pass over the files."""
    import faiss

    known = len(identities.excluded_M)
    new_ND = np.ascontiguousarray(identities.center_ND[known:])
    best_N = np.full(len(new_ND), -1.0, np.float32)
    if len(new_ND):
        for chunk in excluded.chunks(4 * neighbours.TILE):
            index = faiss.IndexFlatIP(excluded.dimension)
            index.add(chunk.embedding_BD)
            best_N = np.maximum(best_N, index.search(new_ND, 1)[0][:, 0])
    return np.concatenate([identities.excluded_M, best_N])


def _refuse(similarity: float | None, settings: IdentitiesRecipe, what: str) -> None:
    if similarity is not None and similarity >= settings.threshold:
        raise SynthfaceError(
            f"The faiss pass found {what} at a similarity of {similarity:.6f}, not below {settings.threshold:g}.",
            "The file was changed after sampling, or this is a defect: remove it, sample again, and report it.",
        )


def _similarity_statistics(identities: Identities, seed: int) -> dict[str, Any]:
    """Mean, deviation and histogram of the similarity of two identities, over all pairs of a seeded sample."""
    count = len(identities)
    if count < 2:
        return {}
    rng = seeds.generator(seed, "similarity statistics")
    chosen = rng.choice(count, _PAIRS_SAMPLED, replace=False) if count > _PAIRS_SAMPLED else np.arange(count)
    row_KD = identities.center_ND[np.sort(chosen)]
    pair_P = (row_KD @ row_KD.T)[np.triu_indices(len(row_KD), k=1)]
    return {
        "mean": float(pair_P.mean(dtype=np.float64)),
        "std": float(pair_P.std(dtype=np.float64)),
        "pairs": len(pair_P),
        "histogram": histogram(pair_P),
    }


def histogram(similarity_P: NDArray[np.float32]) -> list[int]:
    """Counts in the 200 bins of BINS, −1 … 1."""
    return [int(count) for count in np.histogram(np.clip(similarity_P, -1, 1), BINS)[0]]


def acceptance_curve(identities: Identities, points: int = 50) -> list[tuple[int, int]]:
    """(candidates looked at, identities kept) at even steps."""
    at_P = np.unique(np.linspace(0, identities.next_candidate, points + 1).astype(np.int64))
    kept_P = np.searchsorted(identities.candidate_N, at_P)
    return [(int(seen), int(kept)) for seen, kept in zip(at_P, kept_P, strict=True)]


def capacity(identities: Identities, floor: float) -> int | None:
    """How many identities fit before the acceptance falls to `floor`, estimated (ours).

    With n kept, a random candidate is accepted with a probability near exp(−n·p), p being the chance that two draws are
    too near. p is fitted to the acceptance of equal spans of candidates; None where nothing was rejected so far.
    """
    curve = np.array(acceptance_curve(identities), dtype=np.float64)
    seen_S, kept_S = np.diff(curve[:, 0]), np.diff(curve[:, 1])
    middle_S = (curve[1:, 1] + curve[:-1, 1]) / 2
    rejected = float((seen_S - kept_S).sum())
    if rejected < 10:
        return None
    # maximum likelihood of p for binomial counts with success probability exp(-n p): Newton on the score
    rate = rejected / float((seen_S * middle_S).sum())
    for _ in range(50):
        accept_S = np.exp(-rate * middle_S)
        odds_S = accept_S / np.maximum(1 - accept_S, 1e-12)
        score = float((middle_S * ((seen_S - kept_S) * odds_S - kept_S)).sum())
        slope = float((middle_S**2 * (seen_S - kept_S) * odds_S / np.maximum(1 - accept_S, 1e-12)).sum())
        step = score / slope if slope else 0.0
        rate = max(rate + step, rate / 2)
        if abs(step) < 1e-9 * rate:
            break
    return int(math.log(1 / floor) / rate) if floor > 0 else None
