"""Is the network fed with the channel order it was trained on? A wrong one costs accuracy and raises no error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fr_train import benchmarks, verification
from fr_train.bins import VerificationSet
from fr_train.embed import embed
from fr_train.models import Embedder
from synthface import seeds

SUSPICIOUS_GAIN = 1.05  # of d′ by swapping: right networks lose by it, grey-blind ones change by a hundredth
_LEAST = 0.5  # d′ of a network that separates at all; below, one order is as bad as the other
_RESAMPLES, _SURE = 200, 0.99


@dataclass(frozen=True)
class Verdict:
    """What the pairs of a set say of the channel order: a sentence where the stated one is wrong, None where it is right."""

    warning: str | None


def judge(model: Embedder, benchmark: VerificationSet, pairs: int, batch_size: int = 128) -> Verdict | None:
    """Whether the network separates people better with red and blue swapped; None when these pairs cannot tell.

    Compares d′ on `pairs` pairs spread over the set, without mirror images. A gain, or that there is none, must show in
    99 % of resamples of the pairs: a few pairs, or a network that has learned little, prove nothing. Nor do grey images,
    which are the same either way, and pairs of one kind.
    """
    pair_P = np.unique(np.linspace(0, len(benchmark) - 1, min(pairs, len(benchmark))).astype(int))
    if not len(pair_P):
        return None
    images = [benchmark.images[2 * pair + side] for pair in pair_P for side in (0, 1)]
    some = VerificationSet(f"{benchmark.name}, channel order", images, benchmark.issame_N[pair_P])
    if some.issame_N.all() or not some.issame_N.any() or _is_grey(some, model.image_size):
        return None
    stated_N, swapped_N = (
        embed(network, some, flip=False, batch_size=batch_size).dist_N for network in (model, Swapped(model))
    )
    stated, swapped = (verification.separation(dist_N, some.issame_N) for dist_N in (stated_N, swapped_N))
    if max(stated, swapped) < _LEAST:
        return None
    gains = _share_that_gains(swapped_N, stated_N, some.issame_N)
    if gains <= 1 - _SURE:
        return Verdict(None)
    if gains < _SURE:
        return None
    return Verdict(
        f"With red and blue swapped, {model.name} separates the pairs of {benchmarks.title(benchmark.name)} better "
        f"(d′ {swapped:.2f} instead of {stated:.2f}): it was probably trained on {other(model.color)} images, "
        f"not on {model.color}. Try --color {other(model.color)}."
    )


def _is_grey(benchmark: VerificationSet, image_size: int) -> bool:
    return all((image_BHWC[..., 0] == image_BHWC[..., 2]).all() for image_BHWC in benchmark.batches(128, image_size))


def _share_that_gains(
    swapped_N: NDArray[np.float64], stated_N: NDArray[np.float64], issame_N: NDArray[np.bool_]
) -> float:
    """The share of resamples of the pairs in which swapping gains suspiciously much."""
    rng = seeds.generator(0, "channel order")
    same, different = np.flatnonzero(issame_N), np.flatnonzero(~issame_N)
    better = 0
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([rng.choice(same, len(same)), rng.choice(different, len(different))])
        swapped, stated = (verification.separation(d[drawn], issame_N[drawn]) for d in (swapped_N, stated_N))
        better += swapped > SUSPICIOUS_GAIN * max(stated, 0.0)
    return better / _RESAMPLES


class Swapped:
    """The same network with the channels the other way round."""

    def __init__(self, model: Embedder) -> None:
        self.model, self.name, self.color, self.image_size = model, model.name, other(model.color), model.image_size

    def __call__(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.model(image_BHWC[..., ::-1])


def other(color: str) -> str:
    return "rgb" if color == "bgr" else "bgr"
