"""The framing, the headers and the index, for every input and not only for the golden ones."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synthface.dataset import index, irheader, recordio
from synthface.dataset.recordio import MAGIC_BYTES, Damage
from synthface.errors import InputError

# records that are mostly magics, at all offsets modulo four
pieces = st.one_of(st.just(MAGIC_BYTES), st.just(MAGIC_BYTES[:2]), st.just(MAGIC_BYTES[2:]), st.binary(max_size=9))
magical = st.lists(pieces, max_size=24).map(b"".join)


def dmlc_chunks(record: bytes) -> bytes:
    """The writer of dmlc-core as its source tells it: word by word."""
    out, begin = b"", 0
    for at in range(0, len(record) // 4 * 4, 4):
        if record[at : at + 4] == MAGIC_BYTES:
            out += MAGIC_BYTES + struct.pack("<I", (1 if begin == 0 else 2) << 29 | at - begin) + record[begin:at]
            begin = at + 4
    out += MAGIC_BYTES + struct.pack("<I", (3 if begin else 0) << 29 | len(record) - begin) + record[begin:]
    return out + bytes(-len(record) % 4)


@given(magical)
@example(b"")
@example(MAGIC_BYTES * 3)
@example(b"a" + MAGIC_BYTES)
def test_a_record_is_framed_as_dmlc_frames_it_and_read_back(record: bytes) -> None:
    framed = recordio.encode(record)
    assert framed == dmlc_chunks(record)
    read, end = recordio.read(memoryview(framed), 0)
    assert (bytes(read), end) == (record, len(framed))


@given(st.lists(magical, max_size=8))
def test_an_aligned_magic_in_a_file_always_begins_a_chunk(records: list[bytes]) -> None:
    """What makes it possible to tell a good index from a bad one."""
    file = b"".join(map(recordio.encode, records))
    heads, at = set(), 0
    while at < len(file):
        heads.add(at)
        at = recordio.chunk_at(file, at).end
    found = {at for at in range(0, len(file), 4) if file[at : at + 4] == MAGIC_BYTES}
    assert found == heads


@given(magical, st.data())
def test_a_cut_record_is_damage_wherever_it_is_cut(record: bytes, data: st.DataObject) -> None:
    framed = recordio.encode(record)
    cut = data.draw(st.integers(0, len(framed) - 1))
    with pytest.raises(Damage) as caught:
        recordio.read(memoryview(framed)[:cut], 0)
    assert caught.value.cut


@given(
    st.one_of(st.floats(width=32, allow_nan=False), st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9)),
    st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), magical,
)  # fmt: skip
def test_headers_come_back(label: float | list[float], id: int, id2: int, payload: bytes) -> None:
    packed = irheader.pack(label, id, payload, id2)
    read, _ = recordio.read(memoryview(recordio.encode(packed)), 0)
    header, found = irheader.unpack(read)
    np.testing.assert_array_equal(header.label, np.float32(label))
    assert (header.flag, header.id, header.id2) == (len(label) if isinstance(label, list) else 0, id, id2)
    assert bytes(found) == payload


def test_a_header_that_announces_more_labels_than_there_are_bytes_is_refused() -> None:
    record = struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0) + bytes(8)
    with pytest.raises(InputError, match=r"32 bytes cannot hold the 4,294,967,295 labels"):
        irheader.unpack(record)
    with pytest.raises(InputError, match="too short"):
        irheader.unpack(record[:23])


def test_records_of_half_a_gibibyte_and_more_are_refused() -> None:
    for length in (recordio.MAX_RECORD, 600 << 20):
        with pytest.raises(InputError, match=f"A record of {length:,} bytes does not fit"):
            recordio.encode(bytes(length))


@pytest.mark.parametrize("chain", [[1], [1, 1], [1, 0], [1, 2], [2, 3], [3], [1, 2, 1, 3], [4], [7], [1, 5, 3]])
def test_chains_of_parts_that_no_writer_writes_are_damage(chain: list[int]) -> None:
    framed = b"".join(struct.pack("<II4s", recordio.MAGIC, cflag << 29 | 4, b"abcd") for cflag in chain)
    with pytest.raises(Damage):
        recordio.read(memoryview(framed), 0)


@given(st.lists(st.tuples(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1)), max_size=30))
def test_an_index_comes_back_in_its_order(rows: list[tuple[int, int]]) -> None:
    keys, offsets = ([row[column] for row in rows] for column in (0, 1))
    for content in (index.text(keys, offsets), index.text(keys, offsets).replace("\n", "\r\n")):
        key_R, offset_R = index.parse(content.encode())
        assert (key_R.tolist(), offset_R.tolist()) == (keys, offsets)
        key_R, offset_R = index.parse(content.encode().rstrip())
        assert (key_R.tolist(), offset_R.tolist()) == (keys, offsets)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"1\t2\n3\n", 2), (b"1 2\n", 1), (b"1\t2\t3\n4\n", 1), (b"\n", 1), (b"1\t\n", 1), (b"a\tb\n", 1),
        (b"1\t2\n\n3\t4\n", 2), (b"1\t-4\n", 1), (b"1\t2.5\n", 1), (b"1\t2\n2\t\xd9\xa3\n", 2), (b"1\t2\nx", 2),
        (b"1\t1234567890123456789\n", 1), (b"\x00\x01\x02", 1),
    ],
)  # fmt: skip
def test_what_is_no_index_is_refused_with_the_line(content: bytes, line: int) -> None:
    with pytest.raises(index.BadIndex, match=f"line {line} is not"):
        index.parse(content)


@given(st.binary(max_size=60))
def test_bytes_are_an_index_or_are_refused(content: bytes) -> None:
    try:
        key_R, offset_R = index.parse(content)
    except index.BadIndex:
        return
    assert len(key_R) == len(offset_R)
    assert index.parse(index.text(key_R.tolist(), offset_R.tolist()).encode())[1].tolist() == offset_R.tolist()
