"""Progress on stderr: a bar on a terminal, a line a minute elsewhere. stdout belongs to results."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import click


class Progress:
    """Counts `unit`s up to `total` (None: unknown) and shows rate and ETA.

    with Progress(total=100, unit="identities", label="sampling") as progress:
        progress.update(10, accepted="97 %")
    """

    LINE_EVERY = 60.0  # seconds, where stderr is not a terminal

    def __init__(self, total: int | None, unit: str, label: str, initial: int = 0) -> None:
        self.total, self.unit, self.label = total, unit, label
        self.done = self.initial = initial
        self._bar = None
        self._started = self._spoke = time.monotonic()
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                initial=initial,
                unit=f" {unit}",
                desc=label,
                file=sys.stderr,
                dynamic_ncols=True,
                smoothing=0.1,
            )

    def update(self, amount: int, **facts: str) -> None:
        """Adds `amount`; `facts` are shown behind the bar."""
        self.done += amount
        if self._bar is not None:
            if facts:
                self._bar.set_postfix(facts, refresh=False)
            self._bar.update(amount)
        elif time.monotonic() - self._spoke >= self.LINE_EVERY:
            self._spoke = time.monotonic()
            say(self._line(facts))

    def _line(self, facts: dict[str, str]) -> str:
        rate = (self.done - self.initial) / max(time.monotonic() - self._started, 1e-9)
        share = f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"
        parts = [f"{self.label}: {share} {self.unit}", f"{rate:,.1f}/s"]
        if self.total is not None and rate > 0:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join(parts + [f"{name} {value}" for name, value in facts.items()])

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def say(message: str) -> None:
    """One line on stderr, for a person."""
    click.echo(message, err=True)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    seconds = round(seconds)
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
