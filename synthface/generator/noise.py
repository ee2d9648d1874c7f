"""The noise of a picture is a function of its own 64-bit seed and of nothing else (ours).

It is drawn on the CPU, so that devices, batches, order, shards and resumption cannot change it.
PyTorch's own CPU generator keeps 32 bits of a seed only: among ten million pictures some ten thousand pairs would share
their noise. Here all 64 bits count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from synthface.errors import InputError

# The state of PyTorch's CPU generator: seed, left, seeded, next, 624 words of the Mersenne Twister, normal leftovers.
_STATE_BYTES, _WORDS, _WORDS_OFFSET = 5056, 624, 24


def initial_noise(seed_N: Sequence[int], shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal float32 (N, *shape); row n comes from seed n alone (Philox, NumPy's normal sampler)."""
    noise_N = np.stack([_philox(seed, 0).standard_normal(shape, dtype=np.float32) for seed in checked(seed_N)])
    return torch.from_numpy(noise_N)


def step_generators(seed_N: Sequence[int]) -> list[torch.Generator]:
    """One PyTorch generator an image, for samplers that draw noise at each step (LCM, ancestral ones).

    The whole state of the Mersenne Twister is filled from the seed, because `manual_seed` would use half of its bits.
    """
    return [_full_state(seed) for seed in checked(seed_N)]


def checked(seed_N: Sequence[int]) -> list[int]:
    """The seeds as Python integers; raises InputError for one outside 0 … 2⁶⁴ − 1."""
    seeds = [int(seed) for seed in seed_N]
    for seed in seeds:
        if not 0 <= seed < 2**64:
            raise InputError(f"The seed {seed} is not a 64-bit number.", "Give seeds from 0 to 2**64 - 1.")
    return seeds


def _philox(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))


def _full_state(seed: int) -> torch.Generator:
    generator = torch.Generator("cpu")
    generator.manual_seed(seed & 0x7FFFFFFFFFFFFFFF)
    state = generator.get_state().numpy().copy()
    assert state.size == _STATE_BYTES, "PyTorch changed the layout of its CPU generator's state"
    words = _philox(seed, 1).integers(0, 2**32, _WORDS, dtype=np.uint32).astype(np.uint64)
    state[_WORDS_OFFSET : _WORDS_OFFSET + 8 * _WORDS] = words.view(np.uint8)
    generator.set_state(torch.from_numpy(state))
    return generator
