"""A generalist of tool deltas that acts in joints: same noises, same paths, and the arm's limits kept."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frs_core.candidates.fan import build_fan, references_for
from frs_core.choosers.scripted import SequenceChooser
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.check import check
from frs_core.errors import ConfigError, PolicyError
from frs_core.policies.joints import POSTURE, JointPolicy, in_action_space, joint_chunk
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind, ee_delta_space, joint_space
from frs_core.robot.observation import Observation
from frs_core.robot.tracking import LIMIT_MARGIN
from frs_core.session import InlineSession
from frs_core.steering.directions import Command, Direction, fan_commands
from frs_core.steering.methods import gaussian
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld
from tests.regenerating import difference

JOINTS = [ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION]
EE = ee_delta_space(translation=0.018, rotation=0.08)
NEAR_MM, SAME_MM = 5.0, 1.0


def still(q: np.ndarray) -> Observation:
    observation = PointWorld().observe()
    tool = np.eye(4)
    tool[2, 3] = kinematics.HAND_TCP_OFFSET
    return replace(observation, q=q, T_base_tcp=kinematics.flange_pose(q) @ tool)


def smooth_chunks(rng: np.random.Generator, *, count: int = 13, rows: int = 16) -> np.ndarray:
    """Chunks as a policy gives them: a way, a turn about the vertical, a little unrest."""
    way, turn = rng.uniform(-0.012, 0.012, (count, 1, 3)), rng.uniform(-0.03, 0.03, (count, 1, 1))
    chunk = np.zeros((count, rows, 7))
    chunk[..., :3] = way + rng.normal(0, 0.002, (count, rows, 3))
    chunk[..., 5:6] = turn
    chunk[..., 6] = rng.uniform(0, 1, (count, rows))
    return chunk


@pytest.mark.parametrize("kind", JOINTS)
def test_the_joints_path_is_the_tool_deltas_path(kind: ActionKind) -> None:
    rng = np.random.default_rng(0)
    space, compared = joint_space(kind), 0
    for _ in range(20):
        start = still(POSTURE + rng.uniform(-0.25, 0.25, 7))
        chunk = smooth_chunks(rng)
        joints = joint_chunk(chunk, EE, space, observation=start, posture=POSTURE)
        np.testing.assert_allclose(joints[..., 7], chunk[..., 6], atol=1e-6)
        off = np.linalg.norm(space.path(joints, start) - EE.path(chunk, start), axis=-1).max(axis=1) * 1e3
        reachable = ~at_a_joint_limit(joints, start, kind)
        compared += int(reachable.sum())
        assert off[reachable].max() < SAME_MM
    assert compared > 0.9 * 20 * 13


def at_a_joint_limit(joints: np.ndarray, start: Observation, kind: ActionKind) -> np.ndarray:
    q = joints[..., :7]
    if kind is ActionKind.JOINT_VELOCITY:
        q = start.q + JOINT_STEP * np.cumsum(q, axis=1)
    is_near = (q < kinematics.Q_LOW + LIMIT_MARGIN + 1e-3) | (q > kinematics.Q_HIGH - LIMIT_MARGIN - 1e-3)
    return is_near.any(axis=(1, 2))


@pytest.mark.parametrize("kind", JOINTS)
def test_the_hand_turns_as_far_as_the_deltas_say(kind: ActionKind) -> None:
    start = still(POSTURE)
    chunk = np.zeros((1, 16, 7))
    chunk[..., 5] = 0.04
    joints = joint_chunk(chunk, EE, joint_space(kind), observation=start, posture=POSTURE)
    q = joints[0, -1, :7] if kind is ActionKind.JOINT_POSITION else start.q + JOINT_STEP * joints[0, :, :7].sum(axis=0)
    turn = kinematics.flange_pose(q)[:3, :3] @ kinematics.flange_pose(start.q)[:3, :3].T
    assert np.arctan2(turn[1, 0], turn[0, 0]) == pytest.approx(0.64, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=7, max_size=7),
    st.lists(st.floats(-1, 1), min_size=6, max_size=6),
    st.sampled_from(JOINTS),
)
def test_whatever_is_asked_no_joint_limit_is_passed_and_no_step_is_too_long(
    where: list[float], way: list[float], kind: ActionKind
) -> None:
    middle, half = (kinematics.Q_LOW + kinematics.Q_HIGH) / 2, (kinematics.Q_HIGH - kinematics.Q_LOW) / 2
    start = still(middle + half * np.array(where))
    chunk = np.zeros((1, 16, 7))
    chunk[..., :6] = np.array(way) * EE.high[:6]
    joints = joint_chunk(chunk, EE, joint_space(kind), observation=start, posture=POSTURE)[0, :, :7]
    q = joints if kind is ActionKind.JOINT_POSITION else start.q + JOINT_STEP * np.cumsum(joints, axis=0)
    assert np.isfinite(q).all()
    assert (q >= kinematics.Q_LOW - 1e-4).all()
    assert (q <= kinematics.Q_HIGH + 1e-4).all()
    assert np.abs(np.diff(np.vstack([start.q, q]), axis=0)).max() <= JOINT_STEP + 1e-4


def test_positions_go_on_from_the_commanded_joints_and_velocities_from_the_arm() -> None:
    at_rest = still(POSTURE)
    pressed = replace(at_rest, extra={"q_command": POSTURE + 0.03})
    chunk = np.zeros((1, 4, 7))
    position = joint_chunk(chunk, EE, joint_space(JOINTS[1]), observation=pressed, posture=POSTURE)
    velocity = joint_chunk(chunk, EE, joint_space(JOINTS[0]), observation=pressed, posture=POSTURE)
    points = joint_space(JOINTS[1]).path(position, pressed)[0, 1:]
    tool = np.linalg.inv(kinematics.flange_pose(POSTURE)) @ at_rest.T_base_tcp
    held = (kinematics.flange_pose(POSTURE + 0.03) @ tool)[:3, 3]
    np.testing.assert_allclose(points, np.broadcast_to(held, points.shape), atol=1e-3)
    np.testing.assert_allclose(velocity[..., :7], 0.0, atol=1e-3)


@pytest.mark.parametrize("kind", JOINTS)
def test_rows_of_a_batch_do_not_influence_each_other(kind: ActionKind) -> None:
    chunk, start = smooth_chunks(np.random.default_rng(1)), still(POSTURE)
    together = joint_chunk(chunk, EE, joint_space(kind), observation=start, posture=POSTURE)
    alone = joint_chunk(chunk[4:5], EE, joint_space(kind), observation=start, posture=POSTURE)
    np.testing.assert_allclose(together[4:5], alone, atol=1e-6)


@pytest.mark.parametrize("kind", JOINTS)
def test_a_fan_in_joints_has_the_noises_and_paths_of_the_fan_in_deltas(kind: ActionKind) -> None:
    observation = PointWorld().observe()
    plain = ToyPolicy()
    joints = in_action_space(plain, kind)
    context = plain.encode(observation)
    fans = [build_fan(p, context, observation, plan=plain.default_plan) for p in (plain, joints)]
    for own, other in zip(fans[0].candidates, fans[1].candidates, strict=True):
        np.testing.assert_array_equal(own.noise, other.noise)
        assert other.chunk.shape == (plain.spec.horizon, 8)
        assert np.linalg.norm(own.path - other.path, axis=-1).max() * 1e3 < NEAR_MM
        if own.reference_path is not None:
            assert np.linalg.norm(own.reference_path - other.reference_path, axis=-1).max() * 1e3 < NEAR_MM
        assert difference(joints, context, other, fans[1].plan, observation=observation) < 1e-6


def test_references_stay_in_the_flows_own_space() -> None:
    observation = PointWorld().observe()
    plain = ToyPolicy()
    _, own = references_for(plain, fan_commands(), observation=observation)
    robot, other = references_for(JointPolicy(plain, JOINTS[0]), fan_commands(), observation=observation)
    assert torch.equal(own.x, other.x)
    assert torch.equal(own.commanded, other.commanded)
    assert robot.shape[-1] == 8


def calls_of(job: Callable[[], object]) -> int:
    """Return how many functions a job calls, Python's and the array library's: its cost, whatever the processor."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        job()
    finally:
        sys.setprofile(before)
    return calls


def test_13_chunks_become_joints_with_as_many_operations_as_one() -> None:
    chunks, start, joints = smooth_chunks(np.random.default_rng(2)), still(POSTURE), joint_space(JOINTS[0])

    def turned(chunk: np.ndarray) -> int:
        return calls_of(lambda: joint_chunk(chunk, EE, joints, observation=start, posture=POSTURE))

    turned(chunks)
    assert turned(chunks) == turned(chunks[:1])
    assert turned(chunks) < 2.1 * turned(chunks[:, :8])


def test_a_policy_that_acts_so_already_is_left_alone_and_joints_are_not_turned_back() -> None:
    plain = ToyPolicy()
    assert in_action_space(plain, "") is plain
    assert in_action_space(plain, "ee_delta") is plain
    joints = in_action_space(plain, "joint_velocity")
    with pytest.raises(ConfigError, match="only end-effector deltas can be turned into joints"):
        in_action_space(joints, "ee_delta")
    with pytest.raises(ConfigError, match="Action space 'joints' is unknown"):
        in_action_space(plain, "joints")


def test_joints_need_to_know_where_the_arm_is() -> None:
    policy = JointPolicy(ToyPolicy(), JOINTS[0])
    with pytest.raises(PolicyError, match="must know where the arm is"):
        policy.to_robot(gaussian((1, policy.spec.horizon, policy.spec.width), seed=0))


@pytest.mark.parametrize("kind", JOINTS)
def test_the_arm_drives_the_path_that_was_previewed(kind: ActionKind) -> None:
    world = PointWorld()
    observation = world.observe()
    policy = in_action_space(ToyPolicy(), kind)
    fan = build_fan(policy, policy.encode(observation), observation, plan=policy.default_plan)
    candidate = fan[Command(Direction.LEFT).label]
    points = [observation.p_tcp]
    for row in candidate.chunk:
        world.step(row, kind)
        points.append(world.state().p_tcp)
    assert np.linalg.norm(np.array(points) - candidate.path, axis=-1).max() * 1e3 < NEAR_MM


@pytest.mark.parametrize("kind", JOINTS)
def test_an_episode_driven_in_joints_regenerates_with_the_plain_generalist(kind: ActionKind, tmp_path: Path) -> None:
    store, world = EpisodeStore(tmp_path), PointWorld()
    with InlineSession(world, in_action_space(ToyPolicy(), kind), recorder=JournalRecorder(store)) as session:
        chooser = SequenceChooser(["left/more", "down/less", "unsteered"])
        result = session.run_episode(chooser, task="reach_left", seed=1, max_chunks=3)
    episode = store.open(result.name)
    assert episode.meta.action_space.kind is kind
    assert episode.arrays["chunks/chunk"].shape[-1] == 8
    assert episode.arrays["chunks/noise"].shape[-1] == ToyPolicy().spec.width
    report = check(episode, ToyPolicy())
    assert report.n_checked == 3
    assert report.is_good
