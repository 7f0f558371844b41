"""Products by oneDNN equal PyTorch's, and give way where a gradient or another type is asked for."""

import pytest
import torch
import torch.nn.functional as F

from frs_core.policies.linear import Linear, linear
from tests.rounding import bound


@pytest.mark.parametrize("shape", [(1, 7), (13, 7), (2, 3, 7)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_equals_pytorch_up_to_rounding(shape: tuple[int, ...], has_bias: bool) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(shape), torch.randn(5, 7), torch.randn(5) if has_bias else None
    with torch.inference_mode():
        result = linear(x, weight, bias)

    size = float(F.linear(x.abs(), weight.abs(), None if bias is None else bias.abs()).max())
    assert (result - F.linear(x, weight, bias)).abs().max() <= 2 * bound(sums=8, scale=size)


def test_views_and_bfloat16_are_taken() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(14, 6).T[:, ::2], torch.randn(5, 7)
    with torch.inference_mode():
        size = float(F.linear(x.abs(), weight.abs()).max())
        assert (linear(x, weight) - F.linear(x, weight)).abs().max() <= 2 * bound(sums=3, scale=size)
        assert linear(x.bfloat16(), weight.bfloat16()).dtype is torch.bfloat16


def test_gradients_flow_through_the_layer() -> None:
    layer = Linear(3, 2)
    layer(torch.ones(4, 3)).sum().backward()

    assert layer.weight.grad is not None
    assert torch.equal(layer.weight.grad, torch.full((2, 3), 4.0))
