"""Cut files, flipped bits, killed writers, full disks: a clear error or a right recovery, never a wrong picture or label."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from dataset_samples import Shard, jpeg, picture_number, row

from synthface import files
from synthface.dataset import ShardWriter, open_dataset, pack, packing, publish, recordio
from synthface.dataset.record_file import open_records
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


@pytest.mark.parametrize("manifest", [True, False])
def test_one_flipped_bit_in_any_header_is_refused_or_harmless(small: Path, manifest: bool) -> None:
    if not manifest:
        (small / "manifest.parquet").unlink()
    truth = Truth(small)
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


def killed_in(action: Callable[[], object]) -> bool:
    """Runs the action in a forked child; whether it was killed (else it ended well)."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


STEPS = [
    (packing.RecordWriter, "write"),
    (packing.RecordWriter, "close"),
    (packing._Writer, "write_list"),
    (packing.manifest.ManifestWriter, "write_table"),
    (packing.manifest.ManifestWriter, "close"),
    (publish, "_fsync_all"),
    (publish, "_take_place"),
    (publish, "_exchanged"),
    (os, "rename"),
    (shutil, "rmtree"),
    (files, "fsync_directory"),
]


def dying_before(step: int, action: Callable[[], object]) -> Callable[[], object]:
    """The action, killed by SIGKILL before the call number `step` of the functions in STEPS."""

    def run() -> object:
        calls = itertools.count()
        for holder, name in STEPS:
            original = getattr(holder, name)

            def wrapped(*args: object, _original: Callable[..., object] = original, **kwargs: object) -> object:
                if next(calls) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return _original(*args, **kwargs)

            setattr(holder, name, wrapped)
        return action()

    return run


def until_it_ends_well(action: Callable[[], object]) -> Iterator[int]:
    """Kills the action before its first, second, … step, until there is no such step."""
    for step in itertools.count():
        if not killed_in(dying_before(step, action)):
            assert step > 20
            return
        yield step


def test_a_pack_killed_anywhere_leaves_no_half_dataset_and_starts_again(shard: Shard, tmp_path: Path) -> None:
    shards = [shard("a", [(identity, 0) for identity in range(6)])]
    out = tmp_path / "d"
    for step in until_it_ends_well(lambda: pack(shards, out, PackRecipe(), 0)):
        if out.exists():
            assert verify(out).ok, step
            shutil.rmtree(out)
    assert verify(out).ok
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["d", "shards"]


def test_a_pack_killed_while_it_replaces_leaves_the_old_or_the_new_dataset(shard: Shard, tmp_path: Path) -> None:
    old, new = [shard("old", [(0, 0), (1, 0)])], [shard("new", [(identity, 0) for identity in range(6)])]
    out = tmp_path / "d"
    pack(old, out, PackRecipe(), 0)
    for step in until_it_ends_well(lambda: pack(new, out, PackRecipe(), 0, overwrite=True)):
        assert verify(out).ok, step
        assert len(open_dataset(out)) in (2, 6), step
        pack(old, out, PackRecipe(), 0, overwrite=True)
    assert len(open_dataset(out)) == 6
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["d", "shards"]


def write_shard(path: Path) -> None:
    with ShardWriter(path) as writer:
        for index in range(30):
            writer.write(jpeg(picture_number(0, index)), row(0, index))


def test_a_killed_shard_is_whole_or_has_no_manifest(tmp_path: Path) -> None:
    from synthface.dataset.opening import shards_in

    path = tmp_path / "0"
    for step in range(40):
        steps = [(packing.RecordWriter, "write"), (os, "replace"), (files, "fsync_directory")]
        STEPS_BEFORE, STEPS[:] = list(STEPS), steps
        try:
            killed = killed_in(dying_before(step, lambda: write_shard(path)))
        finally:
            STEPS[:] = STEPS_BEFORE
        finished = shards_in(tmp_path)
        assert finished == ([path.with_suffix(".rec")] if path.with_suffix(".parquet").exists() else [])
        for file in finished:
            assert len(open_dataset(file)) == 30
        if not killed:
            break
        for entry in tmp_path.iterdir():
            if not entry.name.startswith("."):
                entry.unlink()
    assert not killed
    assert files.remove_leftovers(tmp_path) > 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0.idx", "0.parquet", "0.rec"]


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
def test_a_pack_killed_at_any_moment_starts_again(shard: Shard, tmp_path: Path) -> None:
    """As the tests above, but by the clock, in a process that knows nothing of it."""
    shards = [shard(f"{n}", [(n * 10 + identity, index) for identity in range(10) for index in range(20)]) for n in range(10)]  # fmt: skip
    command = [sys.executable, "-c", "from synthface.cli import main; main()", "pack", str(shards[0].parent), "--out", str(tmp_path / "d")]  # fmt: skip
    rng = np.random.default_rng(0)
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.monotonic() - started
    truth = (tmp_path / "d/train.rec").read_bytes()
    killed = 0
    for _ in range(40):
        shutil.rmtree(tmp_path / "d", ignore_errors=True)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=float(rng.uniform(0.3, 1.1)) * whole)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        if (tmp_path / "d").exists():
            assert (tmp_path / "d/train.rec").read_bytes() == truth
            assert verify(tmp_path / "d", workers=1).ok
    assert killed > 5
    shutil.rmtree(tmp_path / "d", ignore_errors=True)
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "d/train.rec").read_bytes() == truth
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["d", "shards"]


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
