"""Our PReLU is PyTorch's: the same values, and the same gradients by another way."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fr_train.backbones import prelu
from fr_train.backbones.prelu import PReLU


def both(x_BCHW: torch.Tensor, grad_BCHW: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Value, gradient and slope's gradient of theirs and of ours."""
    found = []
    for kind in (nn.PReLU, PReLU):
        layer = kind(x_BCHW.shape[1])
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(-0.5, 1.5, x_BCHW.shape[1]))
        x = x_BCHW.clone().requires_grad_()
        value = layer.to(x.dtype)(x)
        value.backward(grad_BCHW)
        assert x.grad is not None
        assert layer.weight.grad is not None
        found.append((value.detach(), x.grad, layer.weight.grad))
    return found


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("piece", [1 << 18, 100])
def test_values_and_gradients_are_pytorchs(
    memory_format: torch.memory_format, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prelu, "_PIECE", piece)
    torch.manual_seed(0)
    x, grad = (torch.randn(3, 6, 5, 7).to(memory_format=memory_format) for _ in range(2))
    x[0, :, 0, 0] = 0.0  # belongs to the negative side
    (value, of_x, of_slope), (our_value, our_of_x, our_of_slope) = both(x, grad)
    assert torch.equal(value, our_value)
    assert torch.equal(of_x, our_of_x)
    torch.testing.assert_close(our_of_slope, of_slope, rtol=1e-5, atol=1e-5)


def test_in_bfloat16_the_gradient_of_the_input_is_the_same_to_the_bit() -> None:
    torch.manual_seed(0)
    x, grad = (torch.randn(4, 16, 12, 12).bfloat16() for _ in range(2))
    exact = both(x.float(), grad.float())[0][2]
    (_, of_x, of_slope), (_, our_of_x, our_of_slope) = both(x, grad)
    assert torch.equal(of_x, our_of_x)
    allowed = 2 * (of_slope.float() - exact).abs().max() + 0.01 * exact.abs().max()
    assert (our_of_slope.float() - exact).abs().max() <= allowed


def test_state_and_evaluation_are_those_of_pytorch() -> None:
    ours, theirs = PReLU(4), nn.PReLU(4)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, 3, 3)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert (
            ours(x.bfloat16().requires_grad_()).dtype == theirs(x.bfloat16().requires_grad_()).dtype == torch.bfloat16
        )
