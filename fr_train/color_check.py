"""Is the network fed with the channel order it was trained on? A wrong one costs accuracy and raises no error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fr_train import benchmarks, verification
from fr_train.bins import VerificationSet
from fr_train.embed import embed
from fr_train.models import Embedder

SUSPICIOUS_GAIN = 1.05  # of d′ by swapping; see docs/evaluation.md


def warning(model: Embedder, benchmark: VerificationSet, pairs: int, batch_size: int = 128) -> str | None:
    """A sentence when the network separates people better with red and blue swapped; else None.

    Compares d′ on `pairs` pairs spread over the set, without mirror images. Grey images cannot tell: they give None.
    """
    pair_P = np.unique(np.linspace(0, len(benchmark) - 1, min(pairs, len(benchmark))).astype(int))
    if not len(pair_P):
        return None
    images = [benchmark.images[2 * pair + side] for pair in pair_P for side in (0, 1)]
    some = VerificationSet(f"{benchmark.name}, channel order", images, benchmark.issame_N[pair_P])
    if some.issame_N.all() or not some.issame_N.any():
        return None
    stated, swapped = (
        verification.separation(one.dist_N, one.issame_N)
        for one in (embed(network, some, flip=False, batch_size=batch_size) for network in (model, Swapped(model)))
    )
    if swapped <= SUSPICIOUS_GAIN * max(stated, 0.0) or swapped - stated < 0.1:
        return None
    return (
        f"With red and blue swapped, {model.name} separates the pairs of {benchmarks.title(benchmark.name)} better "
        f"(d′ {swapped:.2f} instead of {stated:.2f}): it was probably trained on {other(model.color)} images, "
        f"not on {model.color}. Try --color {other(model.color)}."
    )


class Swapped:
    """The same network with the channels the other way round."""

    def __init__(self, model: Embedder) -> None:
        self.model, self.name, self.color, self.image_size = model, model.name, other(model.color), model.image_size

    def __call__(self, image_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.model(image_BHWC[..., ::-1])


def other(color: str) -> str:
    return "rgb" if color == "bgr" else "bgr"
