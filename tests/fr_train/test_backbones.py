"""Backbones: sizes, costs and outputs are those of the official networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fr_train import backbones, lineages
from fr_train.backbones.timm_backbone import TimmBackbone
from synthface.errors import UsageError

INSIGHTFACE = ["r18", "r34", "r50", "r100", "mobilefacenet"]
BILLION_MULTIPLICATIONS = {  # at 112×112; ir_se_50's is the published 6.297
    "ir_18": 2.597,
    "ir_34": 4.447,
    "ir_50": 6.296,
    "ir_101": 12.077,
    "ir_se_50": 6.297,
    "r50": 6.309,
    "mobilefacenet": 0.438,
    "small": 0.087,
    "small_deep": 0.123,
}


def on_paper(name: str) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return backbones.build(name)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["IR_18", "IR_50", "IR_101", "IR_SE_50"])
def test_adafaces_networks_have_the_official_parameters_and_keys(golden: Path, name: str) -> None:
    official = json.loads((golden / "adaface" / f"keys_{name}.json").read_text())
    network = on_paper(name.lower())
    assert parameters(network) == official["n_params"]
    with torch.device("meta"):
        state = {entry["key"]: torch.empty(entry["shape"]) for entry in official["state_dict"]}
        adapted = lineages.adapt(state)
    assert adapted is not None
    assert (adapted.lineage, adapted.backbone, adapted.color) == ("adaface", name.lower(), "bgr")
    ours = {key: value.shape for key, value in network.state_dict().items()}
    assert {key: value.shape for key, value in adapted.state.items()} == ours


def by_its_definition(units: tuple[int, ...]) -> int:
    """Parameters of an IR network as net.py of mk-minchul/AdaFace (c60eaa7) builds it from basic blocks, 512-d embedding."""
    count, before = 3 * 3 * 3 * 64 + 2 * 64 + 64, 64  # convolution, norm, PReLU
    for width, blocks in zip((64, 128, 256, 512), units, strict=True):
        for _ in range(blocks):  # norm, convolution, norm, PReLU, convolution, norm; a projection where the width grows
            count += 2 * before + 9 * before * width + 2 * width + width + 9 * width * width + 2 * width
            count += before * width + 2 * width if before != width else 0
            before = width
    return count + 2 * 512 + (512 * 7 * 7 + 1) * 512  # norm, fully connected; the last norm has no affine part


@pytest.mark.parametrize(
    ("name", "units", "expected"),
    [  # of ir_34 AdaFace records no number: the formula that gives the recorded ones of the others gives it
        ("ir_18", (2, 2, 2, 2), 24_020_352),
        ("ir_34", (3, 4, 6, 3), 34_134_080),
        ("ir_50", (3, 4, 14, 3), 43_585_600),
        ("ir_101", (3, 13, 30, 3), 65_150_912),
    ],
)
def test_the_parameters_are_those_of_adafaces_definition(name: str, units: tuple[int, ...], expected: int) -> None:
    assert parameters(on_paper(name)) == by_its_definition(units) == expected


def test_ir_se_50_has_43808320_parameters() -> None:
    assert parameters(on_paper("ir_se_50")) == 43_808_320


@pytest.mark.parametrize("name", INSIGHTFACE)
def test_insightfaces_networks_have_the_official_number_of_parameters(golden: Path, name: str) -> None:
    assert parameters(on_paper(name)) == json.loads((golden / "insightface" / "parameters.json").read_text())[name]


def test_the_keys_of_the_large_mobilefacenet_are_all_understood(golden: Path) -> None:
    official = json.loads((golden / "insightface" / "mbf_large_keys.json").read_text())
    with torch.device("meta"):
        adapted = lineages.adapt({key: torch.empty(shape) for key, shape in official.items()})
        assert adapted is not None
        ours = {key: value.shape for key, value in adapted.module.state_dict().items()}
    assert {key: value.shape for key, value in adapted.state.items()} == ours
    assert adapted.backbone == "mobilefacenet (2, 8, 12, 4) of width 256"


@pytest.mark.parametrize("name", BILLION_MULTIPLICATIONS)
def test_the_cost_of_an_image_is_the_published_one(name: str) -> None:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counted:
        on_paper(name).eval()(torch.empty(1, 3, 112, 112))
    assert counted.get_total_flops() / 2e9 == pytest.approx(BILLION_MULTIPLICATIONS[name], abs=5e-4)


FAMILIES = ["adaface", "insightface", "mobilefacenet", "small", "small_deep"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_autocast_gives_float32_embeddings_near_the_float32_ones(
    narrow: Callable[[str], nn.Module], family: str, dtype: torch.dtype
) -> None:
    network = narrow(family).to(memory_format=torch.channels_last).eval()
    image_BCHW = (torch.rand(2, 3, 112, 112) * 2 - 1).to(memory_format=torch.channels_last)
    with torch.no_grad():
        exact_BD = network(image_BCHW)
        with torch.autocast("cpu", dtype):
            half_BD = network(image_BCHW)
    assert exact_BD.shape == (2, 16)
    assert half_BD.dtype == exact_BD.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(exact_BD, half_BD).min() > 0.99


@pytest.mark.parametrize("family", FAMILIES)
def test_channels_last_gives_the_same_embedding(narrow: Callable[[str], nn.Module], family: str) -> None:
    network = narrow(family).eval()
    image_BCHW = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        plain_BD = network(image_BCHW)
        network = network.to(memory_format=torch.channels_last)
        last_BD = network(image_BCHW.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last_BD, plain_BD, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ir_se_50", "r18", "mobilefacenet", "small", "small_deep"])
def test_every_parameter_gets_a_gradient(name: str) -> None:
    with torch.device("meta"):
        network = on_paper(name).train()
        network(torch.empty(2, 3, 112, 112)).square().sum().backward()
    assert [key for key, part in network.named_parameters() if part.requires_grad and part.grad is None] == []


def test_insightfaces_last_norm_keeps_its_weight_of_one() -> None:
    held = [key for key, part in on_paper("r50").named_parameters() if not part.requires_grad]
    assert held == ["output.embedding_norm.weight"]


@pytest.mark.parametrize(("name", "size"), [("resnet10t", 64), ("deit_tiny_patch16_224", 48)])
def test_any_timm_model_gives_embeddings_of_the_asked_length(name: str, size: int) -> None:
    network = backbones.build(f"timm/{name}", size).eval()
    assert isinstance(network, TimmBackbone)
    with torch.no_grad():
        assert network(torch.rand(2, 3, 112, 112)).shape == (2, size)


def test_names_that_mean_nothing_are_refused_with_a_hint() -> None:
    with pytest.raises(UsageError, match="Did you mean 'ir_50'"):
        backbones.build("ir_5O")
    with pytest.raises(UsageError, match=r"timm knows no model named 'resnet5000'\. Did you mean 'resnet50"):
        backbones.build("timm/resnet5000")
    with pytest.raises(UsageError, match=r"does not take images of 112×112: height \(28\) must be divisible"):
        backbones.build("timm/maxvit_rmlp_pico_rw_256")
