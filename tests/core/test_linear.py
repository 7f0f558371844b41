"""Products by oneDNN equal PyTorch's, and give way where a gradient or another type is asked for."""

import pytest
import torch
import torch.nn.functional as F

from frs_core.policies.linear import Linear, linear


@pytest.mark.parametrize("shape", [(1, 7), (13, 7), (2, 3, 7)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_equals_pytorch_up_to_rounding(shape: tuple[int, ...], has_bias: bool) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(shape), torch.randn(5, 7), torch.randn(5) if has_bias else None
    with torch.inference_mode():
        result = linear(x, weight, bias)

    assert torch.allclose(result, F.linear(x, weight, bias), atol=1e-5)


def test_views_and_bfloat16_are_taken() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(14, 6).T[:, ::2], torch.randn(5, 7)
    with torch.inference_mode():
        assert torch.allclose(linear(x, weight), F.linear(x, weight), atol=1e-5)
        assert linear(x.bfloat16(), weight.bfloat16()).dtype is torch.bfloat16


def test_gradients_flow_through_the_layer() -> None:
    layer = Linear(3, 2)
    layer(torch.ones(4, 3)).sum().backward()

    assert layer.weight.grad is not None
    assert torch.equal(layer.weight.grad, torch.full((2, 3), 4.0))
