"""The belt around every world: limits are judged from where the arm is, not from where it was last seen."""

import dataclasses

import numpy as np
import pytest

from frs_core.errors import PolicyError, ShapeMismatch
from frs_core.robot.actions import JOINT_STEP, ActionKind
from frs_core.robot.limiting import limit_action
from frs_core.robot.observation import Observation
from frs_core.testing import WorldContract
from frs_core.worlds.base import StepResult
from frs_core.worlds.guard import GuardedWorld
from tests.fakes.world import PointWorld


class DriftingWorld(PointWorld):
    """An arm that keeps moving after the last observation, as a real one does within a control period."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = dataclasses.replace(self.spec, is_simulated=False)
        self.state_reads = 0

    def drift(self, dq: np.ndarray) -> None:
        self._set_joints(self._q + dq)

    def state(self) -> Observation:
        self.state_reads += 1
        return super().state()


def test_a_joint_target_is_limited_from_where_the_arm_is_not_from_the_last_picture() -> None:
    world = DriftingWorld()
    guard = GuardedWorld(world)
    seen = guard.observe()
    world.drift(np.full(7, -0.15))
    target = np.append(seen.q + 0.9 * JOINT_STEP, 0.0)
    sent = []
    move = world.step
    world.step = lambda action, kind: sent.append(action) or move(action, kind)  # pyright: ignore[reportAttributeAccessIssue]
    before = world.state().q
    result = guard.step(target, ActionKind.JOINT_POSITION)
    assert "the largest joint step" in result.reason
    assert np.abs(sent[0][:7] - before).max() <= JOINT_STEP + 1e-9


def test_the_state_is_read_again_for_every_action_of_a_chunk() -> None:
    world = DriftingWorld()
    guard = GuardedWorld(world)
    guard.observe()
    for _ in range(3):
        guard.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
    assert world.state_reads == 3


def test_a_simulation_is_looked_at_once_per_step() -> None:
    world = DriftingWorld()
    world.spec = dataclasses.replace(world.spec, is_simulated=True)
    guard = GuardedWorld(world)
    guard.observe()
    guard.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
    assert world.state_reads == 0
    guard.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
    assert world.state_reads == 1


def test_an_action_of_another_size_or_with_nan_is_not_sent() -> None:
    guard = GuardedWorld(PointWorld())
    with pytest.raises(ShapeMismatch, match="needs"):
        guard.step(np.zeros(7), ActionKind.JOINT_VELOCITY)
    with pytest.raises(PolicyError, match="non-finite"):
        guard.step(np.full(8, np.nan), ActionKind.JOINT_VELOCITY)


class SlowWorld(PointWorld):
    """A world that says it keeps to a joint speed of 0.05 rad per step, and does not."""

    limits_itself = True

    def __init__(self) -> None:
        super().__init__()
        limits = dataclasses.replace(self.spec.limits, joint_speed=np.full(7, 0.05), joint_jump=0.02)
        self.spec = dataclasses.replace(self.spec, limits=limits)


class ReportingWorld(SlowWorld):
    """It reports a limited action, and executes the one that was asked for."""

    def step(self, action: np.ndarray, kind: ActionKind) -> StepResult:
        allowed = limit_action(action, kind, observation=self.state(), limits=self.spec.limits)
        super().step(action, kind)
        return StepResult(allowed.action, True, "the joint speed")


class LimitingWorld(SlowWorld):
    """It executes what it reports."""

    def step(self, action: np.ndarray, kind: ActionKind) -> StepResult:
        allowed = limit_action(action, kind, observation=self.state(), limits=self.spec.limits)
        if allowed.joints is None:
            super().step(allowed.action, kind)
        else:
            super().step(allowed.joints, ActionKind.JOINT_POSITION)
        return StepResult(allowed.action, True, ", ".join(allowed.reasons))


@pytest.mark.parametrize("world", [SlowWorld, ReportingWorld])
def test_the_contract_finds_a_world_that_does_not_limit_itself_although_it_says_so(world: type[SlowWorld]) -> None:
    with pytest.raises(AssertionError, match="rad, allowed"):
        limits_of(world)


def test_a_world_that_limits_itself_passes_the_contract() -> None:
    limits_of(LimitingWorld)


def limits_of(world: type[SlowWorld]) -> None:
    class Contract(WorldContract):
        def make(self) -> SlowWorld:
            return world()

    Contract().test_a_world_that_limits_itself_moves_no_further_than_its_limits_allow()
