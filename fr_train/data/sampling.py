"""Which pictures an epoch shows, and in which order."""

from __future__ import annotations

import numpy as np

from synthface import seeds


def epoch_order(sizes: list[int], weights: tuple[float, ...], seed: int, epoch: int) -> np.ndarray:
    """int64 picture numbers of one epoch, shuffled; as many as there are pictures.

    Without weights every picture comes once. With weights, source k has its share `weights[k] / sum(weights)` of the
    epoch, to within one picture: whole rounds through the source, then a part of a fresh shuffle of it. Pictures are
    numbered through all sources in order. A pure function of its arguments.
    """
    total = sum(sizes)
    if not weights:
        return seeds.generator(seed, "order", epoch).permutation(total)
    parts = []
    start = 0
    for number, (size, draws) in enumerate(zip(sizes, shares(total, weights), strict=True)):
        rounds, rest = divmod(draws, size)
        generator = seeds.generator(seed, "order", epoch, number)
        parts += [start + np.tile(np.arange(size), rounds), start + generator.permutation(size)[:rest]]
        start += size
    order = np.concatenate(parts)
    seeds.generator(seed, "order", epoch).shuffle(order)
    return order


def shares(total: int, weights: tuple[float, ...]) -> list[int]:
    """`total` cut in proportion to `weights`, by largest remainder."""
    exact = np.asarray(weights, dtype=np.float64) / sum(weights) * total
    counts = np.floor(exact).astype(np.int64)
    largest = np.argsort(-(exact - counts), kind="stable")[: total - int(counts.sum())]
    counts[largest] += 1
    return [int(count) for count in counts]
