"""End-effector deltas on an arm that takes joint targets: inverse kinematics on this side.

Problem: DROID's own Cartesian control rotates about the flange with a gain of its own, while other policies act in tool
deltas. Idea: add each delta to a commanded tool pose, as simulations do, and send the joints that bring the tool there.

Example: eight deltas of (0, 0.01, 0) leave the commanded pose 8 cm to the left, however far the arm lagged behind in between.
Pure functions.
"""

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot import kinematics
from frs_core.robot.rotations import rotation_matrix, rotation_vector

_ITERATIONS, _DAMPING = 3, 0.01


def moved_pose(T: Float[Array, "4 4"], delta: Float[Array, " 6"]) -> Float[Array, "4 4"]:
    """Return a tool pose after a delta: metres, then a rotation vector in rad, both in the base frame."""
    result = T.copy()
    result[:3, :3] = rotation_matrix(np.asarray(delta[3:6], dtype=np.float64)) @ T[:3, :3]
    result[:3, 3] += delta[:3]
    return result


def pose_delta(T_from: Float[Array, "4 4"], T_to: Float[Array, "4 4"]) -> Float[Array, " 6"]:
    """Return the delta between two tool poses; inverse of `moved_pose`."""
    turn = rotation_vector(T_to[:3, :3] @ T_from[:3, :3].T)
    return np.concatenate([T_to[:3, 3] - T_from[:3, 3], turn])


def joints_for(
    T_base_tcp: Float[Array, "4 4"], *, q: Float[Array, " 7"], T_flange_tcp: Float[Array, "4 4"]
) -> Float[Array, " 7"]:
    """Return joints near `q` that bring the tool to a pose, or as near as damped steps get.

    Args:
        T_base_tcp: where the tool should be; a few centimetres away.
        q: measured joints, rad.
        T_flange_tcp: the tool on the flange.
    """
    target = np.asarray(q, dtype=np.float64).copy()
    for _ in range(_ITERATIONS):
        J, T = kinematics.tool_jacobian(target, T_flange_tcp)
        target += kinematics.damped_step(J, pose_delta(T, T_base_tcp), damping=_DAMPING)
    return np.clip(target, kinematics.Q_LOW, kinematics.Q_HIGH)
