"""Weights on their way here: from a hub or mirror, over interruptions, never with wrong bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server import Hub

from synthface import files, zoo
from synthface.errors import InputError, MissingWeightsError, OutputError
from synthface.zoo import places
from synthface.zoo.catalogue import File, Model
from synthface.zoo.pull import amount, bring, pull, verify

WEIGHTS, CONFIG = "net/weights.bin", "net/config.json"


def content(model: Model, path: str) -> bytes:
    return (places.folder(model) / path).read_bytes()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client waits no second between its tries, and passes on what it has in small pieces."""
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)


def test_a_pull_brings_every_file_and_records_source_size_and_hash(model: Model, hub: Hub) -> None:
    assert pull(model) == [CONFIG, WEIGHTS]
    for file in model.files:
        assert content(model, file.path) == hub.files["people/tiny", file.path]
    record = places.record(model)
    assert (record["revision"], record["origin"], record["repository"]) == (model.revision, hub.address, "people/tiny")
    for path, known in record["files"].items():
        assert known == {
            "size": len(content(model, path)),
            "sha256": hashlib.sha256(content(model, path)).hexdigest(),
            "modified": (places.folder(model) / path).stat().st_mtime_ns,
        }
    assert zoo.weights("tiny") == places.folder(model) / "net"
    assert zoo.find("tiny") == places.folder(model) / "net"
    assert not list(places.folder(model).rglob("*.part"))


def test_the_pinned_revision_is_asked_for(model: Model, hub: Hub) -> None:
    pull(model)
    assert all(f"/resolve/{model.revision}/" in path for method, path, _ in hub.served if method == "HEAD")
    hub.revision = "f" * 40  # the repository moved on and forgot the pinned revision
    shutil.rmtree(places.folder(model))
    with pytest.raises(MissingWeightsError, match=r"net/config\.json does not exist \(any more\)"):
        pull(model)


@pytest.mark.parametrize("known", ["right", "wrong"])
def test_a_model_off_the_hub_is_checked_by_the_beginning_of_its_hash_and_never_told_the_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    body = b"weights" * 1_000
    digest = hashlib.sha256(body).hexdigest()
    beginning = digest[:8] if known == "right" else "00000000"
    file = File(f"checkpoints/net-{beginning}.pth", sha256=beginning)
    hub.files["people/net", Path(file.path).name] = body
    url = f"{hub.address}/people/net/resolve/{hub.revision}"
    model = Model("net", "metric", "A network", "people/net", "1", (file,), "MIT", "Only for measuring.", url=url)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    if known == "wrong":
        with pytest.raises(InputError, match="the catalogue says 00000000"):
            pull(model)
        assert verify(model) == {file.path: "missing"}
    else:
        assert pull(model) == [file.path]
        assert places.record(model)["files"][file.path]["sha256"] == digest
        assert verify(model) == {file.path: "right"}
    assert hub.with_token == []


def test_what_is_here_is_not_downloaded_again(model: Model, hub: Hub) -> None:
    pull(model)
    before = len(hub.served)
    assert pull(model) == []
    assert len(hub.served) == before


@pytest.mark.usefixtures("impatient")
def test_a_broken_connection_is_taken_up_where_it_broke(model: Model, hub: Hub) -> None:
    hub.send_at_most = 120_000
    assert WEIGHTS in pull(model)
    ranges = [wanted for path, wanted in hub.gets() if path.endswith("weights.bin")]
    assert ranges == [None, "bytes=120000-", "bytes=240000-"]


@pytest.mark.usefixtures("impatient")
def test_an_interrupted_pull_goes_on_in_the_next_process(model: Model, hub: Hub) -> None:
    """Killed while the hub had sent 120,000 of 300,000 bytes."""
    hub.send_at_most, hub.stall = 120_000, True
    program = (
        "import sys\nfrom huggingface_hub import constants\nconstants.DOWNLOAD_CHUNK_SIZE = 10_000\n"
        "from synthface.zoo import catalogue, pull\nfrom synthface.zoo.catalogue import File, Model\n"
        f"pull.pull({model!r}, tell=lambda _: None)"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    assert hub.stalled.wait(60)
    part = _wait_for_part(model, 120_000)
    process.send_signal(signal.SIGKILL)
    process.wait()
    hub.go_on.set()
    hub.send_at_most, hub.served = None, []
    with pytest.raises(MissingWeightsError):
        zoo.weights("tiny")
    assert pull(model) == [WEIGHTS]
    assert [wanted for path, wanted in hub.gets() if path.endswith("weights.bin")] == ["bytes=120000-"]
    assert not part.exists()
    assert verify(model) == {CONFIG: "right", WEIGHTS: "right"}


def _wait_for_part(model: Model, size: int) -> Path:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for part in places.folder(model).rglob("*.part"):
            if part.name.startswith(".weights") and part.stat().st_size >= size:
                return part
        time.sleep(0.02)
    raise AssertionError("nothing was downloaded")


@pytest.mark.usefixtures("impatient")
def test_a_hub_that_falls_silent_is_told_with_the_way_on(
    model: Model, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.send_at_most = 0
    with pytest.raises(
        MissingWeightsError, match=r"stopped in net/config\.json after 0 B.*pull tiny` goes on from there"
    ):
        pull(model)


def test_a_wrong_hash_is_refused_and_nothing_is_kept(model: Model, hub: Hub) -> None:
    hub.corrupt = {"weights.bin"}
    with pytest.raises(InputError, match=r"weights\.bin came with hash .*, and the catalogue says .*is not used"):
        pull(model)
    assert not (places.folder(model) / WEIGHTS).exists()
    assert not list(places.folder(model).rglob("*.part"))
    hub.corrupt = set()
    assert pull(model) == [WEIGHTS]


def test_a_file_without_a_known_hash_must_have_the_hubs(model: Model, hub: Hub) -> None:
    hub.corrupt = {"config.json"}
    with pytest.raises(InputError, match=r"config\.json came with hash .*, and the hub says"):
        pull(model)
    assert not (places.folder(model) / CONFIG).exists()


def test_what_was_recorded_at_the_first_pull_must_come_again(model: Model, hub: Hub) -> None:
    pull(model)
    (places.folder(model) / CONFIG).unlink()
    hub.files["people/tiny", CONFIG] = b'{"hidden_size": 9}\n'
    with pytest.raises(InputError, match="and the record of the first pull says"):
        pull(model)


@pytest.mark.parametrize(("path", "state"), [(CONFIG, "changed"), (WEIGHTS, "changed"), (CONFIG, "half"), (WEIGHTS, "half")])  # fmt: skip
def test_changed_and_half_files_are_found_and_mended(model: Model, hub: Hub, path: str, state: str) -> None:
    pull(model)
    whole = content(model, path)
    (places.folder(model) / path).write_bytes(whole[:-3] if state == "half" else bytes(len(whole)))
    assert verify(model)[path] == state
    refusal = (
        (MissingWeightsError, "1 of 2 files is missing") if state == "half" else (InputError, "no longer the file")
    )
    with pytest.raises(refusal[0], match=refusal[1]):
        zoo.weights("tiny")
    said: list[str] = []
    assert pull(model, tell=said.append) == [path]
    assert said[0] == f"tiny: {path} is {state}; it is replaced."
    assert content(model, path) == whole


def test_a_file_is_hashed_again_only_where_it_was_written_to(
    model: Model, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(model)
    hashed: list[Path] = []
    real = files.sha256_file
    monkeypatch.setattr(files, "sha256_file", lambda path: hashed.append(path) or real(path))
    zoo.weights("tiny")
    assert hashed == []
    os.utime(places.folder(model) / WEIGHTS)
    for _ in range(2):
        zoo.weights("tiny")
    assert hashed == [places.folder(model) / WEIGHTS]


@pytest.mark.parametrize("record", [{"files": {CONFIG: {}}}, {"files": []}, []])
def test_a_record_that_is_none_is_said(model: Model, record: object) -> None:
    files.write_json(files.make_directory(places.folder(model)) / places.RECORD, record)
    with pytest.raises(InputError, match="is not a record of pulled files"):
        zoo.weights("tiny")


def test_files_brought_by_hand_count_and_are_recorded(model: Model, hub: Hub) -> None:
    for file in model.files:
        place = places.place(model, file)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(hub.files["people/tiny", file.path])
    assert zoo.weights("tiny") == places.folder(model) / "net"
    assert verify(model) == {CONFIG: "recorded", WEIGHTS: "right"}
    assert verify(model) == {CONFIG: "right", WEIGHTS: "right"}
    assert hub.served == []


@pytest.mark.parametrize("layout", ["repository", "side by side"])
def test_a_local_folder_is_a_source(model: Model, hub: Hub, tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "usb"
    for (_, path), data in hub.files.items():
        target = folder / (path if layout == "repository" else Path(path).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    assert bring(model, folder) == [CONFIG, WEIGHTS]
    assert verify(model) == {CONFIG: "right", WEIGHTS: "right"}
    assert hub.served == []


def test_a_local_folder_that_lacks_a_file_or_has_a_wrong_one_is_told(model: Model, hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "usb" / "net"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(hub.files["people/tiny", CONFIG])
    with pytest.raises(MissingWeightsError, match=r"The folder .*usb does not have them either.*(?s:.)*weights\.bin"):
        bring(model, tmp_path / "usb")
    (folder / "weights.bin").write_bytes(b"half")
    with pytest.raises(InputError, match="the catalogue says"):
        bring(model, tmp_path / "usb")
    with pytest.raises(InputError, match="There is no folder"):
        bring(model, tmp_path / "none")


def test_offline_nothing_is_asked_and_every_file_is_named_with_its_place(
    model: Model, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingWeightsError) as caught:
        pull(model)
    assert hub.served == []
    text = str(caught.value)
    assert "2 of 2 files are missing. The offline mode is on, so nothing was downloaded." in text
    for file in model.files:
        url = f"{hub.address}/people/tiny/resolve/{model.revision}/{file.path}"
        assert f"\n  {url}\n    → {places.place(model, file)}" in text


def test_without_network_the_error_says_which_files_to_put_where(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(MissingWeightsError) as caught:
        pull(model)
    text = str(caught.value)
    assert "http://127.0.0.1:9 cannot be reached: " in text
    assert "--from FOLDER" in text
    for file in model.files:
        assert (
            f"http://127.0.0.1:9/people/tiny/resolve/{model.revision}/{file.path}\n    → {places.place(model, file)}"
            in text
        )


@pytest.mark.parametrize(("status", "words"), [(401, "log in with `hf auth login`"), (403, "log in"), (404, "any more"),
                                               (500, "cannot be reached")])  # fmt: skip
def test_refusals_of_the_hub_are_told(model: Model, hub: Hub, status: int, words: str) -> None:
    hub.status = status
    with pytest.raises(MissingWeightsError) as caught:
        pull(model)
    assert words in str(caught.value)


def test_a_full_disk_is_told_before_the_download(model: Model, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(OutputError, match=r"has 1 kB free; 300 kB more are needed.*SYNTHFACE_MODELS"):
        pull(model)
    assert not [path for path, _ in hub.gets() if path.endswith("weights.bin")]


def test_a_beginning_of_other_content_is_not_gone_on_with(model: Model, hub: Hub) -> None:
    stale = places.folder(model) / "net" / ".weights.bin.0000000000000000.part"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"other")
    pull(model)
    assert not stale.exists()
    assert verify(model)[WEIGHTS] == "right"


def test_a_beginning_longer_than_the_whole_is_begun_anew(model: Model, hub: Hub) -> None:
    digest = hashlib.sha256(hub.files["people/tiny", WEIGHTS]).hexdigest()
    part = places.folder(model) / "net" / f".weights.bin.{digest[:16]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(400_000))
    pull(model)
    assert verify(model)[WEIGHTS] == "right"


def test_a_token_is_for_the_hub_and_not_for_where_it_redirects_to(
    model: Model, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pull(model)
    assert any("/resolve/" in path for path in hub.with_token)
    assert not any(path.startswith("/store/") for path in hub.with_token)
    assert any(path.startswith("/store/") for path, _ in hub.gets())


@pytest.mark.parametrize(("size", "text"), [(None, "size unknown"), (5, "5 B"), (1_780, "1.78 kB"), (16_923_827, "16.9 MB"),
                                            (3_440_000_000, "3.44 GB")])  # fmt: skip
def test_amounts_are_short(size: int | None, text: str) -> None:
    assert amount(size) == text
