"""log.jsonl: one line of JSON for every few steps of each stage."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from synthface import files


class StageLog:
    """Appends lines {"stage", "step", …}. Those of this stage after step `done` are dropped: they are written again."""

    def __init__(self, path: Path, stage: str, done: int) -> None:
        self.path, self.stage = path, stage
        kept = [line for line in read_log(path) if line["stage"] != stage or line["step"] <= done]
        files.write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        with files.writing(path):
            self._file: IO[str] = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed on exit

    def write(self, step: int, facts: dict[str, Any]) -> None:
        with files.writing(self.path):
            self._file.write(json.dumps({"stage": self.stage, "step": step, **facts}, allow_nan=False) + "\n")

    def __enter__(self) -> StageLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_log(path: Path, stage: str | None = None) -> list[dict[str, Any]]:
    """The lines, of one stage or of all; the torn last line of a killed training is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if stage is None or line["stage"] == stage:
            lines.append(line)
    return lines
