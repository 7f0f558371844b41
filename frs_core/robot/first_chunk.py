"""The last check before a policy moves a real robot for the first time: does its chunk fit the arm's present state?

Problem: speeds read as positions, another arm's statistics or swapped joints give chunks of plausible shape. Limits make such motion slow,
not right. Idea: whatever a chunk means, its first row must lie near the state it was asked in, and all of it within what the policy's
own training covered. A chunk that does not is refused in one sentence with both numbers.

Example: the fourth joint is at -2.2 rad and the first row says 0.3, as a speed would: "The first row would move joint 4 by 2.50 rad ...".
Pure functions; called before the first motion with a policy, by whoever sends it.
"""

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot.actions import JOINT_STEP, ActionKind, ActionSpace
from frs_core.robot.observation import Observation

SLACK = 0.5
"""How far past the statistics a chunk may go, as a share of their width (99 % - 1 %). Guess: steering leads a policy to the edge of what
it knows, and 2 % of the training itself lies outside."""

LEAST_SLACK = {ActionKind.JOINT_VELOCITY: 0.25, ActionKind.JOINT_POSITION: 0.1, ActionKind.EE_DELTA: 0.02}
"""The same where a number hardly moved in training: fractions of 0.2 rad, rad, metres and rad. Guess."""


def why_not_first(
    chunk: Float[Array, "H a"],
    *,
    space: ActionSpace,
    observation: Observation,
    jump_rad: float,
    jump_m: float,
    low: Float[Array, " a"] | None = None,
    high: Float[Array, " a"] | None = None,
) -> str | None:
    """Return why a chunk must not be a policy's first motion; None if there is no reason.

    The gripper is not looked at: it is a fraction in every action space.

    Args:
        chunk: robot units, as it would be executed.
        space: what the numbers mean.
        observation: the state the chunk was asked in.
        jump_rad: farthest that the first row may take a joint, or turn the tool, rad.
        jump_m: farthest that the first row may take the tool, metres.
        low: smallest actions that the policy's statistics cover (`PolicySpec.range_at`); None = not stated.
        high: largest ones.
    Returns:
        What was found, what is allowed, and what to check.
    """
    if not bool(np.isfinite(chunk).all()):
        return "The first chunk holds numbers that are not finite. Check the weights with `frs policy check`."
    return _why_jump(chunk[0], space, observation, jump_rad=jump_rad, jump_m=jump_m) or _why_outside(
        chunk, space, low=low, high=high
    )


def _why_jump(
    row: Float[Array, " a"], space: ActionSpace, observation: Observation, *, jump_rad: float, jump_m: float
) -> str | None:
    row = row.astype(np.float64)
    if space.kind is ActionKind.EE_DELTA:
        shift, turn = float(np.linalg.norm(row[:3])), float(np.linalg.norm(row[3:6]))
        if shift > jump_m:
            return _sentence(f"move the tool by {shift * 1e3:.1f} mm", f"{jump_m * 1e3:.1f} mm", space)
        if turn > jump_rad:
            return _sentence(f"turn the tool by {turn:.3f} rad", f"{jump_rad:.3f} rad", space)
        return None
    step = JOINT_STEP * row[:7] if space.kind is ActionKind.JOINT_VELOCITY else row[:7] - observation.q
    joint = int(np.abs(step).argmax())
    if abs(step[joint]) > jump_rad:
        return _sentence(f"move joint {joint + 1} by {abs(step[joint]):.3f} rad", f"{jump_rad:.3f} rad", space)
    return None


def _why_outside(
    chunk: Float[Array, "H a"],
    space: ActionSpace,
    *,
    low: Float[Array, " a"] | None,
    high: Float[Array, " a"] | None,
) -> str | None:
    if low is None or high is None:
        return None
    arm = space.size - 1
    slack = np.maximum(SLACK * (high - low), LEAST_SLACK[space.kind])[:arm]
    least, most = low[:arm] - slack, high[:arm] + slack
    outside = np.maximum(least - chunk[:, :arm], chunk[:, :arm] - most)
    row, column = (int(i) for i in np.unravel_index(outside.argmax(), outside.shape))
    # Below the rounding of float32 there is no difference.
    if outside[row, column] <= 1e-6:
        return None
    return (
        f"Number {column + 1} of row {row + 1} of the first chunk is {chunk[row, column]:.3f}, outside {least[column]:.3f} to "
        f"{most[column]:.3f} (the training range plus 50 %). {_check(space)}"
    )


def _sentence(what: str, limit: str, space: ActionSpace) -> str:
    return (
        f"The first row of the chunk would {what} from where the robot is, at most {limit} is allowed. {_check(space)}"
    )


def _check(space: ActionSpace) -> str:
    return f"Check that the policy's actions really are {space.kind.value} (its preset, `frs policy check`), its statistics and its cameras."
