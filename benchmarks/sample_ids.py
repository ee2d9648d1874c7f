"""sample-ids on a 512-d prior of effective dimension 250 at threshold 0.3, against the loop that peers run.

The peer asks a faiss IndexFlatIP about one candidate at a time and adds it when it is far from all. Both are given the
same candidates and draw them in blocks, within the time; the search alone is told too. The limit is the float32 matrix
product over the same pairs; an 8-bit screen may pass it.

    python benchmarks/sample_ids.py --keep
"""

from __future__ import annotations

import math
import time
from typing import Any

import measure
import numpy as np
from scipy.optimize import brentq

from synthface.identity import confirm, sample
from synthface.identity.density import DRAW, CandidateStream
from synthface.identity.identities import Identities
from synthface.identity.prior import Prior
from synthface.recipe.people import IdentitiesRecipe

DIMENSION, EFFECTIVE, THRESHOLD = 512, 250, 0.3
H200_TFLOPS, H200_SHARE = (
    67,
    0.5,
)  # float32 of one H200 SXM, from its data sheet; the share is a guess, not a measurement
_PLANNED = 1_000_000


def synthetic_prior() -> Prior:
    """Eigenvalues exp(−i/τ), with τ such that (Σλ)² / Σλ² = EFFECTIVE; random orthonormal components; no mean."""

    def effective(tau: float) -> float:
        eigenvalue = np.exp(-np.arange(DIMENSION) / tau)
        return float(eigenvalue.sum() ** 2 / (eigenvalue**2).sum())

    eigenvalue_K = np.exp(-np.arange(DIMENSION) / brentq(lambda tau: effective(tau) - EFFECTIVE, 20, 5_000))
    eigenvalue_K /= eigenvalue_K.sum()
    component_KD, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((DIMENSION, DIMENSION)))
    return Prior(np.zeros(DIMENSION, np.float32), component_KD.astype(np.float32), eigenvalue_K.astype(np.float32), 1.0)


def ours(prior: Prior, count: int, confirmed: bool) -> tuple[float, float, Identities]:
    """Seconds of sampling, seconds of the faiss confirmation (0 without), and the identities."""
    recipe = IdentitiesRecipe(threshold=THRESHOLD, save_every=1e9)
    start = time.perf_counter()
    made = sample.sample(CandidateStream(prior, recipe, 0), recipe, count, Identities.none(DIMENSION, {}))
    sampled = time.perf_counter()
    if confirmed:
        confirm.confirm(made, recipe, 0, None)
    return sampled - start, time.perf_counter() - sampled, made


def one_at_a_time(prior: Prior, count: int) -> tuple[float, float, np.ndarray]:
    """The loop of the peers' scripts, on the same candidates: seconds in all, seconds of searching and adding, rows."""
    import faiss

    stream = CandidateStream(prior, IdentitiesRecipe(), 0)
    index = faiss.IndexFlatIP(DIMENSION)
    seconds, block, rows = 0.0, 0, []
    begun = time.perf_counter()
    while index.ntotal < count:
        candidates = stream.draw(block)
        start = time.perf_counter()
        for candidate in candidates:
            query = candidate[None]
            if index.ntotal == 0 or index.search(query, 1)[0][0, 0] < THRESHOLD:
                index.add(query)
                rows.append(candidate)
                if index.ntotal == count:
                    break
        seconds += time.perf_counter() - start
        block += 1
    return time.perf_counter() - begun, seconds, np.stack(rows)


def plan(prior: Prior, made: Identities, seconds_per_pair: float, confirming_per_pair: float | None) -> dict[str, Any]:
    """1M identities on paper.

    With a chance p that two draws are too near, n identities take (eᵖⁿ − 1)/p candidates, each compared with those kept
    before it. p is fitted to the acceptance at the largest measured size. A pair costs what it cost there; on the GPU,
    faiss computes in float32, and candidates are drawn on one CPU core beside it.
    """
    floor = 0.01
    fits = confirm.capacity(made, floor)
    chance = math.log(1 / floor) / fits if fits else 1e-9
    growth = math.exp(chance * _PLANNED)
    candidates = (growth - 1) / chance
    pairs = (growth * (chance * _PLANNED - 1) + 1) / chance**2
    start = time.perf_counter()
    CandidateStream(prior, IdentitiesRecipe(), 0).draw(0)
    drawing = (time.perf_counter() - start) * candidates / DRAW
    confirmed = _PLANNED**2 / 2
    operations = 2 * DIMENSION * (pairs + confirmed)
    return {
        "identities": _PLANNED,
        "capacity_at_1_percent_acceptance": fits,
        "candidates": round(candidates),
        "similarities": pairs,
        "sampling_hours_here": round(pairs * seconds_per_pair / 3_600, 2),
        "confirming_hours_here": confirming_per_pair and round(confirmed * confirming_per_pair / 3_600, 2),
        "minutes_on_one_h200": round(max(operations / (H200_TFLOPS * 1e12 * H200_SHARE), drawing) / 60, 1),
        "of_which_products_minutes": round(operations / (H200_TFLOPS * 1e12 * H200_SHARE) / 60, 1),
        "of_which_drawing_minutes_on_one_core": round(drawing / 60, 1),
        "assumption": f"H200: {H200_TFLOPS} TFLOP/s float32 (data sheet), {H200_SHARE:.0%} of it reached by faiss",
    }


def main() -> None:
    parser = measure.arguments(__doc__ or "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 20_000, 60_000, 200_000])
    parser.add_argument("--peer-sizes", type=int, nargs="*", default=[10_000, 20_000])
    parser.add_argument("--confirm", type=int, default=200_000, help="up to how many identities faiss confirms, too")
    chosen = parser.parse_args()
    prior = synthetic_prior()
    ours(prior, 2_000, True)  # loads libraries
    gflops = measure.matmul_gflops()
    rows, confirming_per_pair = [], None
    for size in chosen.sizes:
        confirmed = size <= chosen.confirm
        seconds, confirming, made = min(
            (ours(prior, size, confirmed) for _ in range(2 if size <= 20_000 else 1)), key=lambda r: r[0]
        )
        if confirmed:
            confirming_per_pair = confirming / (size**2 / 2)
        candidates = made.next_candidate
        pairs = float(np.searchsorted(made.candidate_N, np.arange(candidates)).sum())
        row: dict[str, Any] = {
            "identities": size,
            "candidates": candidates,
            "seconds": round(seconds, 2),
            "confirming_seconds": round(confirming, 2) if confirmed else None,
            "microseconds_per_identity": round(seconds / size * 1e6, 1),
            "share_of_float32_matmul_limit": round(pairs * 2 * DIMENSION / gflops / 1e9 / seconds, 2),
        }
        if size in chosen.peer_sizes:
            rounds = [one_at_a_time(prior, size) for _ in range(2)]
            peer, searching, kept = min(rounds, key=lambda r: r[0])  # as for ours
            row |= {
                "one_at_a_time_seconds": round(peer, 2),
                "one_at_a_time_seconds_of_each_round": [round(r[0], 2) for r in rounds],
                "one_at_a_time_seconds_without_drawing": round(searching, 2),
                "ratio": round(peer / seconds, 1),
                "equal": bool(np.array_equal(kept, made.center_ND)),
            }
        rows.append(row)
    measure.report(
        "sample_ids",
        {
            "dimension": DIMENSION,
            "effective_dimension": EFFECTIVE,
            "threshold": THRESHOLD,
            "float32_matmul_gflops": round(gflops, 1),
            "sizes": rows,
            "plan": plan(prior, made, seconds / pairs, confirming_per_pair),
            "peak_mib": round(measure.peak_mib()),
        },
        chosen.keep,
    )


if __name__ == "__main__":
    main()
