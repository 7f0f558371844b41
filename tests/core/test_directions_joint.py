"""Directions in joint spaces: what is asked is a straight line of the tool, and what is previewed is what happens."""

import time

import numpy as np
import pytest

from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind, ActionSpace
from frs_core.robot.observation import Observation
from frs_core.steering.directions import (
    CARTESIAN_STEP,
    Amount,
    Command,
    Direction,
    Gripper,
    fan_commands,
    reference_chunk,
    reference_chunks,
)
from frs_core.worlds.tabletop.sim import TabletopSim

KINDS = [ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION]
ROWS = 8
"""Executed before the next look, as DROID policies are run."""


def joint_space(kind: ActionKind) -> ActionSpace:
    """Return an un-normalised joint space."""
    is_velocity = kind is ActionKind.JOINT_VELOCITY
    low = np.append(np.full(7, -1.0) if is_velocity else kinematics.Q_LOW, 0.0)
    high = np.append(np.ones(7) if is_velocity else kinematics.Q_HIGH, 1.0)
    return ActionSpace(kind, np.zeros(8), np.ones(8), low, high)


def observe(sim: TabletopSim) -> Observation:
    """Return the state as an observation without images."""
    return Observation(
        {}, sim.q, sim.dq, sim.gripper, sim.T_base_tcp, "", time.monotonic_ns(), gripper_command=sim.gripper_command
    )


@pytest.fixture(scope="module")
def sim() -> TabletopSim:
    return TabletopSim()


def still(q: np.ndarray, tool: float = 0.1034) -> Observation:
    """Return an observation at joints `q` with a tool along the flange's axis."""
    T = kinematics.flange_pose(q).copy()
    T[:3, 3] += tool * T[:3, 2]
    return Observation({}, q, np.zeros(7), 0.0, T, "", 0)


def test_frames_match_the_denavit_hartenberg_rows_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        q, T = rng.uniform(kinematics.Q_LOW, kinematics.Q_HIGH), np.eye(4)
        for (a, d, alpha), angle in zip(kinematics._DH, q, strict=True):
            c, s, ca, sa = np.cos(angle), np.sin(angle), np.cos(alpha), np.sin(alpha)
            T = T @ np.array(
                [[c, -s, 0, a], [s * ca, c * ca, -sa, -d * sa], [s * sa, c * sa, ca, d * ca], [0, 0, 0, 1]]
            )
        T = T @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.107], [0, 0, 0, 1]])
        np.testing.assert_allclose(kinematics.flange_pose(q), T, atol=1e-12)


def test_tool_jacobian_is_the_derivative_of_the_tool_pose() -> None:
    rng = np.random.default_rng(0)
    T_flange_tcp = np.eye(4)
    T_flange_tcp[:3, 3] = [0.02, -0.01, 0.15]
    q = rng.uniform(kinematics.Q_LOW, kinematics.Q_HIGH, (5, 7))
    J, T = kinematics.tool_jacobian(q, T_flange_tcp)
    for joint in range(7):
        dq = np.zeros(7)
        dq[joint] = 1e-6
        moved = kinematics.flange_pose(q + dq) @ T_flange_tcp
        np.testing.assert_allclose((moved - T)[:, :3, 3] / 1e-6, J[:, :3, joint], atol=1e-5)
        spin = (moved[:, :3, :3] - T[:, :3, :3]) @ np.swapaxes(T[:, :3, :3], 1, 2) / 1e-6
        np.testing.assert_allclose(
            np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], -1), J[:, 3:, joint], atol=1e-5
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_direction_is_a_straight_line_with_the_orientation_held(kind, sim) -> None:
    space = joint_space(kind)
    for seed in range(5):
        sim.reset("mug_on_plate", seed=seed)
        start = observe(sim)
        for command in fan_commands():
            axis = np.zeros(3) if command.direction is None else command.direction.axis
            reference, commanded = reference_chunk(command, space, horizon=ROWS, observation=start)
            assert commanded[:7].all()
            assert commanded[7] == (command.gripper is not Gripper.POLICY)
            path = space.path(reference[None], start)[0]
            rows = np.arange(ROWS + 1)[:, None]
            asked = start.p_tcp + rows * axis * command.amount.factor * CARTESIAN_STEP
            assert np.linalg.norm(path - asked, axis=1).max() < 2e-3, (seed, command.label)
            q_end = start.q + JOINT_STEP * reference[:, :7].sum(0) if kind is KINDS[0] else reference[-1, :7]
            turned = kinematics.flange_pose(start.q)[:3, :3].T @ kinematics.flange_pose(q_end)[:3, :3]
            assert np.degrees(np.arccos(min(1.0, (np.trace(turned) - 1) / 2))) < 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_directed_chunk_is_executed_within_5_mm_of_its_preview(kind, sim) -> None:
    space = joint_space(kind)
    for command in fan_commands():
        sim.reset("mug_on_plate", seed=1)
        start = observe(sim)
        reference, _ = reference_chunk(command, space, horizon=ROWS, observation=start)
        assert _worst_error(sim, space, reference, start) < 5e-3, command.label


@pytest.mark.parametrize("kind", KINDS)
def test_any_smooth_chunk_is_executed_within_5_mm_of_its_preview(kind, sim) -> None:
    space, rng = joint_space(kind), np.random.default_rng(3)
    for seed in range(10):
        sim.reset("mug_on_plate", seed=seed)
        start = observe(sim)
        turn = np.linspace(0, np.pi, ROWS)[:, None]
        velocity = np.sin(turn) * rng.uniform(-0.25, 0.25, 7) + np.cos(turn) * rng.uniform(-0.1, 0.1, 7)
        arm = velocity if kind is KINDS[0] else start.q + JOINT_STEP * np.cumsum(velocity, axis=0)
        chunk = np.concatenate([arm, np.zeros((ROWS, 1))], axis=1)
        assert _worst_error(sim, space, chunk, start) < 5e-3, seed


def _worst_error(sim: TabletopSim, space: ActionSpace, chunk: np.ndarray, start: Observation) -> float:
    """Return the largest distance between preview and execution, metres, of the rows the workspace did not bend."""
    preview = space.path(space.clip(chunk)[None], start)[0]
    errors = [0.0]
    for row, expected in zip(chunk, preview[1:], strict=True):
        if sim.step(row, space.kind).clipped:
            break
        errors.append(float(np.linalg.norm(sim.T_base_tcp[:3, 3] - expected)))
    assert len(errors) > 3
    return max(errors)


def test_at_a_joint_limit_nothing_is_asked_beyond_it_and_the_others_do_not_run_away() -> None:
    q = np.array([0.0, 0.9, 0.0, -0.12, 0.0, 1.5, 0.8])
    space = joint_space(ActionKind.JOINT_VELOCITY)
    reference, _ = reference_chunk(Command(Direction.FORWARD), space, horizon=15, observation=still(q))
    path_q = q + JOINT_STEP * np.cumsum(reference[:, :7], axis=0)
    assert (path_q >= kinematics.Q_LOW).all()
    assert (path_q <= kinematics.Q_HIGH).all()
    steps = np.linalg.norm(np.diff(space.path(reference[None], still(q))[0], axis=0), axis=1)
    assert steps.max() < 0.05


def test_a_batch_is_the_same_as_one_by_one() -> None:
    start = still(np.array([0.0, -0.63, 0.0, -2.51, 0.0, 1.88, 0.0]), tool=0.15)
    for kind in KINDS:
        space = joint_space(kind)
        together, masks = reference_chunks(fan_commands(), space, horizon=15, observation=start, strength=0.7)
        for i, command in enumerate(fan_commands()):
            alone, mask = reference_chunk(command, space, horizon=15, observation=start, strength=0.7)
            np.testing.assert_allclose(together[i], alone, atol=1e-6)
            assert (mask == masks[i]).all()


def test_less_goes_half_as_far_as_more() -> None:
    start, space = still(np.array([0.0, -0.63, 0.0, -2.51, 0.0, 1.88, 0.0])), joint_space(ActionKind.JOINT_VELOCITY)
    ways = []
    for amount in (Amount.LESS, Amount.MORE):
        reference, _ = reference_chunk(Command(Direction.LEFT, amount), space, horizon=ROWS, observation=start)
        path = space.path(reference[None], start)[0]
        ways.append(path[-1, 1] - path[0, 1])
    assert ways[0] == pytest.approx(0.5 * ways[1], rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", [2, 7])
def test_a_number_that_never_moved_in_training_is_left_to_the_policy(kind: ActionKind, column: int) -> None:
    sim, space = TabletopSim(), joint_space(kind)
    scale = space.scale.copy()
    scale[column] = 5e-7
    space = ActionSpace(kind, space.offset, scale, space.low, space.high)
    references, commanded = reference_chunks(
        (Command(Direction.LEFT, gripper=Gripper.CLOSE), Command(Direction.UP)),
        space,
        horizon=ROWS,
        observation=observe(sim),
    )
    assert not commanded[:, column].any()
    assert np.abs(references).max() < 10.0
    assert commanded[0].sum() == 7
