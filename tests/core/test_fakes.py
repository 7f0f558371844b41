"""The fakes are exact, so that what is tested on them can be trusted."""

import numpy as np
import torch

from frs_core.robot.actions import ActionKind
from frs_core.steering.directions import Command, Direction, reference_chunk
from frs_core.steering.methods import Reference, gaussian
from tests.fakes.policy import ToyPolicy, mode_of
from tests.fakes.world import PointWorld


def test_toy_policy_samples_every_mode_about_equally_often() -> None:
    policy, world = ToyPolicy(), PointWorld()
    context = policy.encode(world.observe())
    chunks = policy.to_robot(policy.denoise(context, gaussian((700, 8, 7), seed=3), steps=40))
    counts = [sum(mode_of(c) is d for c in chunks) for d in (*Direction, None)]
    assert min(counts) > 60
    assert sum(counts) == 700


def test_steering_the_toy_policy_follows_each_direction() -> None:
    policy, world = ToyPolicy(), PointWorld()
    observation = world.observe()
    context = policy.encode(observation)
    space = policy.spec.action_space
    asked = [reference_chunk(Command(d), space, horizon=8, observation=observation) for d in Direction]
    reference = Reference(
        torch.from_numpy(np.stack([r for r, _ in asked])), torch.from_numpy(np.stack([c for _, c in asked]))
    )
    chunks = policy.to_robot(policy.steer(context, reference, policy.default_plan).chunk)
    assert [mode_of(c) for c in chunks] == list(Direction)


def test_point_world_moves_the_tool_by_what_was_asked() -> None:
    world = PointWorld()
    start = world.observe().p_tcp
    for _ in range(8):
        world.step(np.array([0.01, 0.016, -0.005, 0, 0, 0, 0]), ActionKind.EE_DELTA)
    np.testing.assert_allclose(world.observe().p_tcp - start, [0.08, 0.128, -0.04], atol=1e-4)


def test_point_world_reaches_its_goal_and_holds_it() -> None:
    world = PointWorld()
    world.reset(task="reach_up", seed=4)
    for _ in range(14):
        world.step(np.array([0, 0, 0.016, 0, 0, 0, 0]), ActionKind.EE_DELTA)
    assert world.observe().success


def test_point_world_restores_a_snapshot_exactly() -> None:
    world = PointWorld()
    for _ in range(3):
        world.step(np.array([0.01, 0.01, 0, 0, 0, 0.05, 1]), ActionKind.EE_DELTA)
    state, before = world.snapshot(), world.observe()
    world.step(np.array([0, 0, 0.02, 0, 0, 0, 0]), ActionKind.EE_DELTA)
    after = world.restore(state)
    assert np.array_equal(before.q, after.q)
    assert all(np.array_equal(before.frames[c].image, after.frames[c].image) for c in before.frames)


def test_point_world_never_leaves_its_workspace() -> None:
    world = PointWorld()
    for _ in range(60):
        result = world.step(np.array([0.02, 0.02, -0.02, 0, 0, 0, 0]), ActionKind.EE_DELTA)
    assert result.clipped
    assert np.all(world.observe().p_tcp >= world.spec.limits.workspace_low - 1e-3)
    assert np.all(world.observe().p_tcp <= world.spec.limits.workspace_high + 1e-3)
