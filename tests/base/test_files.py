"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from synthface import files
from synthface.errors import InputError, OutputError


def test_a_file_appears_whole_with_its_parents(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a/b/c.txt", "grün\n")
    assert (tmp_path / "a/b/c.txt").read_text(encoding="utf-8") == "grün\n"
    assert [file.name for file in (tmp_path / "a/b").iterdir()] == ["c.txt"]


def test_files_get_the_permissions_that_open_would_give(tmp_path: Path) -> None:
    files.write_text(tmp_path / "ours", "x")
    (tmp_path / "theirs").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_a_failed_write_leaves_the_old_file_and_no_leftover(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), files.atomic_writer(tmp_path / "a") as file:
        file.write(b"half of the new")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def _write_and_die(path: Path) -> None:
    with files.atomic_writer(path) as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_writer_leaves_the_old_file_and_a_leftover_that_is_cleared(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "old")
    process = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(tmp_path / "a",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "a").read_text() == "old"
    assert files.remove_leftovers(tmp_path) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full. Free some space and run the same command again"),
        (errno.EROFS, "the file system is read-only. Choose a place"),
        (errno.EACCES, "permission denied. Choose a place"),
        (errno.EDQUOT, "the disk quota is used up"),
    ],
)
def test_disk_problems_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=words):
        files.write_text(tmp_path / "a", "x")
    assert not list(tmp_path.iterdir())


def test_a_really_full_disk_is_explained() -> None:
    with pytest.raises(OutputError, match="the disk is full"), files.writing("/dev/full"), open("/dev/full", "w") as file:  # fmt: skip
        file.write("x")
        file.flush()


def test_a_directory_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match="a file of that name is there"):
        files.make_directory(tmp_path / "a")
    with pytest.raises(OutputError, match="not a directory"):
        files.write_text(tmp_path / "a/b/c", "x")


def test_json_is_read_back_and_damage_is_named(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"ä": [1, 2.5, None]})
    assert files.read_json(tmp_path / "a.json") == {"ä": [1, 2.5, None]}
    (tmp_path / "b.json").write_text('{"a":')
    with pytest.raises(InputError, match=r"b\.json cannot be read as JSON"):
        files.read_json(tmp_path / "b.json")
    with pytest.raises(InputError, match="There is no file"):
        files.read_json(tmp_path / "c.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "d.json", {"loss": float("nan")})


def test_the_hash_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _hold(path: Path, ready: object) -> None:
    with files.exclusive(path, "it"):
        ready.set()  # type: ignore[attr-defined]
        signal.pause()


def test_a_lock_is_refused_to_others_and_dies_with_its_holder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path / ".lock", ready))
    process.start()
    assert ready.wait(60)
    with pytest.raises(OutputError, match="Another process is working on it"), files.exclusive(tmp_path / ".lock", "it"):  # fmt: skip
        pass
    process.kill()
    process.join()
    with files.exclusive(tmp_path / ".lock", "it"):
        pass
