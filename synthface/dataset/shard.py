"""A shard: NAME.rec, NAME.idx and NAME.parquet, written picture by picture, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path
from types import TracebackType

from synthface import files
from synthface.dataset.manifest import ManifestWriter, Row
from synthface.dataset.record_writer import RecordWriter
from synthface.dataset.recordio import Buffer

SUFFIXES = (".rec", ".idx", ".parquet")


class ShardWriter:
    """Writes pictures with what is known of them.

    with ShardWriter(run.shards / "00007") as shard:
        shard.write(jpeg, Row(identity=3, index=0, seed=17))

    The three files take their names when the block ends well, the manifest last; otherwise nothing is left behind but,
    after a kill, `.NAME.*.tmp`. Keys run from 0; the record's label is the identity, which `pack` numbers anew.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.count = 0
        self.bytes = 0

    def __enter__(self) -> ShardWriter:
        with contextlib.ExitStack() as stack:
            # the last one entered is renamed first
            parquet, idx, rec = (
                stack.enter_context(files.atomic_path(self.path.with_name(self.path.name + suffix)))
                for suffix in reversed(SUFFIXES)
            )
            stack.enter_context(files.writing(self.path))
            self._manifest = stack.enter_context(ManifestWriter(parquet))
            self._records = stack.enter_context(RecordWriter(rec, idx))
            self._stack = stack.pop_all()
        return self

    def write(self, payload: Buffer, row: Row) -> int:
        """Adds one encoded picture; gives its key. Raises OutputError when the disk is full."""
        key = self.count
        with files.writing(self.path):
            self._records.write(key, row.identity, payload)
            self._manifest.write(row, key=key, label=row.identity, crc32=zlib.crc32(payload), length=len(payload))
        self.count += 1
        self.bytes += len(payload)
        return key

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
