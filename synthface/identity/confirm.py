"""The proof after sampling: an independent faiss pass over all identities, and what it learned.

Sampling may use 8-bit screens; this pass does not trust them. It finds every identity's nearest earlier identity (and
nearest excluded row) with a faiss flat index in float32, and where that comes within its rounding of the largest value
the exact similarities decide. It fails loudly if any reaches the threshold.
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
from synthface.identity.threads import one_blas_thread
from synthface.progress import Progress
from synthface.recipe.people import IdentitiesRecipe

Floats = NDArray[np.float32]
_BLOCK = 4_096
_NEAREST = 3  # neighbours looked at in float64: rounding may put the nearest second, hardly ever fourth
_PAIRS_SAMPLED = 4_000  # identities whose mutual similarities make the histogram
MOST = 1_000_000_000  # identities that an estimate of capacity goes up to
BINS = np.linspace(-1.0, 1.0, 201)


def confirm(identities: Identities, settings: IdentitiesRecipe, seed: int, excluded: EmbeddingSet | None) -> Identities:
    """Searches the identities that no earlier pass has seen and adds the statistics to the facts.

    Raises SynthfaceError when two identities, or an identity and an excluded row, are not below the threshold: that
    would be a defect of synthface or a damaged file, never a matter of chance.
    """
    nearest_N = _nearest_earlier(identities)
    largest = _largest(identities.center_ND, nearest_N)
    _refuse(largest, settings, "two identities")
    excluded_N, largest_excluded = np.empty(0, np.float32), None
    if excluded is not None:
        before = identities.facts.get("statistics", {}).get("largest_excluded_similarity")
        excluded_N, largest_excluded = _nearest_excluded(identities, excluded, before)
        _refuse(largest_excluded, settings, "an identity and an excluded row")
    similarity = _similarity_statistics(identities, seed)
    fits = capacity(identities, settings.min_acceptance)
    if fits is None and similarity:
        fits = normal_capacity(similarity["mean"], similarity["std"], settings.threshold, settings.min_acceptance)
    statistics = {
        "largest_similarity": largest,
        "largest_excluded_similarity": largest_excluded,
        "similarity": similarity,
        "nearest_histogram": histogram(nearest_N[1:]),
        "acceptance_curve": acceptance_curve(identities),
        "candidates_drawn": identities.next_candidate,
        "capacity": fits,
    }
    return dataclasses.replace(
        identities, nearest_M=nearest_N, excluded_M=excluded_N, facts={**identities.facts, "statistics": statistics}
    )


def _nearest_earlier(identities: Identities) -> Floats:
    """Similarity of each identity to its nearest earlier one, −1 for the first; what an earlier pass found is kept.

    Of the nearest few that float32 finds, the value in float64 decides: what is stored then depends on the people alone,
    not on how the search was blocked.
    """
    center_ND = np.ascontiguousarray(identities.center_ND)
    known = len(identities.nearest_M)
    nearest_N = np.full(len(center_ND), -1.0, np.float32)
    nearest_N[:known] = identities.nearest_M
    index = neighbours.flat_index(center_ND.shape[1])
    index.add(center_ND[:known])
    with Progress(len(center_ND), "identities", "confirming", initial=known) as progress:
        for start in range(known, len(center_ND), _BLOCK):
            block_BD = center_ND[start : start + _BLOCK]
            row_B = np.arange(len(block_BD))
            own_BB = np.where(np.tri(len(block_BD), k=-1, dtype=bool), block_BD @ block_BD.T, np.float32(-2))
            few = min(_NEAREST, len(block_BD))
            number_BK = np.argpartition(own_BB, len(block_BD) - few, axis=1)[:, -few:]
            valid_BK = number_BK < row_B[:, None]
            number_BK = number_BK + start
            if start:
                _, found_BK = index.search(block_BD, min(_NEAREST, start))
                number_BK = np.concatenate([number_BK, found_BK], axis=1)
                valid_BK = np.concatenate([valid_BK, np.ones(found_BK.shape, bool)], axis=1)
            index.add(block_BD)
            for column in range(number_BK.shape[1]):
                other_BD = center_ND[number_BK[:, column]]
                similarity_B = _in_double(block_BD, other_BD)
                similarity_B[~valid_BK[:, column]] = -1.0
                nearest_N[start + row_B] = np.maximum(nearest_N[start + row_B], similarity_B)
            progress.update(len(block_BD))
    return nearest_N


def _in_double(a_ND: Floats, b_ND: Floats) -> Floats:
    """Similarity of each pair of rows, (N,), summed in float64 and rounded once."""
    similarity_N: NDArray[np.float64] = np.einsum("nd,nd->n", a_ND, b_ND, dtype=np.float64)
    return similarity_N.astype(np.float32)


def _largest(center_ND: Floats, nearest_N: Floats) -> float | None:
    """The exact similarity of the most similar pair; None for a single identity."""
    if len(center_ND) < 2:
        return None
    rounding = 2 * sphere.float32_bound(center_ND.shape[1])
    suspect_S = np.flatnonzero(nearest_N >= nearest_N.max() - rounding)
    largest = -2.0
    for start in range(0, len(center_ND), _BLOCK):
        part = suspect_S[suspect_S > start]
        similarity_SB = center_ND[part] @ center_ND[start : start + _BLOCK].T
        earlier_SB = np.arange(start, start + similarity_SB.shape[1]) < part[:, None]
        similarity_SB = np.where(earlier_SB, similarity_SB, np.float32(-2))
        if part.size:
            largest = max(largest, _exact_maximum(center_ND[part], center_ND[start:], similarity_SB, largest))
    return largest


def _exact_maximum(row_SD: Floats, other_BD: Floats, similarity_SB: Floats, floor: float) -> float:
    """The largest exact similarity of the pairs whose float32 similarities are given, or `floor` where that is more."""
    rounding = 2 * sphere.float32_bound(row_SD.shape[1])
    least = max(float(similarity_SB.max()) - rounding, floor - rounding)
    pairs = np.argwhere(similarity_SB >= least)
    return max([floor, *(sphere.exact_similarity(row_SD[s], other_BD[b]) for s, b in pairs)])


def _nearest_excluded(
    identities: Identities, excluded: EmbeddingSet, before: float | None
) -> tuple[Floats, float | None]:
    """Similarity of each identity to its nearest excluded row, and the exact largest; in one pass over the files.

    As among the identities, the values in float64 of the nearest few decide, so that what is stored does not depend on
    how many identities are searched for together. `before`: the largest of those that an earlier pass has seen.
    """
    known = len(identities.excluded_M)
    new_ND = np.ascontiguousarray(identities.center_ND[known:])
    best_N = np.full(len(new_ND), -1.0, np.float32)
    largest = -2.0 if before is None or not known else before
    if not len(new_ND):
        return identities.excluded_M, before
    rounding = 2 * sphere.float32_bound(excluded.dimension)
    for chunk in excluded.chunks(8 * neighbours.TILE):
        index = neighbours.flat_index(excluded.dimension)
        index.add(chunk.embedding_BD)
        found_NK, number_NK = index.search(new_ND, min(_NEAREST, len(chunk.embedding_BD)))
        for number_N in number_NK.T:
            best_N = np.maximum(best_N, _in_double(new_ND, chunk.embedding_BD[number_N]))
        found_N = found_NK[:, 0]
        near_ND = new_ND[found_N >= max(largest, float(found_N.max())) - rounding]
        if len(near_ND):
            largest = _exact_maximum(near_ND, chunk.embedding_BD, near_ND @ chunk.embedding_BD.T, largest)
    return np.concatenate([identities.excluded_M, best_N]), largest


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
    with one_blas_thread():  # the mean is stored to its last digit
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


def normal_capacity(mean: float, std: float, threshold: float, floor: float) -> int | None:
    """`capacity` where hardly anything was rejected: p is the tail of a normal distribution of similarities (ours).

    Two significant digits, and at most MOST: far out, the tail of a real distribution is another. None where nothing can
    be told.
    """
    if floor <= 0 or std <= 0:
        return None
    chance = math.erfc((threshold - mean) / (std * math.sqrt(2))) / 2
    return int(float(f"{min(math.log(1 / floor) / max(chance, 1e-300), MOST):.2g}"))
