"""Killed by SIGKILL at any moment: what was there or what was to come, and the same command goes on to the right end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dataset_samples import Pack, Shard, jpeg, picture_number, row
from killing import dying_before, killed_in, until_it_ends_well

from synthface import files
from synthface.dataset import ShardWriter, irheader, open_dataset, pack, packing, publish
from synthface.dataset.export import FORMATS, export, hugging_face, tars
from synthface.dataset.export.samples import Samples
from synthface.dataset.manifest import ManifestWriter
from synthface.dataset.record_file import open_records
from synthface.dataset.record_writer import RecordWriter
from synthface.dataset.verify import repair as repairs
from synthface.dataset.verify import verify
from synthface.recipe.pictures import PackRecipe

PUBLISHING = [
    (publish, "_fsync_all"),
    (publish, "_take_place"),
    (publish, "_exchanged"),
    (os, "rename"),
    (shutil, "rmtree"),
    (files, "fsync_directory"),
]
PACKING = [
    (packing.RecordWriter, "write"),
    (packing.RecordWriter, "close"),
    (packing._Writer, "write_list"),
    (ManifestWriter, "write_table"),
    (ManifestWriter, "close"),
    *PUBLISHING,
]
EXPORTING = [
    (RecordWriter, "write"),
    (RecordWriter, "close"),
    (Path, "write_bytes"),
    (Path, "write_text"),
    (tars, "_add"),
    (hugging_face, "_table"),
    (Samples, "_rows"),
    (ManifestWriter, "write_rows"),
    (ManifestWriter, "close"),
    *PUBLISHING,
]
REPAIRING = [
    (os, "truncate"),
    (os, "fsync"),
    (os, "replace"),
    (files, "fsync_directory"),
    (ManifestWriter, "write_table"),
    (repairs, "_append"),
    (repairs, "_trim_manifest"),
    (repairs, "_trim_list"),
    (repairs, "_mend_property"),
]


def test_a_pack_killed_anywhere_leaves_no_half_dataset_and_starts_again(shard: Shard, tmp_path: Path) -> None:
    shards = [shard("a", [(identity, 0) for identity in range(6)])]
    out = tmp_path / "d"
    for step in until_it_ends_well(lambda: pack(shards, out, PackRecipe(), 0), PACKING, 21):
        if out.exists():
            assert verify(out).ok, step
            shutil.rmtree(out)
    assert verify(out).ok
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["d", "shards"]


def test_a_pack_killed_while_it_replaces_leaves_the_old_or_the_new_dataset(shard: Shard, tmp_path: Path) -> None:
    old, new = [shard("old", [(0, 0), (1, 0)])], [shard("new", [(identity, 0) for identity in range(6)])]
    out = tmp_path / "d"
    pack(old, out, PackRecipe(), 0)
    for step in until_it_ends_well(lambda: pack(new, out, PackRecipe(), 0, overwrite=True), PACKING, 21):
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
    steps = [(packing.RecordWriter, "write"), (os, "replace"), (files, "fsync_directory")]
    for step in range(40):
        killed = killed_in(dying_before(step, lambda: write_shard(path), steps))
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


def contents(folder: Path) -> dict[str, bytes]:
    """All files below, hidden ones too."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def cut(path: Path, row: int) -> None:
    """Cuts the file inside the record of this row."""
    os.truncate(path / "train.rec", int(open_records(path / "train.rec").offset_R[row]) + 30)


def without_tail(dataset: Pack) -> Path:
    path = dataset(people=5, per_id=4)
    cut(path, 14)
    return path


def without_tail_and_index(dataset: Pack) -> Path:
    path = without_tail(dataset)
    (path / "train.idx").unlink()
    return path


def without_half_of_the_people(dataset: Pack) -> Path:
    path = dataset(people=5, per_id=4)
    cut(path, 22)
    return path


def without_index(dataset: Pack) -> Path:
    path = dataset(people=5, per_id=4)
    (path / "train.idx").unlink()
    return path


def without_header(dataset: Pack) -> Path:
    """Records in another order than their keys, with ids that tell nothing: only the index knows the keys."""
    path = dataset(people=3, per_id=4)
    with RecordWriter(path / "train.rec", path / "train.idx") as writer:
        for key in np.random.default_rng(0).permutation(np.arange(1, 13)).tolist():
            identity, index = divmod(key - 1, 4)
            writer.write_record(key, irheader.pack(identity, 0, jpeg(picture_number(identity, index))))
    return path


BROKEN = [without_tail, without_tail_and_index, without_half_of_the_people, without_index, without_header]


@pytest.fixture(params=BROKEN, ids=lambda broken: broken.__name__)
def broken(request: pytest.FixtureRequest, dataset: Pack) -> Path:
    path: Path = request.param(dataset)
    return path


def test_a_repair_killed_anywhere_goes_on_to_the_same_end(broken: Path, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "killed"
    shutil.copytree(broken, whole)
    assert verify(whole, repair=True).ok
    for number, payload in enumerate(open_dataset(whole).payloads(range(len(open_dataset(whole))))):
        assert bytes(payload) == jpeg(picture_number(*divmod(number, 4)))

    def repaired() -> None:
        shutil.copytree(broken, path)
        repairs.repair(path / "train.rec")

    for step in until_it_ends_well(repaired, REPAIRING, 4):
        repairs.repair(path / "train.rec")
        assert contents(path) == contents(whole), step
        shutil.rmtree(path)
    assert contents(path) == contents(whole)


@pytest.mark.parametrize("make", [without_tail, without_half_of_the_people, without_header])
def test_a_repair_killed_within_its_records_goes_on_to_the_same_end(
    make: Callable[[Pack], Path], dataset: Pack, tmp_path: Path
) -> None:
    """Killed when any number of bytes of the header and identity records were written."""
    broken, whole, path = make(dataset), tmp_path / "whole", tmp_path / "killed"
    shutil.copytree(broken, whole)
    repairs.repair(whole / "train.rec")
    size = (whole / "train.rec").stat().st_size

    def killed_after(count: int) -> None:
        def part(target: Path, content: bytes) -> None:
            with open(target, "ab") as opened:
                opened.write(content[:count])
            os.kill(os.getpid(), signal.SIGKILL)

        repairs._append = part
        repairs.repair(path / "train.rec")

    for count in range(0, 250, 3):
        shutil.copytree(broken, path)
        assert killed_in(lambda count=count: killed_after(count))  # type: ignore[misc]
        assert (path / "train.rec").stat().st_size <= size
        repairs.repair(path / "train.rec")
        assert contents(path) == contents(whole), count
        shutil.rmtree(path)


def exported(to: str, folder: Path) -> dict[str, bytes]:
    """The files; of an LMDB file, whose pages may hold anything beside the values, the values."""
    found = contents(folder)
    if to == "lmdb":
        import lmdb

        del found["train.lmdb"]
        environment = lmdb.open(str(folder / "train.lmdb"), subdir=False, readonly=True, lock=False)
        with environment.begin() as transaction:
            found |= {key.decode(): bytes(value) for key, value in transaction.cursor()}
        environment.close()
    return found


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_killed_anywhere_leaves_no_half_of_it_and_starts_again(
    dataset: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.setattr("synthface.dataset.export.samples.BATCH", 2)
    source, whole, out = dataset(people=3, per_id=2), tmp_path / "w", tmp_path / "out"
    export(source, to, whole, seed=0)
    for step in until_it_ends_well(lambda: export(source, to, out, seed=0), EXPORTING, 9):
        if out.exists():
            assert exported(to, out) == exported(to, whole), step
            shutil.rmtree(out)
    assert exported(to, out) == exported(to, whole)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["dataset", "out", "shards", "w"]


def test_an_export_killed_while_it_replaces_leaves_the_old_or_the_new_one(dataset: Pack, tmp_path: Path) -> None:
    old, new, out = dataset(people=2, per_id=2, name="old"), dataset(people=3, per_id=2, name="new"), tmp_path / "out"
    wholes = []
    for number, source in enumerate((old, new)):
        export(source, "folder", tmp_path / f"{number}", seed=0)
        wholes.append(contents(tmp_path / f"{number}"))
    export(old, "folder", out, seed=0)
    for step in until_it_ends_well(lambda: export(new, "folder", out, seed=0, overwrite=True), EXPORTING, 9):
        assert contents(out) in wholes, step
        export(old, "folder", out, seed=0, overwrite=True)
    assert contents(out) == wholes[1]


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
