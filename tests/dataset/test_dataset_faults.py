"""Cut files, flipped bits, killed writers, full disks: a clear error or a right recovery, never a wrong picture or label."""

from __future__ import annotations

import itertools
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dataset_samples import Shard, jpeg, row

from synthface.dataset import Row, ShardWriter, irheader, open_dataset, pack, packing, publish, recordio
from synthface.dataset.export import export
from synthface.dataset.record_file import open_records
from synthface.dataset.record_writer import RecordWriter
from synthface.dataset.records import RecordDataset
from synthface.dataset.verify import verify
from synthface.errors import InputError, OutputError
from synthface.recipe.pictures import PackRecipe


@pytest.fixture
def small(shard: Shard, tmp_path: Path) -> Path:
    """Two people, two tiny pictures each: a file of some 3 KB, all of whose bytes can be tried."""
    path = shard("small", [(identity, index) for identity in range(2) for index in range(2)], side=8)
    pack([path], tmp_path / "small", PackRecipe(), 0)
    return tmp_path / "small"


class Truth:
    """What a dataset held when it was whole; `check` lets nothing pass that contradicts it."""

    def __init__(self, path: Path) -> None:
        data = open_dataset(path)
        keys = data.key_N.tolist()
        self.payloads = {
            key: bytes(payload) for key, payload in zip(keys, data.payloads(range(len(data))), strict=True)
        }
        self.images = {key: data.image(place) for place, key in enumerate(keys)}
        self.labels = dict(zip(data.key_N.tolist(), data.labels_N.tolist(), strict=True))

    def check(self, path: Path) -> str:
        """`refused`, `whole` or `part`; fails where a picture or a label is a wrong one."""
        try:
            data = open_dataset(path)
            assert isinstance(data, RecordDataset)
            labels = data.labels_N.tolist()
        except InputError as error:
            return "refused" if str(path) in str(error) else "refused without a place"
        for place, (key, label) in enumerate(zip(data.key_N.tolist(), labels, strict=True)):
            assert self.labels.get(key) == label
            if bytes(data.payloads([place])[0]) == self.payloads[key]:
                continue
            try:
                image = data.image(place)
            except InputError:
                continue
            np.testing.assert_array_equal(image, self.images[key])
        return "whole" if len(data) == len(self.labels) else "part"


def test_a_file_cut_at_any_byte_is_refused_by_its_index(small: Path) -> None:
    truth = Truth(small)
    for size in range((small / "train.rec").stat().st_size - 1, -1, -1):
        os.truncate(small / "train.rec", size)
        assert truth.check(small) == "refused", size


def test_a_file_cut_at_any_byte_without_index_gives_whole_records_or_is_refused(small: Path) -> None:
    for name in ("train.idx", "manifest.parquet"):
        (small / name).unlink()
    truth = Truth(small)
    begins = {0, *(record for record in open_records(small / "train.rec", quiet=True).offset_R.tolist())}
    for size in range((small / "train.rec").stat().st_size - 1, -1, -1):
        os.truncate(small / "train.rec", size)
        assert (truth.check(small) == "refused") == (size not in begins), size


def without_manifest(folder: Path) -> Path:
    (folder / "manifest.parquet").unlink()
    return folder


@pytest.fixture(params=["manifest", "identity records", "list of single pictures", "list without header"])
def guarded(request: pytest.FixtureRequest, small: Path, shard: Shard, tmp_path: Path) -> Path:
    """A small dataset whose labels can be compared with what the parameter names, at the least."""
    if request.param == "manifest":
        return small
    if request.param == "identity records":
        (small / "train.lst").unlink()
        return without_manifest(small)
    if request.param == "list of single pictures":  # identity records do not tell the label of a single picture
        pack([shard("singles", [(identity, 0) for identity in range(4)], side=8)], tmp_path / "d", PackRecipe(), 0)
    else:
        export(small, "dali", tmp_path / "d", seed=0)
    return without_manifest(tmp_path / "d")


def test_one_flipped_bit_in_any_header_is_refused_or_harmless(guarded: Path) -> None:
    small, truth = guarded, Truth(guarded)
    file = open_records(small / "train.rec")
    good = (small / "train.rec").read_bytes()
    headers = [range(at, at + 8 + min(length, 32)) for at, length in zip(file.offset_R.tolist(), file.length_R.tolist(), strict=True)]  # fmt: skip
    seen = set()
    for at, bit in itertools.product(itertools.chain(*headers), range(8)):
        bad = bytearray(good)
        bad[at] ^= 1 << bit
        with open(small / "train.rec", "rb+") as target:
            target.write(bad)
        outcome = truth.check(small)
        assert outcome != "part", (at, bit)
        seen.add(outcome)
    assert seen == {"refused", "whole"}  # ids, and bits of pictures, are no lies about picture or label


@pytest.mark.parametrize("index", [True, False])
def test_a_wrong_length_that_reaches_over_the_next_record_is_refused(tmp_path: Path, index: bool) -> None:
    """Records of 1,024 bytes each: one flipped bit in a length makes one of two."""
    picture = jpeg(0, side=8)
    room = 1_024 - 8 - 24 - len(picture)
    payload = picture[:2] + b"\xff\xfe" + (room - 2).to_bytes(2, "big") + bytes(room - 4) + picture[2:]
    with RecordWriter(tmp_path / "train.rec", tmp_path / "train.idx") as writer:
        for key in range(4):
            writer.write(key, key % 2, payload)
    assert verify(tmp_path).records == 4
    content = bytearray((tmp_path / "train.rec").read_bytes())
    assert len(content) == 4_096
    content[5] ^= 1 << 2
    (tmp_path / "train.rec").write_bytes(content)
    if not index:
        (tmp_path / "train.idx").unlink()
    with pytest.raises(InputError, match="damaged before byte 1,024: a record reaches over the next one"):
        open_dataset(tmp_path)
    report = verify(tmp_path, repair=True)
    assert (report.repaired, report.ok) == ([], False)
    assert "damaged records" in [finding.name for finding in report.findings]


def test_a_magic_number_that_another_writer_left_in_a_record_does_no_harm(tmp_path: Path) -> None:
    """Its reader goes by lengths alone, as MXNet's does."""
    payload = jpeg(0) + b"x" * (-len(jpeg(0)) % 4) + recordio.HEAD.pack(recordio.MAGIC, 12) + bytes(40)
    record = irheader.pack(0, 1, payload)
    (tmp_path / "train.rec").write_bytes(recordio.HEAD.pack(recordio.MAGIC, len(record)) + record)
    assert bytes(open_dataset(tmp_path).payloads([0])[0]) == payload


def test_any_flipped_bit_of_the_index_is_refused_or_mended(small: Path) -> None:
    truth = Truth(small)
    good = (small / "train.idx").read_bytes()
    for at, bit in itertools.product(range(len(good)), range(8)):
        bad = bytearray(good)
        bad[at] ^= 1 << bit
        (small / "train.idx").write_bytes(bad)
        assert truth.check(small) in ("whole", "refused"), (at, bit)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 40, 100, 1_000])
def test_verify_tells_of_cut_files_and_repair_leaves_a_dataset_that_is_whole(small: Path, size: int) -> None:
    truth = Truth(small)
    os.truncate(small / "train.rec", size)
    assert not verify(small).ok
    report = verify(small, repair=True)
    assert report.ok == (report.images > 0)
    assert truth.check(small) == "part"


LIMITED = """
import resource, sys
from pathlib import Path
from synthface.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.path.insert(0, sys.argv[2])
{body}
"""


@pytest.mark.parametrize("limit", [100, 3_000, 9_000])
def test_a_disk_that_fills_up_while_packing_leaves_nothing(shard: Shard, tmp_path: Path, limit: int) -> None:
    """A limit on file sizes plays the full disk: the write fails in the same places."""
    path = shard("a", [(identity, index) for identity in range(10) for index in range(3)])
    program = LIMITED.format(
        body="from synthface.cli import main; sys.argv = ['synthface', 'pack', *sys.argv[3:]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(limit), "", str(path), "--out", str(tmp_path / "d")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"synthface: Cannot write {tmp_path / 'd'}")
    assert "Traceback" not in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["shards"]


def test_a_dataset_that_will_not_fit_is_told_before_it_is_copied(
    shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shard("a", [(0, 0)])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10_000, 9_900, 100))
    with pytest.raises(OutputError, match=r"needs .* MB free"):
        pack([path], tmp_path / "d", PackRecipe(), 0)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["shards"]


def test_two_packs_of_one_folder_do_not_mix(shard: Shard, tmp_path: Path) -> None:
    path = shard("a", [(0, 0)])
    with publish.publishing(tmp_path / "d", overwrite=False) as folder:
        with pytest.raises(OutputError, match="Another process is working on"):
            pack([path], tmp_path / "d", PackRecipe(), 0)
        (folder / "train.rec").write_bytes(b"")
    assert [entry.name for entry in (tmp_path / "d").iterdir()] == ["train.rec"]


def test_an_interrupt_leaves_nothing(shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(packing._Writer, "write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        pack([shard("a", [(0, 0)])], tmp_path / "d", PackRecipe(), 0)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["shards"]


def peaks_of_packing(shards: list[Path], out: Path) -> dict[str, int]:
    """Bytes that were held at once, at most, in each step of a pack; exact, as Python and numpy count them."""
    peaks: dict[str, int] = {}

    def watched(name: str, step: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object) -> object:
            tracemalloc.reset_peak()
            result = step(*args)
            peaks[name] = tracemalloc.get_traced_memory()[1]
            return result

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthface.dataset.record_writer._BUFFER", 4_096)
        patch.setattr(packing, "_WINDOW_PICTURES", 100)
        patch.setattr(packing.manifest, "ROW_GROUP", 100)
        patch.setattr(packing.plan, "make", watched("make", packing.plan.make))
        for name in ("write_records", "write_list", "write_manifest"):
            patch.setattr(packing._Writer, name, watched(name, getattr(packing._Writer, name)))
        tracemalloc.start()
        try:
            pack(shards, out, PackRecipe(order="shuffled"), 0)
        finally:
            tracemalloc.stop()
    return peaks


def test_packing_keeps_few_bytes_of_a_picture(tmp_path: Path) -> None:
    """What 3,000 pictures need more than 1,000."""
    shards = [tmp_path / "shards" / f"{number:02d}.rec" for number in range(30)]
    picture = jpeg(0, side=8)
    for number, path in enumerate(shards):
        with ShardWriter(path.with_suffix("")) as writer:
            for index in range(100):  # people of two pictures, whose numbers Python does not keep at hand
                writer.write(
                    picture, Row(identity=1_000 + number * 50 + index // 2, index=index % 2, center_similarity=0.5)
                )
    peaks_of_packing(shards[:1], tmp_path / "first")  # imports and caches
    few, many = peaks_of_packing(shards[:10], tmp_path / "few"), peaks_of_packing(shards, tmp_path / "many")
    grown = {name: (many[name] - few[name]) / 2_000 for name in many}
    assert len(grown) == 4
    assert all(each < 110 for each in grown.values()), grown


def test_memory_of_packing_does_not_grow_with_the_dataset(tmp_path: Path) -> None:
    """Peak memory of packing 24 shards against 4 of the same size, each in a process of its own."""
    picture = jpeg(0)
    filler = b"\xff\xfe\xff\xff" + bytes(65_533)  # a JPEG comment: large records, quickly made
    large = picture[:2] + filler + picture[2:]
    for number in range(24):
        with ShardWriter(tmp_path / "shards" / f"{number:02d}") as writer:
            for index in range(50):
                writer.write(large, row(number, index))
    peaks = []
    for count in (4, 24):
        program = (
            "import resource, sys; from synthface.dataset import pack; from synthface.recipe.pictures import PackRecipe\n"
            "pack(sys.argv[2:], sys.argv[1], PackRecipe(order='shuffled'), 0)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        shards = [str(tmp_path / "shards" / f"{number:02d}.rec") for number in range(count)]
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / f"d{count}"), *shards],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stdout) / 1024)
    assert (tmp_path / "d24/train.rec").stat().st_size > 72 << 20
    assert peaks[1] - peaks[0] < 40  # MiB; windows are of 32 MiB, the larger dataset is 65 MiB larger


@pytest.mark.slow
def test_a_record_of_600_mib_in_two_parts_is_put_together(tmp_path: Path) -> None:
    """No writer makes it, but nothing forbids it to a reader; the file is sparse."""
    first, last = (512 << 20) - 8, 88 << 20
    with open(tmp_path / "a.rec", "wb") as file:
        file.write(struct.pack("<II", recordio.MAGIC, 1 << 29 | first))
        file.seek(8 + first)
        file.write(struct.pack("<II", recordio.MAGIC, 3 << 29 | last))
        file.truncate(16 + first + last)
    (tmp_path / "a.idx").write_text("0\t0\n")
    record = open_records(tmp_path / "a.rec").record(0)
    assert len(record) == first + 4 + last
    assert bytes(record[first : first + 4]) == recordio.MAGIC_BYTES
