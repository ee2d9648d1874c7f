"""Encoders and the detector after the device's memory ended: fewer pictures at once, the same judgement.

Such a network fills its batches up, so that it sees as many pictures however few it is given: its own number is halved.
One that has no such number is given fewer pictures a call.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from synthface.encoder.faces import FaceFinder
from synthface.errors import ResourceError
from synthface.progress import say

_BATCHES = ("batch_size", "batch")  # what encoders and detectors call the pictures that they see at once


class Halving:
    """A network whose batch is halved when the device's memory ends. May be used by several threads.

    halved: the batch that fits, None while the memory suffices.
    """

    def __init__(self, what: str, network: Any) -> None:
        """what: the network's name for the user, such as `encoder`."""
        self.what = what
        self.halved: int | None = None
        self._network = network
        self._lock = threading.Lock()

    def __call__(self, look: Callable[[Any, Any], Sequence[Any]], pictures: Any) -> list[Any]:
        """look(network, some of the pictures) for all of them, joined: one result a picture.

        Raises ResourceError when not even one picture fits.
        """
        found: list[Any] = []
        while len(found) < len(pictures):
            with self._lock:
                network, most = self._network, self.halved
            part = pictures[len(found) : len(pictures) if most is None else len(found) + most]
            try:
                found.extend(look(network, part))
            except ResourceError as error:
                self._halve(_batch_of(network) or len(part), error)
        return found

    def _halve(self, failed: int, error: ResourceError) -> None:
        """Goes on with half the batch, unless another thread has halved it already; at one picture the error stands.

        The network itself is left as it is: another thread may be in the middle of it.
        """
        with self._lock:
            if self.halved is not None and self.halved < failed:
                return
            if failed == 1:
                raise error
            self.halved = failed // 2
            self._network = _with_batch(self._network, self.halved)
        free_memory()
        say(f"The device's memory ended: the {self.what} goes on with {failed // 2} pictures at once, not {failed}.")


def free_memory() -> None:
    """Gives back what PyTorch keeps on GPUs for later: other libraries cannot take it."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()


def _batch_of(network: Any) -> int | None:
    inner = network.detector if isinstance(network, FaceFinder) else network
    return next((getattr(inner, name) for name in _BATCHES if isinstance(getattr(inner, name, None), int)), None)


def _with_batch(network: Any, batch: int) -> Any:
    """The same network, weights shared, with another batch."""
    if isinstance(network, FaceFinder):
        return dataclasses.replace(network, detector=_with_batch(network.detector, batch))
    smaller = copy.copy(network)
    for name in _BATCHES:
        if isinstance(getattr(smaller, name, None), int):
            setattr(smaller, name, batch)
    return smaller
