"""Work on all cores whose result is the same on any number of them.

Work is cut by row numbers, every piece runs on one thread with BLAS on one thread inside it, and results are combined
in the order of the pieces. What a machine's number of cores can change is the time alone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from synthface import devices

Item = TypeVar("Item")
Result = TypeVar("Result")
_MOST = 8  # more threads add memory (a block each) and, for this memory-bound work, hardly any speed

_lock = threading.Lock()
_inside = 0
_limit: Any = None


def cores() -> int:
    """Threads to use: the cores this process may run on, or OMP_NUM_THREADS where that is set; at most 8."""
    allowed = devices.cores()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(int(asked) if asked.isdigit() else allowed, allowed, _MOST))


@functools.lru_cache(maxsize=1)
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS runs on one thread while any thread of the process is inside: its sums are then added in one order.

    The limit is the process's; it is lifted when the last one leaves, so that threads may overlap in here.
    """
    global _inside, _limit
    with _lock:
        if not _inside:
            _limit = _libraries().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limit.restore_original_limits()


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` of every item on all cores, results in the order of the items, no more than a few of them in memory."""
    threads = cores()
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
