"""Writes a `.rec` file and the `.idx` beside it, record by record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from synthface.dataset import index, irheader, recordio
from synthface.dataset.layout import EXACT
from synthface.dataset.recordio import Buffer
from synthface.errors import InputError

_BUFFER = 1 << 20


class RecordWriter:
    """Writes records in the order of the calls; `offset` is where the next one begins.

    The files are written where they are named, not atomically: that is the caller's matter (shard.py, packing.py).

        with RecordWriter(Path("train.rec"), Path("train.idx")) as writer:
            writer.write(1, label=0, payload=jpeg)
    """

    def __init__(self, path_rec: Path, path_idx: Path) -> None:
        self.offset = 0
        self._rec = open(path_rec, "wb", buffering=_BUFFER)  # noqa: SIM115 - closed by close
        try:
            self._idx = open(path_idx, "w", encoding="ascii", newline="\n", buffering=_BUFFER)  # noqa: SIM115
        except BaseException:
            self._rec.close()
            raise

    def write(
        self, key: int, label: float | Sequence[float] | NDArray[np.floating], payload: Buffer = b"", id2: int = 0
    ) -> None:
        """A record with an IRHeader whose id is the key, as MXNet's tools write it.

        Raises InputError for labels that float32 cannot hold exactly.
        """
        if isinstance(label, int) and not -EXACT <= label <= EXACT:
            raise InputError(
                f"Label {label:,} is beyond {EXACT:,}, up to which RecordIO's float32 labels are exact.",
                "Number the people from 0.",
            )
        self.write_record(key, irheader.pack(label, key, payload, id2))

    def write_record(self, key: int, record: bytes) -> None:
        """The bytes of a whole record, IRHeader included where it has one."""
        framed = recordio.encode(record)
        self._rec.write(framed)
        self._idx.write(index.line(key, self.offset))
        self.offset += len(framed)

    def close(self) -> None:
        try:
            self._rec.close()
        finally:
            self._idx.close()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
