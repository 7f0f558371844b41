"""Integrating the field: exact where it is straight, first order elsewhere, invertible by fixed point."""

import itertools

import pytest
import torch

from frs_core.steering import flow


def _curved(x: torch.Tensor, t: float) -> torch.Tensor:
    return torch.sin(1.3 * x) - 0.4 * x + t


def test_a_straight_flow_is_exact_both_ways() -> None:
    c = torch.randn(3, 4, 2)
    noise = flow.reverse(lambda x, t: c, c, steps=10)

    assert torch.allclose(noise, torch.zeros_like(c), atol=1e-6)
    assert torch.allclose(flow.denoise(lambda x, t: c, noise, steps=10), c, atol=1e-6)


def test_the_round_trip_error_is_first_order_in_the_step() -> None:
    x = torch.randn(64, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = []
    for steps in (10, 20, 40, 80):
        back = flow.reverse(_curved, x, steps=steps)
        errors.append(float((flow.denoise(_curved, back, steps=steps) - x).abs().mean()))

    for coarse, fine in itertools.pairwise(errors):
        assert 1.7 < coarse / fine < 2.4


def test_partial_reversal_ends_at_the_time_from_which_denoise_goes_on() -> None:
    times: list[float] = []

    def record(x: torch.Tensor, t: float) -> torch.Tensor:
        times.append(round(t, 6))
        return torch.zeros_like(x)

    x = torch.zeros(1, 2, 2)
    flow.denoise(record, flow.reverse(record, x, steps=10, depth=3), steps=10, depth=3)

    assert times == [1.0, 0.9, 0.8, 0.7, 0.8, 0.9]


def test_the_field_is_never_asked_past_t_max() -> None:
    times: list[float] = []

    def record(x: torch.Tensor, t: float) -> torch.Tensor:
        times.append(t)
        return torch.zeros_like(x)

    flow.reverse(record, torch.zeros(1, 1, 1), steps=10, t_max=0.95)

    assert max(times) == 0.95


@pytest.mark.parametrize("damping", [1.0, 0.5])
def test_the_fixed_point_finds_the_noise_that_regenerates_the_action(damping: float) -> None:
    x = torch.randn(8, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = flow.invert(_curved, x, steps=10, iterations=60, damping=damping)

    assert (flow.denoise(_curved, noise, steps=10) - x).abs().max() < 1e-8
