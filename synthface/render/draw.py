"""Drawing in lots of one size, so that no picture depends on which others are drawn with it.

A kernel is chosen by the shape of its batch, and another kernel rounds the last bit otherwise. Within one shape a picture
depends on its own row alone, wherever it stands (tested on the CPU, docs/render.md). A lot that is not full is filled up.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.devices import is_out_of_memory
from synthface.errors import ResourceError
from synthface.progress import say
from synthface.render.networks import Generator


class Drawer:
    """A generator with a fixed lot, which is halved when the device's memory ends. May be used by several threads.

    lots: how many lots of which size were drawn; seconds: time spent in the generator, over all threads.
    """

    def __init__(
        self,
        generator: Generator,
        options: dict[str, Any],
        lot: int,
        watch: Callable[[NDArray[np.uint8], float], None] | None = None,
    ) -> None:
        """watch: gets each lot's pictures and how many seconds they took."""
        self.generator, self.options, self.lot, self.watch = generator, options, lot, watch
        self.lots: Counter[int] = Counter()
        self.seconds = 0.0
        self._lock = threading.Lock()

    def __call__(self, condition_MD: NDArray[np.float32], seed_M: list[int]) -> NDArray[np.uint8]:
        """Pictures (M, side, side, 3) uint8 RGB of unit conditions (M, d) and their seeds.

        Raises ResourceError when not even one picture fits.
        """
        pictures: list[NDArray[np.uint8]] = []
        done = 0
        while done < len(seed_M):
            lot = self.lot
            rows = np.arange(done, done + lot).clip(max=len(seed_M) - 1)
            began = time.perf_counter()
            try:
                drawn = self.generator.sample(
                    condition_MD[rows], [seed_M[row] for row in rows], batch_size=lot, **self.options
                )
            except Exception as error:
                self._halve(lot, _of_memory(error))
                continue
            took = time.perf_counter() - began
            with self._lock:
                self.seconds += took
                self.lots[lot] += 1
            if self.watch is not None:
                self.watch(drawn, took)
            pictures.append(drawn[: len(seed_M) - done])
            done += lot
        return pictures[0] if len(pictures) == 1 else np.concatenate(pictures)

    def _halve(self, failed: int, error: ResourceError) -> None:
        """Goes on with half the lot, unless another thread has halved it already; at one picture the error stands."""
        with self._lock:
            if self.lot < failed:
                return
            if failed == 1:
                raise error
            self.lot = failed // 2
        say(f"The device's memory ended: {failed} pictures at once do not fit, going on with {self.lot}.")


def _of_memory(error: Exception) -> ResourceError:
    """The error as the end of the memory, which is PyTorch's own where it comes in front of the batch; others are raised."""
    if isinstance(error, ResourceError):
        return error
    if is_out_of_memory(error):
        return ResourceError(
            "The generator: not even one picture fits into the device's memory.",
            "Close other programs, compute in half precision, or use another device.",
        )
    raise error
