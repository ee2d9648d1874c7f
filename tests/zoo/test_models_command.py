"""`synthface models`, and what the doctor tells of weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub

from synthface import recipe as recipes
from synthface.zoo import places
from synthface.zoo.catalogue import CATALOGUE, Model

Run = Callable[..., Any]


def test_the_list_tells_what_there_is_and_what_is_here(synthface: Run, hub: Hub) -> None:
    done = synthface("models", "list")
    assert done.code == 0
    for name, model in CATALOGUE.items():
        assert name in done.out
        assert model.licence in done.out
    assert synthface("models", "pull", "tiny", "--yes").code == 0
    listed = {model["name"]: model for model in synthface("models", "list", "--json").json["models"]}
    assert (listed["tiny"]["here"], listed["scrfd"]["here"]) == (True, False)
    assert listed["scrfd"]["missing"] == ["scrfd_10g_bnkps.onnx"]
    assert all(len(file["sha256"]) == 64 for file in listed["tiny"]["files"])


def test_details_of_one_model(synthface: Run) -> None:
    out = synthface("models", "list", "sd15-base").out
    for word in ("CreativeML OpenRAIL-M", CATALOGUE["sd15-base"].revision, "vae/config.json", "336 MB in all"):
        assert word in out
    unknown = synthface("models", "list", "scrfdd")
    assert unknown.code == 1
    assert "Did you mean 'scrfd'?" in unknown.err


def test_terms_are_shown_before_the_first_pull_and_must_be_agreed_to(
    synthface: Run, hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = synthface("models", "pull", "tiny")
    assert refused.code == 2
    for word in ("Do no harm with it.", "MIT", model.revision, hub.address, "net/weights.bin", "300 kB", "Say --yes"):
        assert word in refused.err
    assert hub.served == []

    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    answers = []
    monkeypatch.setattr("click.confirm", lambda *_, **__: answers.append(1) or len(answers) == 2)
    assert "not agreed to; nothing was pulled" in synthface("models", "pull", "tiny").err
    assert hub.served == []
    done = synthface("models", "pull", "tiny")
    assert done.code == 0
    assert done.out == f"tiny: {places.folder(model) / 'net'}\n"
    (places.folder(model) / "net/config.json").unlink()
    assert synthface("models", "pull", "tiny").code == 0  # agreed to before
    assert len(answers) == 2


def test_files_that_lie_there_by_hand_are_no_agreement(synthface: Run, hub: Hub, model: Model) -> None:
    path = places.folder(model) / "net/config.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(hub.files["people/tiny", "net/config.json"])
    assert synthface("models", "verify", "tiny").code == 1  # which puts it on record
    refused = synthface("models", "pull", "tiny")
    assert refused.code == 2
    assert "Do no harm with it." in refused.err
    assert hub.served == []


def test_pull_prints_json(synthface: Run, hub: Hub, model: Model) -> None:
    first = synthface("models", "pull", "tiny", "--yes", "--json").json
    assert first == {
        "pulled": {"tiny": ["net/config.json", "net/weights.bin"]},
        "places": {"tiny": str(places.folder(model) / "net")},
    }
    assert synthface("models", "pull", "tiny", "--json").json["pulled"] == {"tiny": []}
    assert "(was here)" in synthface("models", "pull", "tiny").out


def test_pull_from_a_folder(synthface: Run, hub: Hub, tmp_path: Path) -> None:
    for (_, path), data in hub.files.items():
        target = tmp_path / "usb" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    assert synthface("models", "pull", "tiny", "--from", "usb", "--yes").code == 0
    assert hub.served == []


def test_a_recipes_models_are_pulled_together(synthface: Run, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("encoder: {model: tiny}\n")
    assert synthface("models", "pull", "--recipe", "mine.yaml", "--yes", "--json").json["pulled"].keys() == {"tiny"}
    (tmp_path / "none.yaml").write_text("{}\n")
    assert "uses no public models" in synthface("models", "pull", "--recipe", "none.yaml").out
    nothing = synthface("models", "pull")
    assert nothing.code == 2
    assert "Give names" in nothing.err


def test_verify_tells_right_changed_and_half(synthface: Run, hub: Hub, model: Model) -> None:
    assert "There are none in" in synthface("models", "verify").out
    synthface("models", "pull", "tiny", "--yes")
    done = synthface("models", "verify", "--json")
    assert done.code == 0
    assert done.json == {"models": {"tiny": {"net/config.json": "right", "net/weights.bin": "right"}}, "ok": True}
    (places.folder(model) / "net/weights.bin").write_bytes(b"half")
    bad = synthface("models", "verify")
    assert bad.code == 1
    assert "half      tiny/net/weights.bin" in bad.out
    assert "Mend with: synthface models pull tiny" in bad.out
    assert synthface("models", "pull", "tiny").code == 0
    assert synthface("models", "verify", "tiny").code == 0


def test_the_doctor_tells_what_every_recipe_lacks(synthface: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("encoder: {model: arcface, detector: scrfd}\ngenerator: {model: arc2face}\n")
    done = synthface("doctor", "--recipe", "mine.yaml", "--json")
    assert done.code == 1
    findings = {finding["subject"]: finding for finding in done.json["findings"]}
    for name in ("arcface", "scrfd", "arc2face", "sd15-base"):
        assert findings[name]["state"] == "lack"
        assert findings[name]["advice"] == f"synthface models pull {name}"
    assert "synthface fit-prior" in findings["prior"]["advice"]
    for name in recipes.available():
        finding = findings[f"recipe {name}"]
        assert finding["state"] == "ok" or finding["advice"] == f"synthface doctor --recipe {name} tells more"
