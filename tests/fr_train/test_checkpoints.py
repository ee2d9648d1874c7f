"""Checkpoints of every lineage give the official outputs; damaged and hostile files give a sentence."""

from __future__ import annotations

import argparse
import collections
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fr_train import backbones, checkpoints, weights
from fr_train.models import TorchEmbedder, open_model
from synthface.errors import InputError, UsageError


def near(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest distance of a row from its golden one, relative to its length."""
    return float(np.max(np.linalg.norm(actual - expected, axis=1) / np.linalg.norm(expected, axis=1)))


def agrees_with_the_official_code(file: Path, embedding_size: int) -> None:
    """Embeddings of the golden images as they are, with channels reversed, and mirrored."""
    network, info = checkpoints.load_backbone(file)
    assert (info.lineage, info.color, info.embedding_size, info.image_size) == ("adaface", "bgr", embedding_size, 112)
    assert not network.training
    with np.load(file.with_name(f"{file.stem}_io.npz")) as numbers, torch.no_grad():
        image_BCHW = torch.from_numpy(numbers["images"])
        raw_BD = network(image_BCHW).numpy()
        assert near(raw_BD, numbers["prenorm_output"]) < 1e-4
        norm_B1 = np.linalg.norm(raw_BD, axis=1, keepdims=True)
        np.testing.assert_allclose(norm_B1, numbers["norm"], rtol=1e-4)
        np.testing.assert_allclose(raw_BD / norm_B1, numbers["feature"], atol=1e-5)
        np.testing.assert_allclose(raw_BD / norm_B1, numbers["feature_f64"], atol=1e-5)
        swapped_BD = network(image_BCHW.flip(1)).numpy()
        assert near(swapped_BD, numbers["feature_channel_reversed"] * numbers["norm_channel_reversed"]) < 1e-4
        mirrored_BD = network(image_BCHW.flip(3)).numpy()
        assert near(mirrored_BD, numbers["feature_hflip"] * numbers["norm_hflip"]) < 1e-4
        fused_BD = raw_BD + mirrored_BD
        assert near(fused_BD, numbers["fused_flip_feature"] * np.linalg.norm(fused_BD, axis=1, keepdims=True)) < 1e-4


@pytest.mark.parametrize("file", ["irse_narrow.ckpt", "ir_narrow.safetensors"])
def test_adafaces_checkpoints_give_the_official_embeddings(golden: Path, file: str) -> None:
    agrees_with_the_official_code(golden / "adaface" / "backbone" / file, 128)


@pytest.mark.real
@pytest.mark.parametrize("file", ["irse_small.ckpt", "irse_small.safetensors"])
def test_a_checkpoint_of_the_full_width_gives_them_too(real_data: Path, file: str) -> None:
    """Widths 64 to 512 and a 512-d embedding, a block a stage, stored in eight and sixteen bits: 23 MB, beside the real data."""
    path = real_data.parent / "golden" / "adaface" / "backbone" / file
    agrees_with_the_official_code(path, 512)


@pytest.mark.parametrize("name", ["iresnet_narrow", "mbf_narrow"])
def test_insightfaces_checkpoints_give_the_official_embeddings(golden: Path, name: str) -> None:
    model = open_model(golden / "insightface" / f"{name}.pt", device="cpu")
    assert (model.color, model.image_size) == ("rgb", 112)
    image_BHWC = np.random.RandomState(7).randint(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    with np.load(golden / "insightface" / f"{name}_io.npz") as numbers:
        assert near(model(image_BHWC), numbers["embedding"]) < 1e-4


def test_a_network_trained_on_bgr_is_fed_bgr_whatever_the_caller_has(golden: Path) -> None:
    file = golden / "adaface" / "backbone" / "irse_narrow.ckpt"
    image_BHWC = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    stated, other = open_model(file, device="cpu"), open_model(file, color="rgb", device="cpu")
    np.testing.assert_array_equal(stated(image_BHWC), other(image_BHWC[..., ::-1]))
    with pytest.raises(UsageError, match="no channel order 'grb'"):
        open_model(file, color="grb")


@pytest.mark.parametrize(("prefix", "lineage", "color"), [
    ("net.", "cvlface", "rgb"), ("model.net.", "cvlface", "rgb"), ("model.", "adaface", "bgr"),
    ("subnet.", "adaface", "bgr"), ("", "adaface", "bgr"),
])  # fmt: skip
def test_cvlface_keeps_adafaces_network_as_net_and_feeds_it_rgb(
    golden: Path, tmp_path: Path, prefix: str, lineage: str, color: str
) -> None:
    state = torch.load(golden / "adaface" / "backbone" / "irse_narrow.ckpt", weights_only=True)["state_dict"]
    own = {prefix + key.removeprefix("model."): part for key, part in state.items() if key.startswith("model.")}
    torch.save(own, tmp_path / "model.pt")
    _, info = checkpoints.load_backbone(tmp_path / "model.pt")
    assert (info.lineage, info.color, open_model(tmp_path / "model.pt", device="cpu").color) == (lineage, color, color)


def test_lightning_callbacks_and_arguments_beside_the_weights_do_no_harm(golden: Path, tmp_path: Path) -> None:
    content = torch.load(golden / "adaface" / "backbone" / "irse_narrow.ckpt", weights_only=True)
    content["hyper_parameters"] = argparse.Namespace(lr=0.1, arch="ir_se")
    content["callbacks"] = collections.defaultdict(dict)
    torch.save(content, tmp_path / "lightning.ckpt")
    _, info = checkpoints.load_backbone(tmp_path / "lightning.ckpt")
    assert info.backbone.startswith("AdaFace's IResNet with squeeze-and-excitation")


def test_weights_under_a_wrappers_prefix_are_found(golden: Path, tmp_path: Path) -> None:
    state = torch.load(golden / "insightface" / "iresnet_narrow.pt", weights_only=True)
    torch.save({"state_dict_backbone": {f"module.net.{key}": part for key, part in state.items()}}, tmp_path / "a.pt")
    _, info = checkpoints.load_backbone(tmp_path / "a.pt")
    assert info.lineage == "insightface"


def test_what_does_not_fit_is_listed_tensor_by_tensor(golden: Path, tmp_path: Path) -> None:
    state = torch.load(golden / "insightface" / "iresnet_narrow.pt", weights_only=True)
    del state["layer3.0.bn1.weight"]
    state["layer2.0.conv2.weight"] = state["layer2.0.conv2.weight"][:-1]
    state["layer2.0.extra"] = torch.zeros(3)
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(InputError) as caught:
        checkpoints.load_backbone(tmp_path / "bad.pt")
    message = str(caught.value)
    assert "does not fit its network in 3 tensors" in message
    assert "missing stages.2.0.norm1.weight 16" in message
    assert "unknown stages.1.0.extra 3" in message
    assert "stages.1.0.conv2.weight is 15×16×3×3 where the network has 16×16×3×3" in message


def test_a_head_of_another_size_does_not_fit(tmp_path: Path) -> None:
    network = backbones.build("small", 32)
    content = {"backbone": "small", "embedding_size": 64, "color": "rgb", "model": network.state_dict()}
    checkpoints.save(tmp_path / "model.pt", content)
    with pytest.raises(InputError, match=r"output\.fc\.weight is 32×3136 where the network has 64×3136"):
        checkpoints.load_backbone(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({"model": 5}, "its model is no dict of tensors"),
        ({"model": {"output.fc.weight": 3}}, "its model is no dict of tensors"),
        ({"backbone": 3}, "its backbone is a int instead of a name"),
        ({"embedding_size": -1}, "its embeddings would have -1 dimensions"),
        ({"embedding_size": "many"}, "its embedding_size or image_size is no number"),
        ({"embedding_size": torch.zeros(2)}, "its embedding_size or image_size is no number"),
        ({"image_size": 64}, "its images 64 pixels a side"),
        ({"color": "xyz"}, "its color is neither rgb nor bgr"),
    ],
)
def test_a_damaged_checkpoint_of_ours_is_a_sentence(tmp_path: Path, damage: dict[str, Any], sentence: str) -> None:
    content = {
        "backbone": "small",
        "embedding_size": 16,
        "color": "rgb",
        "model": backbones.build("small", 16).state_dict(),
    }
    checkpoints.save(tmp_path / "model.pt", {**content, **damage})
    with pytest.raises(InputError, match=rf"model\.pt is damaged: .*{sentence}"):
        open_model(tmp_path / "model.pt", device="cpu")
    torch.save({"format": checkpoints.FORMAT}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt is damaged: it has no 'backbone'"):
        open_model(tmp_path / "model.pt", device="cpu")


def test_a_foreign_layer_without_channels_is_a_sentence(golden: Path, tmp_path: Path) -> None:
    state = torch.load(golden / "insightface" / "iresnet_narrow.pt", weights_only=True)
    for key, shape in (("layer4.0.conv1.weight", (0, 64, 3, 3)), ("conv1.weight", (0, 3, 3, 3))):
        torch.save({**state, key: torch.zeros(shape)}, tmp_path / "a.pt")
        with pytest.raises(InputError, match="cannot be told from its weights: a layer of it has no channels"):
            checkpoints.load_backbone(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({0: torch.zeros(1)}, "holds no weights by name, but a dict"),
        ({"weights": {"conv.weight": torch.zeros(1)}}, "holds no weights by name, but a dict"),
        ({"encoder.conv.weight": torch.zeros(1)}, "holds no network that is known here; its keys begin with encoder"),
        ([1, 2], "holds no weights by name, but a list"),
        ({"layer1.0.conv1.weight": torch.zeros(8, 8, 3, 3)}, "cannot be told from its weights: it lacks"),
    ],
)
def test_files_of_other_networks_are_named_as_such(tmp_path: Path, content: object, sentence: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match=sentence):
        checkpoints.load_backbone(tmp_path / "other.pt")


class Evil:
    """Unpickled by an unsafe reader, it leaves a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_holds_code_is_refused_and_leaves_no_trace(tmp_path: Path, legacy: bool) -> None:
    trace, file = tmp_path / "trace", tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "hook": Evil(trace)}, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError, match="is refused"):
        checkpoints.load_backbone(file)
    assert not trace.exists()


def test_a_plain_pickle_with_code_leaves_no_trace_either(tmp_path: Path) -> None:
    trace, file = tmp_path / "trace", tmp_path / "evil.pt"
    file.write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(InputError):
        checkpoints.load_backbone(file)
    assert not trace.exists()


def test_no_checkpoint_a_folder_and_a_torn_file_are_one_sentence_each(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no checkpoint"):
        checkpoints.load_backbone(tmp_path / "absent.pt")
    with pytest.raises(InputError, match="is a directory where a checkpoint was expected"):
        checkpoints.load_backbone(tmp_path)
    for name in ("adaface/backbone/irse_narrow.ckpt", "adaface/backbone/ir_narrow.safetensors"):
        whole = (golden / name).read_bytes()
        torn = tmp_path / f"torn{Path(name).suffix}"
        torn.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match="cannot be read as a checkpoint"):
            checkpoints.load_backbone(torn)


def test_only_a_checkpoint_of_ours_can_be_read_whole(golden: Path) -> None:
    with pytest.raises(InputError, match="is not a checkpoint of synthface"):
        checkpoints.read(golden / "insightface" / "mbf_narrow.pt")


def test_float16_safetensors_keep_embeddings_and_say_what_they_are(
    narrow: Callable[[str], nn.Module], tmp_path: Path
) -> None:
    network = narrow("small").eval()
    image_BHWC = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), dtype=np.uint8)
    before_BD = TorchEmbedder(network, "before", "bgr")(image_BHWC)
    path = tmp_path / "recogniser.safetensors"
    weights.save(path, network, backbone="small", color="bgr", facts={"licence": "Apache-2.0"})
    _, info = checkpoints.load_backbone(path)
    assert (info.lineage, info.backbone, info.embedding_size, info.color) == ("synthface", "small", 16, "bgr")
    after_BD = open_model(path, device="cpu")(image_BHWC)
    cosine_B = np.sum(before_BD * after_BD, 1) / np.linalg.norm(before_BD, axis=1) / np.linalg.norm(after_BD, axis=1)
    assert cosine_B.min() > 0.9999
    assert path.stat().st_size < 2.1 * sum(part.numel() for part in network.parameters()) + 20_000


def test_what_float16_cannot_hold_stays_float32(narrow: Callable[[str], nn.Module], tmp_path: Path) -> None:
    network = narrow("small").eval()
    network.state_dict()["neck.norm.running_var"].fill_(1e6)
    weights.save(tmp_path / "a.safetensors", network, backbone="small", color="rgb")
    again, _ = checkpoints.load_backbone(tmp_path / "a.safetensors")
    assert again.state_dict()["neck.norm.running_var"].max() == 1e6


def test_a_network_without_a_name_cannot_become_safetensors(golden: Path, tmp_path: Path) -> None:
    network, info = checkpoints.load_backbone(golden / "insightface" / "iresnet_narrow.pt")
    with pytest.raises(UsageError, match="of no backbone that is known by name"):
        weights.save(tmp_path / "a.safetensors", network, backbone=info.backbone, color=info.color)
    with pytest.raises(UsageError, match=r"Call it a\.safetensors"):
        weights.save(tmp_path / "a.bin", network, backbone="r18", color=info.color)
