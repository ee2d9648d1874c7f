"""Batches as a pure function of the step, made ahead by threads.

Threads and not processes: the decoder, OpenCV and NumPy's larger operations let go of the interpreter lock, nothing is
pickled, and an opened dataset never crosses a fork.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fr_train.backbones import IMAGE_SIZE
from fr_train.data.augment import augment
from fr_train.data.decode import Decoder, decode_into
from fr_train.data.draws import uniform
from fr_train.data.sampling import epoch_order
from fr_train.data.sources import Sources
from synthface.errors import InputError, UsageError
from synthface.recipe.recognition import AugmentRecipe

T = TypeVar("T")
_REPLACEMENTS = 16  # pictures tried in the place of one that cannot be decoded


@dataclass(frozen=True)
class Batch:
    """What one step of one process trains on."""

    image_BHWC: np.ndarray  # uint8, RGB
    label_B: np.ndarray  # int64
    index_B: np.ndarray  # int64: number of each picture in the sources
    corrupt: tuple[int, ...]  # pictures that could not be decoded and were replaced


class Loader:
    """The batches of a training: `batch(step)` for any step, `batches(first, last)` in order and ahead of time.

    An epoch is `len(sources)` pictures; what does not fill its last batch is left out. `batch_size` counts the images
    of all processes; process `rank` of `world` gets its contiguous part of every batch.
    """

    def __init__(
        self,
        sources: Sources,
        augmentations: AugmentRecipe,
        *,
        seed: int,
        batch_size: int,
        weights: tuple[float, ...] = (),
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        decode: Decoder = decode_into,
    ) -> None:
        if batch_size > len(sources):
            raise UsageError(
                f"A batch of {batch_size} is larger than the data, which has {len(sources)} pictures.",
                f"Set train.batch_size to {max(2, len(sources) // 2)} or less.",
            )
        if batch_size % world:
            raise UsageError(
                f"A batch of {batch_size} cannot be shared equally by {world} processes.",
                f"Set train.batch_size to a multiple of {world}, for example {batch_size // world * world or world}.",
            )
        self.sources, self.augmentations, self.seed = sources, augmentations, seed
        self.batch_size, self.weights, self.workers = batch_size, weights, workers
        self.rank, self.world, self.decode = rank, world, decode
        self.steps_per_epoch = len(sources) // batch_size
        self._orders: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def batch(self, step: int) -> Batch:
        """The batch of optimiser step `step`, counted from 0 over all epochs. Safe to call from any thread."""
        epoch, within = divmod(step, self.steps_per_epoch)
        share = self.batch_size // self.world
        start = within * self.batch_size + self.rank * share
        position_B = np.arange(start, start + share)
        index_B = self._order(epoch)[position_B]
        image_BHWC = np.empty((share, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        corrupt: list[int] = []
        for row, payload in enumerate(self.sources.payloads(index_B)):
            try:
                self.decode(payload, image_BHWC[row])
            except ValueError:
                corrupt.append(int(index_B[row]))
                index_B[row] = self._replace(image_BHWC[row], epoch, int(position_B[row]), corrupt)
        augment(image_BHWC, position_B, self.augmentations, self.seed, epoch)
        return Batch(image_BHWC, self.sources.labels_N[index_B], index_B, tuple(corrupt))

    def batches(self, first: int, last: int) -> Generator[Batch]:
        """The batches of steps first … last − 1, made ahead by `workers` threads (0: when they are asked for)."""
        return ahead(self.batch, range(first, last), self.workers)

    def _order(self, epoch: int) -> np.ndarray:
        with self._lock:
            if epoch not in self._orders:
                for old in [known for known in self._orders if known < epoch - 1]:
                    del self._orders[old]
                self._orders[epoch] = epoch_order(self.sources.sizes, self.weights, self.seed, epoch)
            return self._orders[epoch]

    def _replace(self, image_HWC: np.ndarray, epoch: int, position: int, corrupt: list[int]) -> int:
        """Fills the place of a corrupt picture with another of the epoch, drawn by (seed, epoch, position)."""
        order = self._order(epoch)
        for draw in uniform(self.seed, epoch, "replacement", np.array([position]), _REPLACEMENTS)[0]:
            index = int(order[int(draw * len(order))])
            try:
                self.decode(self.sources.payloads(np.array([index]))[0], image_HWC)
            except ValueError:
                corrupt.append(index)
            else:
                return index
        raise InputError(
            f"{_REPLACEMENTS + 1} pictures in a row cannot be decoded, the last of them {self.sources.key(index)}.",
            "`synthface verify DATASET` tells which records are damaged.",
        )


def ahead(make: Callable[[int], T], steps: range, workers: int) -> Generator[T]:
    """make(step) for every step in order, up to two results for each of `workers` threads ahead of the consumer."""
    if workers == 0:
        yield from map(make, steps)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="data")
    waiting: deque[Future[T]] = deque()
    try:
        for step in steps:
            waiting.append(pool.submit(make, step))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
