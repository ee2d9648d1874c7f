"""In which order the pictures are seen: every one once an epoch, shuffled anew in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthface.seeds import generator


class Order:
    """`order[samples]`: the rows of the samples with these numbers; a function of seed and number alone."""

    def __init__(self, row_N: NDArray[np.int64], seed: int) -> None:
        self.row_N, self.seed = row_N, seed
        self._epoch = -1
        self._shuffled_N = row_N

    def __getitem__(self, samples: Sequence[int]) -> NDArray[np.int64]:
        row_B = np.empty(len(samples), np.int64)
        for place, sample in enumerate(samples):
            epoch, position = divmod(sample, len(self.row_N))
            row_B[place] = self._epoch_order(epoch)[position]
        return row_B

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            self._epoch = epoch
            self._shuffled_N = generator(self.seed, "epoch", epoch).permutation(self.row_N)
        return self._shuffled_N
