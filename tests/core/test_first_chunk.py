"""The first motion of a policy must fit where the arm is, whatever its numbers are said to mean."""

import numpy as np
import pytest

from frs_core.robot.actions import ActionKind, ActionSpace, ee_delta_space, joint_space
from frs_core.robot.first_chunk import SLACK, why_not_first
from frs_core.robot.observation import Observation
from tests.fakes.pi05 import make_observation

ROWS = 8
JUMP_RAD, JUMP_M = 0.25, 0.05


@pytest.fixture
def observation() -> Observation:
    return make_observation()


def why(chunk: np.ndarray, space: ActionSpace, observation: Observation, **ranges: np.ndarray) -> str | None:
    return why_not_first(
        chunk.astype(np.float32), space=space, observation=observation, jump_rad=JUMP_RAD, jump_m=JUMP_M, **ranges
    )


def positions(observation: Observation, offset: float = 0.02) -> np.ndarray:
    steps = offset * np.arange(1, ROWS + 1)[:, None]
    return np.concatenate([observation.q + steps, np.zeros((ROWS, 1))], axis=1)


def test_a_chunk_that_starts_at_the_arm_may_go(observation: Observation) -> None:
    assert why(positions(observation), joint_space(ActionKind.JOINT_POSITION), observation) is None
    assert why(np.full((ROWS, 8), 0.9), joint_space(ActionKind.JOINT_VELOCITY), observation) is None
    assert why(np.full((ROWS, 7), 0.02), ee_delta_space(translation=0.02, rotation=0.1), observation) is None


def test_speeds_read_as_positions_are_refused_with_both_numbers(observation: Observation) -> None:
    reason = why(np.full((ROWS, 8), 0.3), joint_space(ActionKind.JOINT_POSITION), observation)
    assert reason is not None
    assert "joint 4 by 2.300 rad" in reason
    assert "at most 0.250 rad" in reason
    assert "joint_position" in reason


def test_a_position_read_as_a_speed_is_refused(observation: Observation) -> None:
    reason = why(positions(observation), joint_space(ActionKind.JOINT_VELOCITY), observation)
    assert reason is not None
    assert "joint 4 by 0.396 rad" in reason


@pytest.mark.parametrize(("column", "value", "words"), [(1, 0.06, "60.0 mm"), (4, -0.3, "0.300 rad")])
def test_a_tool_step_past_the_jump_is_refused(observation: Observation, column: int, value: float, words: str) -> None:
    chunk = np.zeros((ROWS, 7))
    chunk[0, column] = value
    reason = why(chunk, ee_delta_space(translation=0.1, rotation=1.0), observation)
    assert reason is not None
    assert words in reason


def test_a_later_row_outside_the_statistics_is_refused_and_within_the_slack_is_not(observation: Observation) -> None:
    space = joint_space(ActionKind.JOINT_VELOCITY)
    low, high = np.append(np.full(7, -0.4), 0.0), np.append(np.full(7, 0.4), 1.0)
    chunk = np.zeros((ROWS, 8))
    chunk[:, 7] = 5.0  # the gripper is not looked at
    chunk[5, 2] = 0.4 + SLACK * 0.8 - 1e-3
    assert why(chunk, space, observation, low=low, high=high) is None
    chunk[5, 2] += 2e-3
    reason = why(chunk, space, observation, low=low, high=high)
    assert reason is not None
    assert "Number 3 of row 6 of the first chunk is 0.801, outside -0.800 to 0.800" in reason


def test_a_joint_that_never_moved_in_training_may_move_a_little(observation: Observation) -> None:
    space = joint_space(ActionKind.JOINT_POSITION)
    bounds = np.append(observation.q, 0.0)
    assert why(positions(observation, 0.01), space, observation, low=bounds, high=bounds) is None
    assert why(positions(observation, 0.02), space, observation, low=bounds, high=bounds) is not None


def test_numbers_that_are_not_finite_are_refused(observation: Observation) -> None:
    chunk = positions(observation)
    chunk[3, 3] = np.nan
    assert "not finite" in str(why(chunk, joint_space(ActionKind.JOINT_POSITION), observation))
