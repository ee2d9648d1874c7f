"""What a value means that stands for weights; nothing of it is downloaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hub_server import Hub

from synthface import zoo
from synthface.errors import MissingWeightsError
from synthface.generator.layout import local_folder
from synthface.generator.lora import lora_file
from synthface.zoo import places
from synthface.zoo.catalogue import Model
from synthface.zoo.pull import pull


def test_a_name_and_a_hub_id_mean_what_was_pulled(model: Model, hub: Hub) -> None:
    for value in ("tiny", "people/tiny"):
        with pytest.raises(MissingWeightsError, match="synthface models pull tiny"):
            zoo.find(value, "encoder")
    assert hub.served == []
    pull(model)
    assert zoo.find("tiny") == zoo.find("people/tiny", "encoder") == places.folder(model) / "net"
    assert zoo.named("people/tiny", "encoder") == "tiny"
    assert zoo.named("people/tiny", "lora") is None


def test_folders_of_the_user_are_themselves(model: Model) -> None:
    for name in ("people/tiny", "tiny"):
        Path(name).mkdir(parents=True)
    assert zoo.find("people/tiny", "encoder") == Path("people/tiny")
    assert zoo.find(Path("tiny"), "encoder") == Path("tiny")


@pytest.mark.parametrize("find", [lambda name: local_folder(name, "generator"), lora_file])
def test_a_hub_id_that_is_not_public_is_not_downloaded(find, model: Model, hub: Hub, tmp_path, monkeypatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeightsError, match="nothing is downloaded unasked") as caught:
        find("people/others")
    assert "`hf download people/others`" in caught.value.fix
    assert hub.served == []


def test_what_hf_download_fetched_is_found(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--people--others"
    (folder / "snapshots" / ("a" * 40)).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    assert zoo.find("people/others", "generator") == folder / "snapshots" / ("a" * 40)
    assert hub.served == []
    shutil.rmtree(folder)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MissingWeightsError, match="is a file where a folder"):
        local_folder(tmp_path / "file", "generator")
    with pytest.raises(MissingWeightsError, match="There is no folder or file nothing"):
        local_folder("nothing", "generator")
