"""The reader under hostile files: an InputError or a consistent dataset, nothing else, and no hang.

The slow part tries 100,000 files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from dataset_samples import jpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthface.dataset import irheader, layout, open_dataset, recordio
from synthface.dataset.record_writer import RecordWriter
from synthface.dataset.records import RecordDataset
from synthface.dataset.verify import Report
from synthface.dataset.verify.repair import repair
from synthface.dataset.verify.structure import examine
from synthface.errors import InputError

MAGIC = recordio.MAGIC_BYTES
KINDS = ["flip", "word", "cut", "delete", "insert", "repeat"]
INTERESTING = [0, 1, 2, 3, 4, 7, 24, 2**24, 2**29 - 1, 2**29, 2**30, 2**31, 2**32 - 1, recordio.MAGIC]


def base(folder: Path) -> tuple[bytes, bytes]:
    """A dataset of insightface's layout with a record of several parts; its .rec and .idx."""
    with RecordWriter(folder / "train.rec", folder / "train.idx") as writer:
        for number, label in enumerate((0, 0, 1)):
            payload = jpeg(number, side=8)
            writer.write(number + 1, label, payload if number != 1 else payload[:20] + MAGIC * 4 + payload[20:])
        for key, label2, id2 in layout.special_records([(1, 3), (3, 4)], 3):
            writer.write(key, label2, id2=id2)
    return (folder / "train.rec").read_bytes(), (folder / "train.idx").read_bytes()


@st.composite
def mutations(draw: st.DrawFn) -> list[tuple[str, int, int, bytes]]:
    """Operations on a file: (kind, place, length or value, bytes)."""
    kind = st.sampled_from(KINDS)
    return [
        (draw(kind), draw(st.integers(0, 2**16)), draw(st.integers(0, 2**10)), draw(st.binary(max_size=12)))
        for _ in range(draw(st.integers(0, 4)))
    ]


def mutate(content: bytes, operations: list[tuple[str, int, int, bytes]]) -> bytes:
    bad = bytearray(content)
    for kind, place, value, insertion in operations:
        at = place % (len(bad) + 1)
        if kind == "flip" and at < len(bad):
            bad[at] ^= 1 << value % 8
        elif kind == "word":
            word = INTERESTING[value % len(INTERESTING)]
            bad[at & ~3 : (at & ~3) + 4] = word.to_bytes(4, "little")
        elif kind == "cut":
            del bad[at:]
        elif kind == "delete":
            del bad[at : at + value]
        elif kind == "insert":
            bad[at:at] = insertion
        elif kind == "repeat":
            bad[at:at] = bad[at : at + value]
    return bytes(bad)


def use(folder: Path) -> None:
    """Opens the folder and asks for everything; InputError is the only exception that may come out."""
    try:
        data = open_dataset(folder)
        assert isinstance(data, RecordDataset)
        payloads = data.payloads(range(len(data)))
        assert [len(payload) for payload in payloads] == data.lengths().tolist()
        headers, again = data.file.read_many(data.key_N)
        assert again == payloads
        assert headers.payload_R.tolist() == data.lengths().tolist()
        size = (folder / "train.rec").stat().st_size
        assert sum(len(payload) for payload, whole in zip(payloads, data.file.whole_R[data.layout.picture_N], strict=True) if whole) <= size  # fmt: skip
        assert len(np.unique(data.key_N)) == len(data)
        labels = data.labels_N
        assert (labels >= 0).all()
        if data.layout.header is not None:
            assert data.key_N.tolist() == list(range(1, len(data) + 1))
    except InputError:
        pass
    report = Report(str(folder))
    examine(folder / "train.rec", report)
    report.as_json()


@pytest.fixture(scope="module")
def arena() -> Iterator[Path]:
    """A folder in memory where there is one: the fuzzer writes a file for every input."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="synthface-fuzz-", dir=place))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def attacker(arena: Path) -> Callable[..., None]:
    rec, idx = base(arena)

    def attack(on_rec: list[tuple[str, int, int, bytes]], on_idx: list[tuple[str, int, int, bytes]], with_idx: bool) -> None:  # fmt: skip
        (arena / "train.rec").write_bytes(mutate(rec, on_rec))
        (arena / "train.idx").unlink(missing_ok=True)
        if with_idx:
            (arena / "train.idx").write_bytes(mutate(idx, on_idx))
        use(arena)

    return attack


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(on_rec=mutations(), on_idx=mutations(), with_idx=st.booleans())
def test_a_hostile_file_is_refused_or_consistent(arena: Path, on_rec: list, on_idx: list, with_idx: bool) -> None:
    attacker(arena)(on_rec, on_idx, with_idx)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(on_rec=mutations(), on_idx=mutations(), with_idx=st.booleans())
def test_a_repair_of_a_hostile_file_is_done_once(arena: Path, on_rec: list, on_idx: list, with_idx: bool) -> None:
    """A second repair finds nothing left to do, and what was repaired opens or is refused."""
    attacker(arena)(on_rec, on_idx, with_idx)
    repair(arena / "train.rec")
    assert repair(arena / "train.rec") == []
    use(arena)


def operations(rng: np.random.Generator) -> list[tuple[str, int, int, bytes]]:
    """As `mutations`, quickly."""
    return [
        (KINDS[rng.integers(len(KINDS))], int(rng.integers(2**16)), int(rng.integers(2**10)), rng.bytes(int(rng.integers(13))))
        for _ in range(int(rng.integers(5)))
    ]  # fmt: skip


@pytest.mark.slow
def test_100_000_hostile_files(arena: Path) -> None:
    """Hypothesis draws seeds; each of them makes 50 files."""
    attack = attacker(arena)
    count = 0

    @settings(max_examples=2_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**63))
    def attacked(seed: int) -> None:
        nonlocal count
        rng = np.random.default_rng(seed)
        for _ in range(50):
            count += 1
            attack(operations(rng), operations(rng) if rng.random() < 0.5 else [], bool(rng.random() < 0.7))

    attacked()
    assert count >= 100_000


@pytest.mark.slow
def test_100_000_records_of_noise() -> None:
    """The container and the header alone, on bytes that begin like a record."""
    rng = np.random.default_rng(0)
    read = 0
    for number in range(100_000):
        words = rng.choice(np.array([*INTERESTING, *rng.integers(0, 2**32, 4)], np.uint64), int(rng.integers(1, 24)))
        noise = MAGIC + words.astype("<u4").tobytes() + rng.bytes(number % 4)
        try:
            record, end = recordio.read(memoryview(noise), 0)
        except recordio.Damage:
            continue
        assert 0 < end <= len(noise)
        read += 1
        try:
            header, payload = irheader.unpack(record)
        except InputError:
            continue
        assert irheader.HEADER.size + 4 * header.flag + len(payload) == len(record)
    assert read > 1_000
