"""Calibration scores plans without a robot: commands followed, the prior kept, gripper orders obeyed."""

from pathlib import Path

import pytest

from frs_core.calibration import Prior, grid, sample_prior, score_plan, sweep
from frs_core.calibration.sweep import best, describe, save
from frs_core.steering.methods import Method, SteeringPlan
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld


@pytest.fixture
def policy() -> ToyPolicy:
    """The exact toy flow."""
    return ToyPolicy()


@pytest.fixture
def priors(policy: ToyPolicy) -> list[Prior]:
    """Two observations with own samples."""
    found = []
    for seed in range(2):
        observation = PointWorld().reset(task="reach_left", seed=seed)
        found.append(sample_prior(policy, observation, policy.encode(observation), samples=16, seed=seed))
    return found


def test_commands_are_followed_and_counted(policy: ToyPolicy, priors: list[Prior]) -> None:
    score = score_plan(policy, priors, policy.default_plan)
    assert score.cases == len(priors) * 6
    assert score.positive == 1.0
    assert score.cosine > 0.7
    assert score.separation_mm > 100
    assert score.obeyed == 1.0


def test_the_best_plan_is_stored_with_the_fingerprint(policy: ToyPolicy, priors: list[Prior], tmp_path: Path) -> None:
    plans = [SteeringPlan(), SteeringPlan(components=1), SteeringPlan(method=Method.DIRECT)]
    scores = sweep(policy, priors, plans)
    chosen = best(scores)
    assert chosen.plan.method is Method.FRS
    assert chosen.balance == max(s.balance for s in scores if s.plan.method is Method.FRS)
    save(tmp_path, scores, chosen.plan, fingerprint=policy.spec.fingerprint)
    assert policy.spec.fingerprint in (tmp_path / "plan.json").read_text()
    assert (tmp_path / "calibration.png").stat().st_size > 1000


def test_the_grid_starts_with_the_papers_plan_and_repeats_nothing() -> None:
    plans = grid(16)
    assert plans[0] == SteeringPlan()
    assert len(set(plans)) == len(plans)
    assert describe(plans[0]) == "paper"
