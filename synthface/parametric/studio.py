"""Photographs by the thousand: requests in, JPEG files with their truth out, on all cores and in order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthface.devices import cores
from synthface.errors import ResourceError
from synthface.parametric import population
from synthface.parametric.population import WILD, Scene

JPEG_QUALITY = 95
_TOGETHER = 32  # photographs a task: some tenths of a second
_AHEAD = 3  # tasks waiting for each worker


@dataclass(frozen=True)
class Shoot:
    """Which photographs: picture `picture_N[n]` of person `person_N[n]` of the crowd, under one scene."""

    seed: int
    crowd: str
    person_N: NDArray[np.int64]
    picture_N: NDArray[np.int64]
    scene: Scene = WILD

    def __len__(self) -> int:
        return len(self.person_N)

    def part(self, start: int, stop: int) -> Shoot:
        return Shoot(self.seed, self.crowd, self.person_N[start:stop], self.picture_N[start:stop], self.scene)


@dataclass(frozen=True)
class Photograph:
    """One photograph: the encoded picture and what is true of it."""

    jpeg: bytes
    seed: int
    landmarks: NDArray[Any]  # (5, 2) px
    pose: NDArray[Any]  # yaw, pitch, roll; degrees


def take(shoot: Shoot) -> list[Photograph]:
    """The photographs of a shoot, in this process."""
    import simplejpeg

    from synthface.parametric.render import render

    seed_N = population.sensor_seeds(shoot.seed, shoot.crowd, shoot.person_N, shoot.picture_N)
    drawn = render(
        population.identities(shoot.seed, shoot.crowd, shoot.person_N),
        population.nuisances(shoot.seed, shoot.crowd, shoot.person_N, shoot.picture_N, shoot.scene),
        seed_N,
    )
    codes = [simplejpeg.encode_jpeg(image, JPEG_QUALITY, "RGB", "420") for image in drawn.image_NHWC]
    return [
        Photograph(code, int(seed), landmarks, pose)
        for code, seed, landmarks, pose in zip(codes, seed_N, drawn.landmarks_N52, drawn.pose_N3, strict=True)
    ]


class Studio:
    """Worker processes that photograph; `with Studio() as studio: for photograph in studio.take(shoot)`.

    workers: processes, None: one for each core; 1 works in this process.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or cores()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Studio:
        if self.workers > 1:
            import multiprocessing

            # spawn: the parent may hold threads (torch, OpenCV) that a fork would copy in mid-work
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_one_thread)
        return self

    def __exit__(self, *unused: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def take(self, shoot: Shoot) -> Iterator[Photograph]:
        """The photographs in the order of the shoot. Raises ResourceError when a worker process dies."""
        tasks = (shoot.part(start, start + _TOGETHER) for start in range(0, len(shoot), _TOGETHER))
        if self._pool is None:
            for task in tasks:
                yield from take(task)
            return
        waiting: list[Future[list[Photograph]]] = []
        try:
            for task in tasks:
                waiting.append(self._pool.submit(take, task))
                if len(waiting) > self.workers * _AHEAD:
                    yield from waiting.pop(0).result()
            while waiting:
                yield from waiting.pop(0).result()
        except BrokenProcessPool as error:
            raise ResourceError(
                "A process that photographs parametric faces was killed, probably because the memory ended.",
                "Run the same command again; what is finished is kept. --workers 1 needs the least memory.",
            ) from error


def _one_thread() -> None:
    """The work is cut by pictures: threads inside a picture would only fight over the cores."""
    import signal

    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threadpool_limits(1)
