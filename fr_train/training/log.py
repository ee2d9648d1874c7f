"""What a training tells: a JSON line a step, TensorBoard events by option, progress on stderr."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from synthface import files
from synthface.errors import MissingPackageError


class TrainLog:
    """Appends to `folder`/log.jsonl. Lines after step `done` are dropped first: a resumed training writes them again."""

    def __init__(self, folder: Path, done: int, tensorboard: bool) -> None:
        self.path = folder / "log.jsonl"
        files.write_text(self.path, "".join(json.dumps(line) + "\n" for line in read_log(self.path, done)))
        with files.writing(self.path):
            self._file: IO[str] = open(self.path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed on exit
        self._events = _event_writer(folder / "tensorboard", done) if tensorboard else None

    def write(self, step: int, facts: dict[str, Any]) -> None:
        """One line: `step` (1 is the first) and `facts`. Raises OutputError when the disk is full."""
        with files.writing(self.path):
            self._file.write(json.dumps({"step": step, **facts}, allow_nan=False) + "\n")
        if self._events is not None:
            for name, value in facts.items():
                self._events.add_scalar(name, value, step)

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()


def read_log(path: Path, last: int | None = None) -> list[dict[str, Any]]:
    """The lines up to step `last` (None: all). The torn last line of a killed training is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if last is None or line["step"] <= last:
            lines.append(line)
    return lines


def _event_writer(folder: Path, done: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackageError(
            "train.tensorboard needs the package tensorboard.", "pip install 'synthface[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder), purge_step=done + 1 if done else None)
