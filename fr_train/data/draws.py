"""Random numbers that depend on what they are for, not on when they are drawn (ours).

A value is a hash of (seed, epoch, purpose, position in the epoch, number of the draw). The hash is SplitMix64's
finaliser (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014) in counter mode: a whole
batch's numbers are one vectorised expression, where a generator object an image would cost more than the augmentation.
"""

from __future__ import annotations

import numpy as np

from synthface.seeds import derive_seed

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: SplitMix64's increment


def uniform(seed: int, epoch: int, purpose: str, position_N: np.ndarray, draws: int) -> np.ndarray:
    """(N, draws) float64 in [0, 1), independent between positions, draws, purposes, epochs and seeds."""
    key = np.uint64(derive_seed(seed, "draws", epoch, purpose))
    state_N = _mix(_mix(np.asarray(position_N).astype(np.uint64) * _GOLDEN + key) + key)
    counter_K = np.arange(1, draws + 1, dtype=np.uint64) * _GOLDEN
    return (_mix(state_N[:, None] + counter_K) >> np.uint64(11)) * 2.0**-53


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser: a bijection of 64-bit integers in which every input bit moves every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
