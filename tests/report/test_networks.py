"""LPIPS and FID with weights of the right shape that nobody trained: what is tested is what is fed to them and how."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_samples import crop

from synthface.errors import MissingPackageError, MissingWeightsError
from synthface.identity import audit_spread
from synthface.identity.moments import Moments
from synthface.report import networks, style
from synthface.zoo import places
from synthface.zoo.catalogue import CATALOGUE


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo with both networks, filled with random numbers."""
    import torch
    import torchvision
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Extractor

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    alexnet = folder / networks.LPIPS_WEIGHTS / CATALOGUE[networks.LPIPS_WEIGHTS].files[0].path
    alexnet.parent.mkdir(parents=True)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), alexnet)
    inception = folder / networks.FID_WEIGHTS / CATALOGUE[networks.FID_WEIGHTS].files[0].path
    inception.parent.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:  # the extractor loads weights when it is made: give it its own
        patch.setattr(Extractor, "load_state_dict", lambda self, state: None)
        patch.setattr(torch, "load", lambda *_, **__: {})
        made = Extractor("inception-v3-compat", ["2048"], str(inception))
    torch.save(made.state_dict(), inception)
    return folder


@pytest.fixture
def zoo(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(places.VARIABLE, str(weights))
    monkeypatch.setenv("TORCH_HOME", str(weights / "empty"))  # nothing of this machine's cache is found by chance
    return weights


def no_network(*_: object, **__: object) -> None:
    raise AssertionError("a download was tried")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)


@pytest.mark.usefixtures("zoo")
def test_lpips_is_zero_for_equal_pictures_and_grows_with_their_difference() -> None:
    import torch

    before = torch.hub.get_dir()
    network = networks.Lpips("cpu")
    assert torch.hub.get_dir() == before
    image = crop(1, 0)
    changed = [np.clip(image.astype(int) + step, 0, 255).astype(np.uint8) for step in (0, 12, 60)]
    found = network.distances(np.stack([image] * 3), np.stack(changed))
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[0] < found[1] < found[2]


@pytest.mark.usefixtures("zoo")
def test_fid_is_the_frechet_distance_of_inceptions_features() -> None:
    made, real = [crop(k, 0) for k in range(6)], [crop(k, 1) for k in range(20, 26)]
    network = networks.Inception("cpu")
    features = [network.features(np.stack(images)).astype(np.float64) for images in (made, real)]
    assert features[0].shape == (6, 2048)
    moments = []
    for x in features:
        centred = x - x.mean(0)
        moments.append(Moments(len(x), x.mean(0), centred.T @ centred))
    expected = audit_spread.frechet_distance(*moments)
    assert network.distance(made, real, batch=4) == pytest.approx(expected, rel=1e-3)


@pytest.mark.usefixtures("zoo")
def test_an_audit_with_networks_measures_pairs_of_one_person_and_the_references(
    synthface: Callable[..., Any], people: Path, strangers: Path, encoder: Path
) -> None:
    result = synthface(
        "audit", people, "--encoder", encoder, "--reference", strangers, "--networks", "--out", "o", "--json",
        "--device", "cpu", "--set", "audit.perceptual_pairs=6", "--set", "audit.inception_images=8",
    )  # fmt: skip
    found = result.json["networks"]
    assert found["lpips"]["pairs"] == 6
    assert found["lpips"]["mean"] > 0
    assert (found["fid"]["images"], found["fid"]["real_images"]) == (8, 8)
    table = Path("o/audit.md").read_text()
    assert "| FID |" in table
    assert "| LPIPS within people |" in table


@pytest.mark.usefixtures("zoo")
def test_pictures_of_the_same_people_give_recall_in_inceptions_features_too(
    synthface: Callable[..., Any], people: Path, encoder: Path
) -> None:
    result = synthface(
        "audit", people, "--encoder", encoder, "--reference", people, "--same-people", "--networks", "--out", "o",
        "--json", "--device", "cpu", "--set", "audit.perceptual_pairs=2", "--set", "audit.inception_images=12",
    )  # fmt: skip
    found = result.json["networks"]["style_recall"]
    assert found == {
        "share": 1, "people": 2, "neighbours": 3, "space": "Inception's", "images": 10, "real_images": 10,
    }  # fmt: skip
    (line,) = [
        line for line in Path("o/audit.md").read_text().splitlines() if line.startswith("| D_intra, Inception |")
    ]
    assert "in Inception's space" in line


def test_an_embedding_file_is_refused_before_weights_are_asked_for(
    synthface: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "none"))
    np.savez("emb.npz", embeddings=np.eye(8), labels=np.arange(8) // 2)
    result = synthface("audit", "emb.npz", "--networks", "--out", "o")
    assert result.code == 2
    assert "the dataset is an embedding file" in result.err
    assert not Path("o").exists()


def test_people_are_drawn_whole_until_one_side_has_enough_pictures() -> None:
    made_N, real_M = np.repeat(np.arange(6), [5, 5, 5, 2, 5, 5]), np.repeat([0, 1, 2, 3, 4], 4)
    drawn = [style._drawn(made_N, real_M, 3, most, 0) for most in (3, 11, 100)]
    assert [len(person_P) for person_P in drawn] == [1, 2, 4]
    assert set(drawn[2]) == {0, 1, 2, 4}  # 3 has too few pictures, 5 no real ones
    assert drawn[0][0] == drawn[1][0] == drawn[2][0]


def test_missing_weights_are_told_before_anything_is_embedded(
    synthface: Callable[..., Any], people: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "none"))
    result = synthface("audit", people, "--encoder", encoder, "--networks", "--out", "o")
    assert result.code == 1
    assert "synthface models pull alexnet" in result.err
    assert not Path("o").exists()
    with pytest.raises(MissingWeightsError):
        networks.demand()


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "torchmetrics":
            raise ImportError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match=r"synthface\[metrics\]"):
        networks.demand()
