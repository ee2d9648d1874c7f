"""The desk in the middle of a worker: who still wants pictures, what has been drawn, who is finished.

    sittings ──add──▶ wants ──take_lot──▶ drawing ──put_drawn──▶ drawn ──take_drawn──▶ developing ──settle──▶ finished
                        ▲                                                                  │
                        └───────────────────────── rejected images ────────────────────────┘

Lots are filled across identities, and with the retries of all of them. A lot that is not full is given out only when
nothing is left that could fill it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from synthface.render.develop import Drawn
from synthface.render.sitting import Shot, Sitting, Want

_READY = 1_024  # wants ahead, at which the desk takes no further sittings
_DRAWN = 4  # batches of drawn pictures that may wait to be developed


class Stopped(Exception):
    """The work was stopped, or another thread has failed."""


class Desk:
    """Shared by the threads of a worker; every method may block until there is something to do."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sittings: dict[int, Sitting] = {}
        self._ready: deque[Want] = deque()
        self._drawn: deque[Drawn] = deque()
        self._finished: dict[int, Sitting] = {}
        self._fed = False
        self._drawing = self._developing = self._hungry = 0
        self._stopped = False
        self._error: BaseException | None = None
        self.settled = 0  # images kept or given up

    # the feeder's side

    def add(self, sittings: Sequence[Sitting]) -> None:
        """Puts sittings on the desk, once it has room."""
        with self._changed:
            self._wait(lambda: len(self._ready) < _READY)
            for sitting in sittings:
                self._sittings[sitting.identity] = sitting
                self._ready.extend(sitting.wants())
            self._changed.notify_all()

    def no_more(self) -> None:
        """All sittings have been added."""
        with self._changed:
            self._fed = True
            self._changed.notify_all()

    # the device's side

    def take_lot(self, size: int) -> list[tuple[Want, Sitting]]:
        """The next `size` wants; fewer when no more can come for now, none when all is drawn."""
        with self._changed:
            self._hungry += 1
            self._changed.notify_all()
            try:
                self._wait(lambda: len(self._ready) >= size or self._nothing_to_wait_for())
            finally:
                self._hungry -= 1
            wants = [self._ready.popleft() for _ in range(min(size, len(self._ready)))]
            self._drawing += len(wants)
            return [(want, self._sittings[want.identity]) for want in wants]

    def _nothing_to_wait_for(self) -> bool:
        judging = self._drawn or self._developing
        return self._fed and not judging and (bool(self._ready) or not self._drawing)

    def put_drawn(self, drawn: Sequence[Drawn], batch: int) -> None:
        """Hands pictures on, once those who develop `batch` at a time have kept up."""
        with self._changed:
            self._wait(lambda: len(self._drawn) < _DRAWN * batch)
            self._drawing -= len(drawn)
            self._drawn.extend(drawn)
            self._changed.notify_all()

    # the developers' side

    def take_drawn(self, batch: int) -> list[Drawn]:
        """`batch` pictures, or fewer when the device waits for their judgement; none when all is over."""
        with self._changed:
            self._wait(lambda: len(self._drawn) >= batch or (self._drawn and self._hungry) or self._over())
            taken = [self._drawn.popleft() for _ in range(min(batch, len(self._drawn)))]
            self._developing += len(taken)
            return taken

    def add_shots(self, shots: Sequence[Shot]) -> list[Sitting]:
        """Gives shots to their sittings; those whose round is complete now are the caller's to judge and `settle`."""
        with self._changed:
            complete = [sitting for shot in shots if (sitting := self._sittings[shot.want.identity]).add(shot)]
            self._developing += len(complete) - len(shots)
            self._changed.notify_all()
            return complete

    def settle(self, sitting: Sitting, images: int) -> None:
        """After a round was judged, in which `images` were kept or given up: its retries, or its end."""
        with self._changed:
            self.settled += images
            self._developing -= 1
            if sitting.open:
                self._ready.extendleft(reversed(sitting.wants()))
            else:
                self._finished[sitting.identity] = self._sittings.pop(sitting.identity)
            self._changed.notify_all()

    def _over(self) -> bool:
        return self._fed and not self._sittings

    # the writer's side

    def finished(self, identity: int, timeout: float) -> Sitting | None:
        """The finished sitting of `identity`, or None when `timeout` seconds have passed.

        Raises the error of a thread that failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: identity in self._finished or self._error or self._stopped, timeout)
            if self._error is not None:
                raise self._error
            return self._finished.pop(identity, None)

    def stop(self, error: BaseException | None = None) -> None:
        """Ends all threads at their next call."""
        with self._changed:
            self._stopped = True
            self._error = self._error or error
            self._changed.notify_all()

    def _wait(self, ready: object) -> None:
        self._changed.wait_for(lambda: self._stopped or ready())  # type: ignore[operator]
        if self._stopped:
            raise Stopped
