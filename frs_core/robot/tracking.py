"""Joint paths that follow tool paths: differential inverse kinematics along a whole chunk, all candidates at once.

Problem: an operator's direction, or a policy's tool deltas, have to become joint commands. Idea: walk row by row; each row
takes one damped least-squares step from where the last one ended to the *absolute* pose of its own row, so that each
row corrects the error of the one before and errors do not add up.

Example: 16 rows of 12 mm are followed within 0.1 mm with two passes; a target beyond a joint limit is followed as far as
the limit.

Pure functions; called from the inference worker.
"""

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP
from frs_core.robot.rotations import small_turn

LIMIT_MARGIN = 0.02
"""rad kept from the joint limits; a joint already past it may stay or come back."""

_DAMPING = 0.02
"""Of the least squares; trades accuracy for small steps near singularities."""


def follow_poses(
    p: Float[Array, "B H 3"],
    R: Float[Array, "#B #H 3 3"],
    *,
    q: Float[Array, " 7"],
    T_flange_tcp: Float[Array, "4 4"],
    longest_shift: Float[Array, "#B 1"],
    longest_turn: float,
    passes: int = 1,
    posture: Float[Array, " 7"] | None = None,
    lean: float = 0.05,
) -> Float[Array, "B H 7"]:
    """Return joint positions, rad, that bring the tool to each row's pose, within joint limits and 0.2 rad per row.

    Args:
        p: tool centres, base frame, metres.
        R: tool orientations, base frame.
        q: joints that row 0 starts from, rad.
        T_flange_tcp: the tool on the flange.
        longest_shift: metres that one row may be asked for; a target that ran away is not chased.
        longest_turn: rad, likewise.
        passes: least-squares steps per row.
        posture: joints that the free elbow is drawn to; None = it stays where it falls.
        lean: share of the way to `posture` per pass.
    """
    T_flange_tcp = np.asarray(T_flange_tcp, dtype=np.float64)
    R_rows = np.broadcast_to(R, (*p.shape[:2], 3, 3))
    low = np.minimum(kinematics.Q_LOW + LIMIT_MARGIN, q)
    high = np.maximum(kinematics.Q_HIGH - LIMIT_MARGIN, q)
    at = np.broadcast_to(np.asarray(q, dtype=np.float64), (len(p), 7))
    rows = np.empty((*p.shape[:2], 7))
    cap = np.full((1, 1), longest_turn)
    for i in range(p.shape[1]):
        goal = at
        for _ in range(passes):
            J, T = kinematics.tool_jacobian(goal, T_flange_tcp)
            shift = shortened(p[:, i] - T[:, :3, 3], longest_shift)
            turn = shortened(small_turn(T[:, :3, :3], R_rows[:, i]), cap)
            free = np.zeros(7) if posture is None else lean * (posture - goal)
            # What the posture would do to the tool is taken back by the same least squares.
            drift = (J @ np.broadcast_to(free, goal.shape)[..., None])[..., 0]
            twist = np.concatenate([shift, turn], axis=-1) - drift
            goal = goal + free + kinematics.damped_step(J, twist, damping=_DAMPING)
        dq = goal - at
        dq = dq * np.minimum(1.0, JOINT_STEP / np.maximum(np.abs(dq).max(axis=-1, keepdims=True), 1e-9))
        rows[:, i] = at = np.clip(at + dq, low, high)
    return rows


def shortened(vectors: Float[Array, "B 3"], longest: Float[Array, "#B 1"]) -> Float[Array, "B 3"]:
    """Return vectors with lengths capped."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors * np.minimum(1.0, longest / np.maximum(length, 1e-12))
