"""Where pictures are made: a feeder, the device, and developers work side by side on threads.

feeder       draws the conditions of the next sittings
device       one thread on a GPU; on a CPU one a core, each computing its own lot on a single core
developers   crop, embed, judge, encode
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from synthface import seeds
from synthface.dataset import Row
from synthface.identity.conditions import Guard
from synthface.recipe import Recipe
from synthface.render.desk import Desk, Stopped
from synthface.render.develop import Developer, Drawn, encode_jpeg
from synthface.render.draw import Drawer
from synthface.render.gate import KEPT, VALUES, Gate
from synthface.render.sitting import Picture, Shot, Sitting, Want
from synthface.render.tally import Tally

_FEED = 512  # images whose conditions are drawn together
_TOGETHER = 32  # pictures developed together: encoders work in batches
_TICK = 0.5  # seconds between looks at the clock while nothing is finished
_PATIENCE = 3.0  # seconds that a stop waits for the device


class Studio:
    """Everything that makes pictures of sittings, on one device."""

    def __init__(self, recipe: Recipe, developer: Developer, guard: Guard, gate: Gate, threads: int) -> None:
        """threads: lots drawn side by side, 1 on a GPU."""
        self.recipe, self.developer, self.guard, self.gate, self.threads = recipe, developer, guard, gate, threads

    def photograph(
        self,
        people: Iterable[tuple[int, int]],
        tally: Tally,
        drawer: Drawer,
        take: Callable[[Sitting | None, int], None],
    ) -> None:
        """Makes the pictures of `people` (identity, images) and gives their finished sittings to `take`, in order.

        `take` also gets the number of images settled so far, and None in place of a sitting when nothing has been
        finished for a moment. Raises what any of the threads, or `take`, raises.
        """
        people = list(people)
        desk = Desk()
        crew = _Crew(desk)
        patience: float | None = None
        crew.hire("feeder", lambda: self._feed(desk, people))
        for _ in range(self.threads):
            crew.hire("device", lambda: self._draw(desk, drawer))
        for _ in range(self.recipe.crop.threads):
            crew.hire("developer", lambda: self._develop(desk, tally))
        try:
            for identity, count in people:
                while (sitting := desk.finished(identity, _TICK)) is None:
                    take(None, desk.settled)
                tally.finished(identity, count, len(sitting.kept), sitting.missing)
                take(sitting, desk.settled)
        except KeyboardInterrupt:
            patience = _PATIENCE
            raise
        finally:
            desk.stop()
            crew.dismiss(patience)

    def _feed(self, desk: Desk, people: list[tuple[int, int]]) -> None:
        block: list[tuple[int, int]] = []
        for number, person in enumerate(people):
            block.append(person)
            first = number < self.threads  # the device waits for the first ones
            if first or sum(count for _, count in block) >= _FEED or number == len(people) - 1:
                identity_M = np.repeat([k for k, _ in block], [n for _, n in block])
                index_M = np.concatenate([np.arange(n) for _, n in block])
                condition_MD = self.guard.draw(identity_M, index_M).condition_MD
                desk.add([Sitting(k, condition_MD[identity_M == k]) for k, _ in block])
                block = []
        desk.no_more()

    def _draw(self, desk: Desk, drawer: Drawer) -> None:
        while lot := desk.take_lot(drawer.lot):
            wants = [want for want, _ in lot]
            condition_MD = np.stack([sitting.condition_ID[want.image] for want, sitting in lot])
            pictures = drawer(condition_MD, [self._seed(want) for want in wants])
            desk.put_drawn([Drawn(*pair) for pair in zip(wants, pictures, strict=True)], _TOGETHER)

    def _develop(self, desk: Desk, tally: Tally) -> None:
        while drawn := desk.take_drawn(_TOGETHER):
            for sitting in desk.add_shots(self.developer(drawn)):
                desk.settle(sitting, self._judge(sitting, tally))

    def _judge(self, sitting: Sitting, tally: Tally) -> int:
        """Judges a complete round; gives the number of images kept or given up."""
        before = len(sitting.open)
        shots = [sitting.shots[index] for index in sorted(sitting.shots)]
        reasons, value_MG = self.gate.judge(sitting, shots)
        tally.judged(reasons, value_MG)
        last = sitting.round + 1 >= self.gate.settings.max_attempts
        for shot, reason, value_G in zip(shots, reasons, value_MG.tolist(), strict=True):
            if reason == KEPT:
                sitting.kept[shot.want.image] = self._picture(shot, value_G)
            elif last:
                sitting.missing[shot.want.image] = reason
            if reason == KEPT or last:
                sitting.open.remove(shot.want.image)
        sitting.shots.clear()
        sitting.round += 1
        return before - len(sitting.open)

    def _picture(self, shot: Shot, values: list[float]) -> Picture:
        assert shot.crop_HWC is not None
        known = {name: None if value != value else value for name, value in zip(VALUES, values, strict=True)}
        row = Row(
            identity=shot.want.identity,
            index=shot.want.image,
            seed=self._seed(shot.want),
            attempt=shot.want.attempt,
            center_similarity=known["center_similarity"],
            reference_similarity=known["reference_similarity"],
            detection_score=known["detection_score"],
            landmarks=shot.landmark_52,
            yaw=known["yaw"],
            pitch=known["pitch"],
            roll=known["roll"],
        )
        return Picture(encode_jpeg(shot.crop_HWC, self.recipe.crop), row)

    def _seed(self, want: Want) -> int:
        return seeds.image_seed(self.recipe.seed, *want)


class _Crew:
    """Threads that end with the desk. They are daemons: a device in the middle of a long lot must not hold up an exit."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._threads: list[threading.Thread] = []

    def hire(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(work,), name=f"render-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            _compute_alone()
            work()
        except Stopped:
            pass
        except BaseException as error:
            self._desk.stop(error)

    def dismiss(self, patience: float | None) -> None:
        """Waits for the threads, at most `patience` seconds in all.

        A thread that is left inside a library when the interpreter is torn down would crash it, so that the process then
        ends without tearing down, with the code of an interruption.
        """
        end = None if patience is None else time.monotonic() + patience
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            atexit.register(_leave)


def _compute_alone() -> None:
    """OpenMP keeps the number of threads for each thread of the program: this one computes without others."""
    import faiss

    faiss.omp_set_num_threads(1)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _leave() -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(130)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Libraries compute on the thread that calls them: the studio's threads are the parallel ones.

    On a CPU this decides bits: another number of threads rounds otherwise.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    torch: Any = sys.modules.get("torch")
    torch_before = None if torch is None else torch.get_num_threads()
    with threadpool_limits(limits=1):
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            cv2.setNumThreads(before)
            if torch_before is not None:
                torch.set_num_threads(torch_before)
