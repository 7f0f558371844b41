"""Flow reversal steering and its baselines on a field whose answers are known."""

from dataclasses import replace

import pytest
import torch

from frs_core.errors import ConfigError
from frs_core.steering.methods import (
    Fill,
    Method,
    Reference,
    Solver,
    SteeringPlan,
    dct_basis,
    gaussian,
    project_noise,
    steer,
)

H, A = 8, 4
MODES = torch.tensor([-1.0, 1.0])


def _two_modes(x: torch.Tensor, t: float) -> torch.Tensor:
    """Exact field of the flow to an even mixture of N(-1, 0.05^2) and N(1, 0.05^2) in each number's chunk mean direction."""
    s2 = (1 - t) ** 2 + (t * 0.05) ** 2
    mean = x.mean(dim=1, keepdim=True).expand_as(x)
    weights = torch.softmax(torch.stack([-((mean - t * m) ** 2) * H / (2 * s2) for m in MODES]), dim=0)
    target = sum(w * (m + t * 0.05**2 / s2 * (x - t * m)) for w, m in zip(weights, MODES, strict=True))
    drift = sum(w * (-(1 - t) / s2) * (x - t * m) for w, m in zip(weights, MODES, strict=True))
    return target + drift


def _reference(value: float = 0.6, batch: int = 2) -> Reference:
    x = torch.zeros(batch, H, A)
    x[0, :, 0], x[1, :, 0] = value, -value
    commanded = torch.zeros(batch, A, dtype=torch.bool)
    commanded[:, 0] = True
    return Reference(x, commanded)


def test_a_coarse_command_ends_at_the_mode_on_its_side() -> None:
    steered = steer(_two_modes, _reference(), SteeringPlan(components=1))
    ends = steered.chunk[:, :, 0].mean(dim=1)

    assert abs(float(ends[0]) - 1.0) < 0.25
    assert abs(float(ends[1]) + 1.0) < 0.25


def test_rows_do_not_influence_each_other() -> None:
    plan = SteeringPlan(components=2, clamp=2.0, fill=Fill.NOISE)
    both = steer(_two_modes, _reference(), plan)
    for i in range(2):
        reference = _reference()
        alone = steer(_two_modes, Reference(reference.x[i : i + 1], reference.commanded[i : i + 1]), plan)

        assert torch.allclose(both.chunk[i], alone.chunk[0], atol=1e-6)


def test_what_the_command_does_not_speak_of_gets_the_seeded_noise() -> None:
    plan = SteeringPlan(seed=5)
    steered = steer(_two_modes, _reference(), plan)
    fresh = gaussian((1, H, A), seed=5)

    assert torch.equal(steered.noise[:, :, 1:], fresh[:, :, 1:].expand(2, -1, -1))


def test_the_noise_regenerates_the_chunk() -> None:
    from frs_core.steering import flow

    for plan in (SteeringPlan(), SteeringPlan(components=1), SteeringPlan(method=Method.FLOW_CONTROL)):
        steered = steer(_two_modes, _reference(), plan)

        assert torch.allclose(flow.denoise(_two_modes, steered.noise, steps=plan.steps), steered.chunk, atol=1e-6)


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    plan = SteeringPlan(components=1)
    a, b = steer(_two_modes, _reference(), plan), steer(_two_modes, _reference(), plan)
    c = steer(_two_modes, _reference(), plan.with_seed(1))

    assert torch.equal(a.chunk, b.chunk)
    assert not torch.equal(a.chunk, c.chunk)


def test_one_component_is_the_chunk_mean() -> None:
    recovered = torch.randn(3, H, A)
    kept = project_noise(
        recovered,
        torch.ones(3, A, dtype=torch.bool),
        SteeringPlan(components=1),
        fresh=torch.zeros(1, H, A),
    )

    assert torch.allclose(kept, recovered.mean(dim=1, keepdim=True).expand_as(recovered), atol=1e-6)


def test_the_cosine_basis_is_orthonormal() -> None:
    basis = dct_basis(H)

    assert torch.allclose(basis @ basis.T, torch.eye(H), atol=1e-6)


def test_the_clamp_bounds_the_kept_noise() -> None:
    recovered = torch.randn(3, H, A) * 10
    kept = project_noise(
        recovered, torch.ones(3, A, dtype=torch.bool), SteeringPlan(clamp=1.5), fresh=torch.zeros(1, H, A)
    )

    assert torch.allclose(kept.pow(2).mean(dim=(1, 2)).sqrt(), torch.full((3,), 1.5), atol=1e-5)


def test_the_fixed_point_returns_the_reference_in_commanded_numbers() -> None:
    plan = SteeringPlan(solver=Solver.FIXED_POINT, iterations=200, damping=0.3, leave_uncommanded=False)
    x = _reference().x
    steered = steer(lambda x, t: torch.tanh(x) * 0.5, Reference(x, torch.ones(2, A, dtype=torch.bool)), plan)

    assert torch.allclose(steered.chunk, x, atol=1e-4)


@pytest.mark.parametrize("method", list(Method))
def test_every_method_gives_finite_chunks_of_the_right_shape(method: Method) -> None:
    steered = steer(_two_modes, _reference(), SteeringPlan(method=method))

    assert steered.chunk.shape == (2, H, A)
    assert torch.isfinite(steered.chunk).all()


def test_direct_execution_is_the_reference() -> None:
    assert torch.equal(steer(_two_modes, _reference(), SteeringPlan(method=Method.DIRECT)).chunk, _reference().x)


def test_sample_and_rank_takes_the_sample_nearest_in_angle() -> None:
    steered = steer(_two_modes, _reference(), SteeringPlan(method=Method.SAMPLE_AND_RANK, samples=32))

    assert steered.chunk[0, :, 0].mean() > 0.5
    assert steered.chunk[1, :, 0].mean() < -0.5


def test_plans_survive_json_and_refuse_unknown_settings() -> None:
    plan = SteeringPlan(components=1, clamp=1.5, fill=Fill.NOISE, solver=Solver.FIXED_POINT, method=Method.FRS)

    assert SteeringPlan.from_json(plan.to_json()) == plan
    with pytest.raises(ConfigError, match="wobble"):
        SteeringPlan.from_json({"wobble": 1})


@pytest.mark.parametrize(
    "bad",
    [
        {"strength": "abc"},
        {"strength": float("nan")},
        {"gripper_strength": None},
        {"leave_uncommanded": "false"},
        {"leave_uncommanded": 1},
        {"steps": True},
        {"steps": 10.0},
        {"depth": "8"},
        {"clamp": []},
    ],
)
def test_a_setting_of_another_type_is_refused_by_name(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"Steering setting '{next(iter(bad))}' is .*, expected"):
        SteeringPlan.from_json(bad)


@pytest.mark.parametrize("bad", [{"steps": 0}, {"depth": 11}, {"components": 0}, {"noising_time": 1.0}, {"clamp": 0.0}])
def test_impossible_plans_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        replace(SteeringPlan(), **bad)
