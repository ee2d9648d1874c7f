"""dmlc RecordIO, the container of MXNet: framing of records in a `.rec` file, to the byte.

A record is one chunk, or several where its bytes hold the magic number at an offset divisible by four: it is cut there,
and the magic itself is left out, for every chunk begins with it anyway. So an aligned magic in a file is always the
beginning of a chunk.

    chunk   magic 0xCED7230A (u32) | cflag << 29 | length (u32) | length bytes | zeros up to a multiple of four
    cflag   0 whole record, 1 first part, 2 middle part, 3 last part

All numbers are little-endian. Source: dmlc-core, `recordio.h` and `recordio.cc`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

from synthface.errors import InputError

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
HEAD = struct.Struct("<II")
LENGTH_BITS = 29
MAX_RECORD = 1 << LENGTH_BITS  # a record must be shorter
WHOLE, FIRST, MIDDLE, LAST = range(4)

Buffer: TypeAlias = "bytes | bytearray | memoryview"


class Damage(ValueError):
    """What is wrong with the bytes at `offset`; `cut`: the file ends too early for what its header says."""

    def __init__(self, offset: int, reason: str, *, cut: bool = False) -> None:
        super().__init__(f"byte {offset:,}: {reason}")
        self.offset, self.reason, self.cut = offset, reason, cut


class Chunk(NamedTuple):
    """One chunk: its flag, and where its bytes begin, how many they are, and where the next chunk begins."""

    cflag: int
    start: int
    length: int
    end: int


class Record(NamedTuple):
    """Where a record lies: `length` counts the restored magics; `end` is where the next one begins."""

    offset: int
    length: int
    end: int
    parts: int


def padded(length: int) -> int:
    """`length` rounded up to a multiple of four."""
    return (length + 3) & ~3


def encode(record: bytes) -> bytes:
    """The chunks of one record, padding included. Raises InputError for a record of 2²⁹ bytes and more."""
    length = len(record)
    if length >= MAX_RECORD:
        raise InputError(
            f"A record of {length:,} bytes does not fit into RecordIO, whose limit is {MAX_RECORD - 1:,}.",
            "Store a smaller picture.",
        )
    if record.find(MAGIC_BYTES) < 0:
        return b"".join((MAGIC_BYTES, length.to_bytes(4, "little"), record, b"\0" * (-length & 3)))
    cuts = list(_aligned_magics(record))
    bounds = [*cuts, length]
    pieces, begin = [], 0
    for number, bound in enumerate(bounds):
        last = number == len(cuts)
        cflag = (LAST if number else WHOLE) if last else (MIDDLE if number else FIRST)
        pieces += [HEAD.pack(MAGIC, cflag << LENGTH_BITS | bound - begin), record[begin:bound]]
        begin = bound + 4
    pieces.append(b"\0" * (-length & 3))
    return b"".join(pieces)


def _aligned_magics(record: bytes) -> list[int]:
    """Offsets divisible by four at which the magic stands, from left to right."""
    found, at = [], record.find(MAGIC_BYTES)
    while at >= 0:
        if at % 4 == 0:
            found.append(at)
        at = record.find(MAGIC_BYTES, at + 1)
    return found


def chunk_at(buffer: Buffer, offset: int) -> Chunk:
    """The chunk that begins at `offset`. Raises Damage when there is none, or not all of it."""
    size = len(buffer)
    if size - offset < HEAD.size:
        raise Damage(offset, "the file ends inside the header of a chunk", cut=True)
    magic, word = HEAD.unpack_from(buffer, offset)
    if magic != MAGIC:
        raise Damage(offset, "no record begins here")
    cflag, length = word >> LENGTH_BITS, word & (MAX_RECORD - 1)
    start = offset + HEAD.size
    end = start + padded(length)
    if end > size:
        raise Damage(offset, f"a chunk of {length:,} bytes begins, {size - start:,} are left", cut=True)
    return Chunk(cflag, start, length, end)


def record_at(buffer: Buffer, offset: int) -> Record:
    """The extent of the record that begins at `offset`. Raises Damage."""
    cflag, _, length, end = chunk_at(buffer, offset)
    if cflag == WHOLE:
        return Record(offset, length, end, 1)
    if cflag != FIRST:
        raise Damage(offset, f"a chunk with flag {cflag} cannot begin a record")
    parts = 1
    while cflag != LAST:
        if length % 4:
            raise Damage(offset, "a part before the last is not a multiple of four bytes long")
        part = chunk_at(buffer, end)
        if part.cflag not in (MIDDLE, LAST):
            raise Damage(end, f"a chunk with flag {part.cflag} stands inside a record")
        cflag, length, end, parts = part.cflag, length + 4 + part.length, part.end, parts + 1
    return Record(offset, length, end, parts)


def read(buffer: memoryview, offset: int) -> tuple[Buffer, int]:
    """The record that begins at `offset`, and where the next one begins. Raises Damage.

    A whole record is a slice of `buffer`, not a copy; one of several parts is put together, its magics restored.
    """
    record = record_at(buffer, offset)
    if record.parts == 1:
        start = offset + HEAD.size
        return buffer[start : start + record.length], record.end
    joined, filled, at = bytearray(record.length), 0, offset
    while at < record.end:
        part = chunk_at(buffer, at)
        if at > offset:
            joined[filled : filled + 4] = MAGIC_BYTES
            filled += 4
        joined[filled : filled + part.length] = buffer[part.start : part.start + part.length]
        filled, at = filled + part.length, part.end
    return bytes(joined), record.end
