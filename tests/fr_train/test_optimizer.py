"""The rate of every step, and which parameters decay."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from timm.layers import RmsNorm
from torch import nn

from fr_train.training import optimizer, recogniser, sync_norm
from fr_train.training.recogniser import Recogniser
from synthface.recipe.recognition import TrainRecipe

RATE = 0.1
PER_EPOCH = 7  # steps


def rates(**values: Any) -> list[float]:
    """The rate of each step, and what would follow the last one."""
    recipe = TrainRecipe(**{"learning_rate": RATE, "milestones": (), **values})
    sgd = torch.optim.SGD(
        [{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [nn.Parameter(torch.zeros(1))]}], RATE
    )
    schedule = optimizer.schedule(sgd, recipe, PER_EPOCH)
    found = []
    for step in range(recipe.epochs * PER_EPOCH + 1):
        schedule.step_update(step)
        first, second = (group["lr"] for group in sgd.param_groups)
        assert first == second
        found.append(first)
    return found


@pytest.mark.parametrize("warmup", [0, 2])
def test_a_milestone_divides_the_rate_by_ten_from_the_first_step_of_its_epoch(warmup: int) -> None:
    found = rates(schedule="step", epochs=8, milestones=(3, 5, 6), warmup_epochs=warmup)
    for passed, (first, last) in enumerate([(warmup, 3), (3, 5), (5, 6), (6, 8)]):
        expected = [RATE / 10**passed] * ((last - first) * PER_EPOCH)
        assert found[first * PER_EPOCH : last * PER_EPOCH] == pytest.approx(expected)
    for passed, milestone in enumerate((3, 5, 6)):
        before, after = found[milestone * PER_EPOCH - 1], found[milestone * PER_EPOCH]
        assert (before, after) == (pytest.approx(RATE / 10**passed), pytest.approx(RATE / 10 ** (passed + 1)))


def test_a_resumed_schedule_gives_the_rates_of_one_that_ran_through() -> None:
    whole = rates(schedule="step", epochs=8, milestones=(3, 5, 6))
    recipe = TrainRecipe(learning_rate=RATE, schedule="step", epochs=8, milestones=(3, 5, 6))
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], RATE)
    optimizer.schedule(sgd, recipe, PER_EPOCH).step_update(40)
    held = sgd.state_dict()  # a tenth of a tenth of the rate, as a checkpoint holds it
    again = torch.optim.SGD([nn.Parameter(torch.zeros(1))], RATE)
    again.load_state_dict(held)
    schedule = optimizer.schedule(again, recipe, PER_EPOCH)
    for step in (20, 21, 40, 42):
        schedule.step_update(step)
        assert again.param_groups[0]["lr"] == whole[step]


@pytest.mark.parametrize("schedule", ["step", "cosine", "poly"])
@pytest.mark.parametrize("epochs", [1, 1.5])
def test_the_warm_up_rises_in_equal_steps_to_the_full_rate(schedule: str, epochs: float) -> None:
    steps = round(epochs * PER_EPOCH)
    found = rates(schedule=schedule, epochs=4, warmup_epochs=epochs)
    assert found[: steps + 1] == pytest.approx([RATE * (step + 1) / (steps + 1) for step in range(steps + 1)])
    assert found[steps] == pytest.approx(RATE)
    assert max(found) == pytest.approx(RATE)


@pytest.mark.parametrize("warmup", [0, 1])
def test_cosine_is_half_a_wave_that_ends_at_nought(warmup: int) -> None:
    found = rates(schedule="cosine", epochs=5, warmup_epochs=warmup)
    first, total = warmup * PER_EPOCH, 5 * PER_EPOCH
    share_S = [(step - first) / (total - first) for step in range(first, total)]
    assert found[first:total] == pytest.approx([RATE * (1 + math.cos(math.pi * share)) / 2 for share in share_S])
    assert 0 < found[total - 1] < 0.01 * RATE
    assert found[total] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("warmup", [0, 1])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_poly_is_a_power_of_what_is_left_and_ends_at_nought(warmup: int, power: float) -> None:
    found = rates(schedule="poly", poly_power=power, epochs=5, warmup_epochs=warmup)
    first, total = warmup * PER_EPOCH, 5 * PER_EPOCH
    left_S = [1 - (step - first) / (total - first) for step in range(first, total)]
    assert found[first:total] == pytest.approx([RATE * left**power for left in left_S])
    assert found[total - 1] == pytest.approx(RATE * (1 / (total - first)) ** power)
    assert found[total] == pytest.approx(0, abs=1e-12)


def on_paper(backbone: str) -> Recogniser:
    """Backbone and head without memory for their weights."""
    with torch.device("meta"):
        return recogniser.build(TrainRecipe(backbone=backbone), 1_000)


def groups(module: nn.Module) -> tuple[set[str], set[str]]:
    """The names of the parameters that decay, and of those that do not; each trained one is in one of them."""
    names = {id(parameter): name for name, parameter in module.named_parameters() if parameter.requires_grad}
    decaying, spared = optimizer.parameter_groups(module, 5e-4)
    assert (decaying["weight_decay"], spared["weight_decay"]) == (5e-4, 0.0)
    members = [id(parameter) for group in (decaying, spared) for parameter in group["params"]]
    assert sorted(members) == sorted(names)
    return {names[id(p)] for p in decaying["params"]}, {names[id(p)] for p in spared["params"]}


def test_in_ir_se_50_batch_norms_and_the_one_bias_do_not_decay() -> None:
    model = on_paper("ir_se_50")
    decaying, spared = groups(model)
    norm = re.compile(r"norm\d?\.(weight|bias)$")
    expected = {name for name, _ in model.named_parameters() if norm.search(name)} | {"backbone.output.fc.bias"}
    assert spared == expected
    # the stem's, the output's first, three a block, three projections where the width grows; the last has no affine part
    assert len(spared) == 2 * (2 + 3 * 24 + 3) + 1
    assert {"head.weight", "backbone.output.fc.weight", "backbone.stem.act.weight"} < decaying
    assert sum(".se." in name for name in decaying) == 2 * 24
    sizes = dict(model.backbone.named_parameters())
    assert (
        sum(sizes[name.removeprefix("backbone.")].numel() for name in (decaying | spared) - {"head.weight"})
        == 43_808_320
    )


def test_in_a_vision_transformer_norms_biases_position_and_class_token_do_not_decay() -> None:
    decaying, spared = groups(on_paper("timm/deit_tiny_patch16_224"))
    model = "backbone.model"
    assert {f"{model}.pos_embed", f"{model}.cls_token", f"{model}.norm.weight", f"{model}.head.bias"} < spared
    blocks = [f"{model}.blocks.{block}" for block in range(12)]
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    weights = {f"{block}.{layer}.weight" for block in blocks for layer in layers}
    assert decaying == weights | {f"{model}.patch_embed.proj.weight", f"{model}.head.weight", "head.weight"}
    biases = {f"{block}.{layer}.bias" for block in blocks for layer in (*layers, "norm1", "norm2")}
    assert biases | {f"{block}.norm{number}.weight" for block in blocks for number in (1, 2)} < spared


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d, nn.LayerNorm, nn.RMSNorm, RmsNorm, lambda width: nn.GroupNorm(2, width)]
)
def test_norms_of_every_make_do_not_decay(norm: Any) -> None:
    decaying, spared = groups(nn.Sequential(nn.Linear(4, 4), norm(4)))
    assert decaying == {"0.weight"}
    assert "1.weight" in spared


def test_nor_do_the_norms_that_processes_share() -> None:
    model = sync_norm.convert(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), torch.device("cpu"))
    assert groups(model) == ({"0.weight"}, {"0.bias", "1.weight", "1.bias"})
