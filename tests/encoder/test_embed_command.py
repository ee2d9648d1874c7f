"""`synthface embed` as its users meet it: every kind of input, every kind of interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoder_samples import DIMENSION, class_folders, crop, dark_with_squares, jpeg, record_folder, write_jpeg

from synthface.encoder import formats, open_encoder
from synthface.encoder import recognise as recognising
from synthface.identity.embeddings import open_embeddings

Run = Callable[..., Any]


@pytest.fixture
def embed(synthface: Run, networks: Path) -> Run:
    """`synthface embed` with the tiny recogniser."""
    return lambda *arguments: synthface("embed", *arguments, "--encoder", networks / "encoder.onnx")


def with_detector(networks: Path) -> tuple[object, ...]:
    return ("--detector", networks / "detector.onnx", "--set", "encoder.detection_threshold=0.9")


def test_aligned_crops_of_class_folders_get_rows_labels_and_indices(embed: Run, networks: Path, tmp_path: Path) -> None:
    root = class_folders(tmp_path / "faces", 4, 3)
    done = embed(root, "--out", "emb.npz", "--set", "encoder.block=5")
    assert done.code == 0
    assert "emb.npz: 12 embeddings of 4 people, dimension 16, from 12 pictures" in done.out
    assert "images/s" in done.out
    from synthface.encoder import pictures

    expected = open_encoder(networks / "encoder.onnx").embed(
        np.stack([pictures.load(path, 10**6) for path in sorted(root.rglob("*.jpg"))])
    )
    with np.load("emb.npz") as file:
        np.testing.assert_array_equal(file["embeddings"], expected)
        assert file["labels"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
        assert file["indices"].tolist() == list(range(12))
    assert not list(tmp_path.glob(".*part"))


@pytest.mark.parametrize("suffix", formats.SUFFIXES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_format_holds_the_same_rows(embed: Run, tmp_path: Path, suffix: str, dtype: str) -> None:
    root = class_folders(tmp_path / "faces", 2, 2)
    assert embed(root, "--out", f"emb{suffix}", "--set", f"encoder.dtype={dtype}").code == 0
    assert embed(root, "--out", "plain.npz").code == 0
    tolerance = 2e-3 if dtype == "float16" else 0
    np.testing.assert_allclose(
        open_embeddings([f"emb{suffix}"]).load(), open_embeddings(["plain.npz"]).load(), atol=tolerance
    )


def test_records_skip_detection_and_keep_their_labels(embed: Run, networks: Path, tmp_path: Path) -> None:
    labels = [0, 0, 1, 2, 2]
    folder = record_folder(tmp_path, labels)
    content = embed(folder, "--out", "emb.npz", *with_detector(networks), "--json").json
    assert (content["embeddings"], content["people"], content["detector"], content["padding"]) == (5, 3, None, {})
    assert np.load("emb.npz")["labels"].tolist() == labels


def test_a_damaged_record_is_counted_and_the_indices_tell_which(embed: Run, tmp_path: Path) -> None:
    folder = record_folder(tmp_path, [0, 0, 1, 2, 2], damaged=2)
    content = embed(folder, "--out", "emb.npz", "--json").json
    assert (content["embeddings"], content["skipped"]) == (4, {"damaged picture": 1})
    assert np.load("emb.npz")["indices"].tolist() == [0, 1, 3, 4]
    assert Path("emb.npz.skipped.tsv").read_text().endswith("key 3\tdamaged picture\n")


def test_photographs_are_searched_cut_and_counted_by_reason(embed: Run, networks: Path, tmp_path: Path) -> None:
    write_jpeg(tmp_path / "photos/one.jpg", dark_with_squares([(8, 16, 8)]))
    write_jpeg(tmp_path / "photos/two.jpg", dark_with_squares([(8, 16, 8), (48, 48, 8)]))
    write_jpeg(tmp_path / "photos/none.jpg", dark_with_squares([]))
    (tmp_path / "photos/text.jpg").write_text("hello")
    (tmp_path / "photos/half.jpg").write_bytes(jpeg(crop(0))[:-300])
    (tmp_path / "photos/empty.jpg").touch()
    done = embed("photos", "--out", "emb.safetensors", *with_detector(networks), "--json").json
    reasons = {"no face": 1, "not a picture": 1, "damaged picture": 1, "empty file": 1}
    assert done["skipped"] == reasons
    assert (done["embeddings"], done["several_faces"], done["padding"]) == (2, 1, {"0": 2})
    assert done["padded_share"] == 0.0
    facts = formats.read_facts(Path("emb.safetensors"))
    assert facts is not None
    assert facts["skipped"] == reasons
    assert facts["task"]["detection_threshold"] == 0.9
    listed = dict(line.split("\t") for line in Path("emb.safetensors.skipped.tsv").read_text().splitlines())
    assert {Path(name).name: reason for name, reason in listed.items()} == {
        "none.jpg": "no face", "text.jpg": "not a picture", "half.jpg": "damaged picture", "empty.jpg": "empty file",
    }  # fmt: skip


def test_a_batching_detector_gives_the_same_rows(
    embed: Run, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: whole batches, the next pictures decoded meanwhile."""
    for number in range(20):
        squares = [(8 * (number % 5), 16, 8)] if number % 4 else []
        write_jpeg(tmp_path / f"photos/{number:02}.jpg", dark_with_squares(squares))
    (tmp_path / "photos/05.jpg").write_text("hello")
    (tmp_path / "photos/21.jpg").write_bytes(jpeg(dark_with_squares([(16, 16, 8)])))
    assert embed("photos", "--out", "single.npz", *with_detector(networks)).code == 0
    from synthface.encoder import network

    init = network.Network.__init__
    monkeypatch.setattr(
        network.Network,
        "__init__",
        lambda self, path, device=None, batched=None, batch_setting="": init(self, path, device, True, batch_setting),
    )
    for batch in (1, 3, 8):
        batching = ("--set", f"encoder.detection_batch={batch}", "--set", "encoder.block=7")
        assert embed("photos", "--out", f"batch{batch}.npz", *with_detector(networks), *batching).code == 0
        one, other = np.load("single.npz"), np.load(f"batch{batch}.npz")
        np.testing.assert_array_equal(one["indices"], other["indices"])
        np.testing.assert_allclose(one["embeddings"], other["embeddings"], atol=1e-3)


def test_a_photograph_without_a_detector_is_not_squeezed_into_a_crop(embed: Run, tmp_path: Path) -> None:
    write_jpeg(tmp_path / "photo.jpg", crop(0, 200)[:150])
    done = embed("photo.jpg", "--out", "emb.npz")
    assert done.code == 1
    assert "photo.jpg has 200×150 pixels: an aligned crop is square. Name a face detector" in done.err
    assert not Path("emb.npz").exists()


def test_aligned_switches_the_recipes_detector_off(embed: Run, networks: Path, tmp_path: Path) -> None:
    root = class_folders(tmp_path / "faces", 2, 2)
    setting = ("--set", f"encoder.detector={networks / 'detector.onnx'}")
    assert embed(root, "--out", "a.npz", "--aligned", *setting, "--json").json["detector"] is None
    assert embed(root, "--out", "b.npz", "--aligned", "--detector", "scrfd").code == 2


def test_average_gives_one_vector_a_person(embed: Run, tmp_path: Path) -> None:
    root = class_folders(tmp_path / "faces", 3, 4)
    assert embed(root, "--out", "all.npz").code == 0
    done = embed(root, "--out", "people.npz", "--average")
    assert "people.npz: 3 embeddings of 3 people" in done.out
    everyone, people = np.load("all.npz"), np.load("people.npz")
    unit = everyone["embeddings"] / np.linalg.norm(everyone["embeddings"], axis=1, keepdims=True)
    np.testing.assert_allclose(people["embeddings"], unit.reshape(3, 4, DIMENSION).mean(axis=1), atol=1e-6)
    assert (people["labels"].tolist(), people["counts"].tolist()) == ([0, 1, 2], [4, 4, 4])


def test_photographs_named_together_are_one_person_and_each_folder_another(embed: Run, tmp_path: Path) -> None:
    paths = [write_jpeg(tmp_path / f"{number}.jpg", crop(number)) for number in range(3)]
    for number in range(2):
        write_jpeg(tmp_path / f"album/{number}.jpg", crop(10 + number))
    assert embed(*paths, "album", "--out", "people.safetensors", "--average").code == 0
    assert len(open_embeddings(["people.safetensors"])) == 2
    assert open_embeddings(["people.safetensors"]).labels_N is None


@pytest.mark.parametrize("average", [False, True])
def test_interrupted_at_any_block_the_same_command_ends_with_the_same_bytes(
    embed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, average: bool
) -> None:
    root = class_folders(tmp_path / "faces", 5, 3)
    (root / "person_01" / "1.jpg").write_text("no picture")
    options = ("--set", "encoder.block=4", *(["--average"] if average else []))
    assert embed(root, "--out", "whole.npz", *options).code == 0
    embedding, calls = recognising.OnnxEncoder.embed, []

    def interrupted(self: Any, image_BHWC: np.ndarray) -> np.ndarray:
        calls.append(len(image_BHWC))
        if len(calls) in (1, 3, 6):
            raise KeyboardInterrupt
        return embedding(self, image_BHWC)

    monkeypatch.setattr(recognising.OnnxEncoder, "embed", interrupted)
    codes = []
    while not Path("cut.npz").exists():
        codes.append(embed(root, "--out", "cut.npz", *options).code)
        assert len(codes) < 9
    assert codes == [130, 130, 130, 0]
    assert sum(calls) == 14 + 4 + 3 + 3  # nothing finished was done again: 14 good pictures, and what was cut off
    assert Path("cut.npz").read_bytes() == Path("whole.npz").read_bytes()
    assert Path("cut.npz.skipped.tsv").read_bytes() == Path("whole.npz.skipped.tsv").read_bytes()


def test_killed_it_goes_on(embed: Run, networks: Path, tmp_path: Path) -> None:
    root = class_folders(tmp_path / "faces", 5, 4)
    options = [
        "--encoder",
        str(networks / "encoder.onnx"),
        "--set",
        "encoder.block=4",
        "--set",
        "encoder.save_every=1e-9",
    ]
    program = (
        "import os, signal, sys\nfrom synthface.encoder import recognise\nfrom synthface.cli import cli\n"
        "embed, calls = recognise.OnnxEncoder.embed, []\n"
        "def killed(self, images):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return embed(self, images)\n"
        "recognise.OnnxEncoder.embed = killed\nsys.exit(cli.run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "embed", str(root), "--out", "cut.npz", *options]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    state = json.loads(Path(".cut.npz.part/state.json").read_text())
    assert state["tally"]["seen"] == 12
    done = embed(root, "--out", "cut.npz", *options[2:])
    assert "Going on after picture 12 of 20." in done.err
    assert embed(root, "--out", "whole.npz", *options[2:]).code == 0
    assert Path("cut.npz").read_bytes() == Path("whole.npz").read_bytes()


def test_killed_while_the_file_is_completed_it_is_completed_again(
    embed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folders(tmp_path / "faces", 2, 3)
    assert embed(root, "--out", "whole.safetensors").code == 0
    replace, names = os.replace, []

    def interrupted(source: Any, target: Any) -> None:
        names.append(Path(target).name)
        if names.count("cut.safetensors") == 1 and names[-1] == "cut.safetensors":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    assert embed(root, "--out", "cut.safetensors").code == 130
    assert not Path("cut.safetensors").exists()
    assert embed(root, "--out", "cut.safetensors").code == 0
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()


def test_what_is_finished_is_not_done_again_and_nothing_else_is_overwritten(embed: Run, tmp_path: Path) -> None:
    root = class_folders(tmp_path / "faces", 2, 2)
    for name in ("emb.npz", "emb.npy"):
        assert embed(root, "--out", name).code == 0
        before = Path(name).stat().st_mtime_ns
        again = embed(root, "--out", name, "--json").json
        assert (again["embeddings"], again["images_per_second"]) == (4, None)
        other = embed(root / "person_00", "--out", name)
        assert other.code == 1
        assert f"{name} exists already, and this command did not make it. Choose another --out" in other.err
        assert embed(root, "--out", name, "--average").code == 1
        assert Path(name).stat().st_mtime_ns == before


def test_a_beginning_made_of_other_pictures_is_refused(
    embed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folders(tmp_path / "faces", 2, 2)
    monkeypatch.setattr(recognising.OnnxEncoder, "embed", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert embed(root, "--out", "emb.npz").code == 130
    done = embed(root / "person_00", "--out", "emb.npz")
    assert done.code == 2
    assert "beginning of another embedding:\n  pictures: 4 there, 2 now" in done.err


def test_rows_that_have_no_direction_are_counted(embed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "faces", 2, 2)
    bad = np.ones((4, DIMENSION), np.float32)
    bad[1], bad[2, 3] = 0, np.nan
    monkeypatch.setattr(recognising.OnnxEncoder, "embed", lambda self, images: bad)
    assert embed(root, "--out", "emb.npz", "--json").json["skipped"] == {"embedding without direction": 2}
    assert np.load("emb.npz")["indices"].tolist() == [0, 3]


def test_when_no_picture_gives_an_embedding_it_fails_and_leaves_nothing(
    embed: Run, networks: Path, tmp_path: Path
) -> None:
    for number in range(3):
        write_jpeg(tmp_path / f"photos/{number}.jpg", dark_with_squares([]))
    done = embed("photos", "--out", "emb.npz", *with_detector(networks))
    assert done.code == 1
    assert "None of the 3 pictures gave an embedding: 3 no face. The first of them: No face was found in" in done.err
    alone = embed("photos/1.jpg", "--out", "emb.npz", *with_detector(networks))
    assert "No face was found in photos/1.jpg (margins tried: 0, 0.3, 0.6). Take a picture in which" in alone.err
    assert {path.name for path in tmp_path.iterdir()} == {"photos"}


def test_wrong_usage_is_told_before_any_work(embed: Run, tmp_path: Path) -> None:
    assert embed("nothing.jpg", "--out", "emb.npz").code == 1
    wrong_name = embed("nothing.jpg", "--out", "emb.txt")
    assert (wrong_name.code, wrong_name.out) == (2, "")
    class_folders(tmp_path / "faces", 2, 2)
    wrong_width = embed("faces", "--out", "emb.npz", "--set", "encoder.dimension=512")
    assert wrong_width.code == 2
    assert "gives 16 numbers, and encoder.dimension is 512" in wrong_width.err
    assert embed("faces", "--out", "emb.npz", "--device", "tpu").code == 2


def test_two_at_once_do_not_mix(embed: Run, tmp_path: Path) -> None:
    from synthface import files

    root = class_folders(tmp_path / "faces", 2, 2)
    with files.exclusive(Path(".emb.npz.part/.lock"), "it"):
        done = embed(root, "--out", "emb.npz")
    assert done.code == 1
    assert "Another process is working on emb.npz. Wait until it has finished, or choose another --out." in done.err


def test_the_picture_in_hand_bounds_the_memory(networks: Path, tmp_path: Path) -> None:
    """100 pictures of 3 MB each, decoded, would be 300 MB; what is added is far less."""
    data = jpeg(np.zeros((1_000, 1_000, 3), np.uint8))
    (tmp_path / "photos").mkdir()
    for number in range(100):
        (tmp_path / f"photos/{number:03}.jpg").write_bytes(data)
    program = (
        "import resource, sys\nfrom synthface.cli import cli\n"
        "def run(folder, out): return cli.run(['embed', folder, '--out', out, '--encoder', sys.argv[1], '--set', 'encoder.block=100'])\n"
        "import shutil, os\nos.mkdir('few'); shutil.copy('photos/000.jpg', 'few')\n"
        "assert run('few', 'few.npz') == 0\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert run('photos', 'all.npz') == 0\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(networks / "encoder.onnx")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout.splitlines()[-1]) < 80
