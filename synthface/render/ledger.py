"""Which shards are still to be made, how often each was begun, and what became of it: the same for every engine."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from synthface.errors import SynthfaceError
from synthface.progress import Progress, say
from synthface.render import shards
from synthface.render.plan import Shard
from synthface.render.tally import refuse_hopeless

_IN_A_ROW = 3  # shards given up one after the other, before all is


class Ledger:
    """Hands out shards and books what happens to them; shows the progress."""

    def __init__(self, folder: Path, todo: Sequence[Shard], attempts: int) -> None:
        self.folder, self.attempts = folder, attempts
        self.done: dict[int, dict[str, Any]] = {}
        self.failed: dict[int, str] = {}
        self._queue = deque(todo)
        self._begun: Counter[int] = Counter()
        self._settled: Counter[int] = Counter()
        self._in_a_row = 0
        self._kept = False  # whether anything has been
        self._progress = Progress(sum(shard.images for shard in todo), "images", "rendering")

    @property
    def waiting(self) -> bool:
        """Whether a shard waits to be begun."""
        return bool(self._queue)

    def next(self) -> Shard | None:
        """A shard to be begun, or None when none is waiting."""
        if not self._queue:
            return None
        shard = self._queue.popleft()
        self._begun[shard.number] += 1
        return shard

    def book(self, message: tuple[Any, ...], device: str) -> None:
        """What a worker says of a shard: ("progress", shard, settled), ("done", shard, content) or
        ("lost", shard, error, traceback)."""
        if message[0] == "progress":
            self.progress(message[1], message[2])
        elif message[0] == "done":
            self.finish(message[1], message[2])
        elif message[0] == "lost":
            self.lose(message[1], message[2], message[3], device)

    def progress(self, shard: Shard, settled: int) -> None:
        """So many images of a shard are kept or given up."""
        ahead = settled - self._settled[shard.number]
        if ahead:
            self._settled[shard.number] = settled
            self._progress.update(ahead)

    def finish(self, shard: Shard, content: dict[str, Any]) -> None:
        """A shard is whole. Raises PartlyDoneError when no picture at all passes the gate."""
        self.progress(shard, shard.images)
        self.done[shard.number] = content
        self._in_a_row = 0
        if self._kept or content["images"]:
            self._kept = True
            return
        rejected: Counter[str] = Counter()
        for done in self.done.values():
            rejected.update(done["rejected"])
        people = sum(done["end"] - done["first"] for done in self.done.values())
        refuse_hopeless(people, sum(done["images_wanted"] for done in self.done.values()), 0, rejected)

    def lose(self, shard: Shard, error: str, trace: str, device: str) -> None:
        """A shard was not finished: again, or given up after the last attempt.

        Raises SynthfaceError when shards are given up one after the other.
        """
        self.progress(shard, 0)
        begun = self._begun[shard.number]
        if begun < self.attempts:
            say(f"Shard {shard.name} on {device}: {error} It is begun again.")
            self._queue.append(shard)
            return
        shards.fail(self.folder, shard, error, trace, begun, device)
        say(f"Shard {shard.name} on {device}: {error} Given up after {begun} attempts.")
        self.failed[shard.number] = error
        self._in_a_row += 1
        if self._in_a_row >= _IN_A_ROW:
            raise SynthfaceError(
                f"{self._in_a_row} shards were given up one after the other, the last one with: {error}",
                f"`synthface status {self.folder.parent}` shows the tracebacks; when the cause is mended, "
                f"`synthface retry {self.folder.parent}`.",
            )

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)
