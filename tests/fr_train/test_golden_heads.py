"""Margin heads against the numbers of AdaFace's own code: logits, buffers, gradients, at the edges too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from fr_train import heads
from fr_train.heads import MarginHead
from synthface.errors import UsageError

PAPER = {"margin": 0.4, "h": 0.333, "scale": 64.0, "t_alpha": 0.01}
CALLS, EDGES = 6, (1, 5)  # calls 2 and 6 hold cosines of ±1 and norms beyond the clips


@pytest.fixture
def numbers(golden: Path) -> dict[str, NDArray[Any]]:
    with np.load(golden / "adaface" / "head.npz") as file:
        return dict(file)


def head_of(name: str, numbers: dict[str, NDArray[Any]], **values: float) -> MarginHead:
    head = heads.build(name, 512, 23, **{**PAPER, **values})
    head.weight.data = torch.from_numpy(numbers["kernel"].T.copy())
    return head.train()


def step(
    head: MarginHead, unit: NDArray[Any], norm: NDArray[Any], label: NDArray[Any]
) -> tuple[NDArray[Any], float, NDArray[Any], NDArray[Any]]:
    """Logits, loss, and the gradients of unit embeddings and kernel, as the official code names them."""
    head.zero_grad()
    unit_BD = torch.from_numpy(unit).to(head.weight.dtype).requires_grad_()
    label_B = torch.from_numpy(label)
    logits_BC = head.logits(unit_BD, torch.from_numpy(norm).to(head.weight.dtype), label_B)
    loss = F.cross_entropy(logits_BC, label_B)
    loss.backward()
    assert unit_BD.grad is not None
    assert head.weight.grad is not None
    return logits_BC.detach().numpy(), float(loss.detach()), unit_BD.grad.numpy(), head.weight.grad.numpy().T


def test_adaface_gives_the_official_logits_buffers_and_gradients_call_after_call(
    numbers: dict[str, NDArray[Any]],
) -> None:
    head = head_of("adaface", numbers)
    for call in range(CALLS):
        logits, loss, unit_grad, kernel_grad = step(
            head, numbers["embeddings"][call], numbers["norms"][call], numbers["labels"][call]
        )
        np.testing.assert_allclose(logits, numbers["logits"][call], atol=1e-3)
        assert loss == pytest.approx(numbers["loss"][call], abs=1e-3)
        np.testing.assert_allclose(head.batch_mean.numpy(), numbers["batch_mean"][call], atol=1e-4)
        np.testing.assert_allclose(head.batch_std.numpy(), numbers["batch_std"][call], atol=1e-4)
        np.testing.assert_allclose(unit_grad, numbers["grad_embeddings_all_calls"][call], atol=1e-3)
        np.testing.assert_allclose(kernel_grad, numbers["grad_kernel_all_calls"][call], atol=1e-3)


def test_adaface_in_float64_is_the_official_code_in_float64(numbers: dict[str, NDArray[Any]]) -> None:
    head = head_of("adaface", numbers).double()
    for call in range(CALLS):
        arguments = numbers["embeddings"][call], numbers["norms"][call], numbers["labels"][call]
        logits, loss, unit_grad, kernel_grad = step(head, *arguments)
        np.testing.assert_allclose(logits, numbers["logits_f64"][call], atol=1e-9)
        assert loss == pytest.approx(numbers["loss_f64"][call], abs=1e-9)
        np.testing.assert_allclose(head.batch_mean.numpy(), numbers["batch_mean_f64"][call], rtol=1e-6)
        np.testing.assert_allclose(head.batch_std.numpy(), numbers["batch_std_f64"][call], rtol=1e-6)
    np.testing.assert_allclose(unit_grad, numbers["grad_embeddings_f64_call6"], atol=1e-9)
    np.testing.assert_allclose(kernel_grad, numbers["grad_kernel_f64_call6"], atol=1e-9)


def test_adaface_goes_on_from_given_statistics(numbers: dict[str, NDArray[Any]]) -> None:
    head = head_of("adaface", numbers)
    head.batch_mean.copy_(torch.from_numpy(numbers["state2_batch_mean_before"]))
    head.batch_std.copy_(torch.from_numpy(numbers["state2_batch_std_before"]))
    logits, loss, unit_grad, kernel_grad = step(
        head, numbers["state2_embeddings"], numbers["state2_norms"], numbers["state2_labels"]
    )
    np.testing.assert_allclose(logits, numbers["state2_logits"], atol=1e-3)
    assert loss == pytest.approx(float(numbers["state2_loss"]), abs=1e-3)
    np.testing.assert_allclose(unit_grad, numbers["state2_grad_embeddings"], atol=1e-3)
    np.testing.assert_allclose(kernel_grad, numbers["state2_grad_kernel"], atol=1e-3)
    np.testing.assert_allclose(head.batch_mean.numpy(), numbers["state2_batch_mean_after"], atol=1e-4)
    np.testing.assert_allclose(head.batch_std.numpy(), numbers["state2_batch_std_after"], atol=1e-4)


def test_adaface_with_the_codes_defaults(numbers: dict[str, NDArray[Any]]) -> None:
    head = head_of("adaface", numbers, margin=0.5, h=0.0, t_alpha=1.0)
    logits, *_ = step(head, numbers["embeddings"][1], numbers["norms"][1], numbers["labels"][1])
    np.testing.assert_allclose(logits, numbers["defaults_call2_logits"], atol=1e-3)
    np.testing.assert_allclose(head.batch_mean.numpy(), numbers["defaults_call2_batch_mean_after"], atol=1e-4)
    np.testing.assert_allclose(head.batch_std.numpy(), numbers["defaults_call2_batch_std_after"], atol=1e-4)


@pytest.mark.parametrize(("name", "margin"), [("arcface", 0.5), ("cosface", 0.4)])
@pytest.mark.parametrize(("call", "recorded"), [(0, "call1"), (1, "call2_edge")])
def test_arcface_and_cosface_give_the_official_numbers(
    numbers: dict[str, NDArray[Any]], name: str, margin: float, call: int, recorded: str
) -> None:
    head = head_of(name, numbers, margin=margin)
    logits, loss, unit_grad, kernel_grad = step(
        head, numbers["embeddings"][call], numbers["norms"][call], numbers["labels"][call]
    )
    np.testing.assert_allclose(logits, numbers[f"{name}_{recorded}_logits"], atol=1e-3)
    assert loss == pytest.approx(float(numbers[f"{name}_{recorded}_loss"]), abs=1e-3)
    np.testing.assert_allclose(unit_grad, numbers[f"{name}_{recorded}_grad_embeddings"], atol=1e-3)
    np.testing.assert_allclose(kernel_grad, numbers[f"{name}_{recorded}_grad_kernel"], atol=1e-3)


def test_the_straight_through_variant_has_adafaces_values_and_the_plain_cosines_gradient(
    numbers: dict[str, NDArray[Any]],
) -> None:
    unit, norm, label = numbers["embeddings"][0], numbers["norms"][0], numbers["labels"][0]
    exact, through = head_of("adaface", numbers), head_of("adaface-ste", numbers)
    exact_logits, *_ = step(exact, unit, norm, label)
    logits, _, unit_grad, _ = step(through, unit, norm, label)
    np.testing.assert_allclose(logits, exact_logits, atol=1e-3)  # far from the edges

    unit_BD = torch.from_numpy(unit).requires_grad_()
    cosine_BC = F.linear(unit_BD, F.normalize(through.weight.detach(), dim=1))
    probability_BC = torch.from_numpy(logits).softmax(1)
    target_BC = F.one_hot(torch.from_numpy(label), 23)
    cosine_BC.backward(64.0 * (probability_BC - target_BC) / len(label))
    assert unit_BD.grad is not None
    np.testing.assert_allclose(unit_grad, unit_BD.grad.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", list(heads.HEADS))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_cosines_of_one_and_extreme_norms_give_finite_losses_and_gradients(name: str, sign: float) -> None:
    head = heads.build(name, 8, 5, **PAPER).train()
    embedding_BD = sign * head.weight.detach()[:4] * torch.tensor([[0.0], [1e-30], [1.0], [1e30]])
    embedding_BD.requires_grad_()
    loss = F.cross_entropy(head(embedding_BD, torch.arange(4)), torch.arange(4))
    loss.backward()
    assert torch.isfinite(loss)
    assert head.weight.grad is not None
    assert torch.isfinite(head.weight.grad).all()
    assert embedding_BD.grad is not None
    assert torch.isfinite(embedding_BD.grad[1:]).all()  # a zero vector has no direction to improve
    assert not torch.isnan(embedding_BD.grad).any()


@pytest.mark.parametrize("name", list(heads.HEADS))
def test_a_batch_of_one_trains_and_leaves_the_spread_of_norms_alone(name: str) -> None:
    head = heads.build(name, 8, 5, **PAPER).train()
    loss = F.cross_entropy(head(torch.randn(1, 8) * 3, torch.tensor([2])), torch.tensor([2]))
    loss.backward()
    assert torch.isfinite(loss)
    if isinstance(head, heads.AdaFace):
        assert head.batch_std.item() == 100.0
        assert head.batch_mean.item() < 20.0


def test_evaluation_mode_leaves_the_norm_statistics_alone() -> None:
    head = heads.build("adaface", 8, 5, **PAPER).eval()
    head(torch.randn(4, 8), torch.tensor([0, 1, 2, 3]))
    assert (head.get_buffer("batch_mean").item(), head.get_buffer("batch_std").item()) == (20.0, 100.0)


def test_logits_are_float32_inside_autocast() -> None:
    head = heads.build("adaface", 64, 5, **PAPER).eval()
    embedding_BD, label_B = torch.randn(4, 64), torch.tensor([0, 1, 2, 3])
    expected = head(embedding_BD, label_B)
    with torch.autocast("cpu", torch.bfloat16):
        inside = head(embedding_BD, label_B)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, expected)


def test_the_head_tells_mean_norm_and_mean_cosine_before_the_margin() -> None:
    head = heads.build("cosface", 4, 3, **PAPER)
    embedding_BD = head.weight.detach()[[0, 1]] * torch.tensor([[2.0], [4.0]])
    head(embedding_BD, torch.tensor([0, 1]))
    assert head.last["mean_norm"].item() == pytest.approx(3.0)
    assert head.last["mean_target_cosine"].item() == pytest.approx(1.0)


def test_new_kernels_have_unit_columns(numbers: dict[str, NDArray[Any]]) -> None:
    head = heads.build("adaface", 512, 23, **PAPER)
    lengths = torch.linalg.vector_norm(head.weight, dim=1).detach().numpy()
    np.testing.assert_allclose(lengths, numbers["fresh_kernel_col_norms"], atol=1e-4)


def test_unknown_heads_and_single_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'adaface'"):
        heads.build("adafce", 8, 5, **PAPER)
    with pytest.raises(UsageError, match="at least two classes"):
        heads.build("adaface", 8, 1, **PAPER)
