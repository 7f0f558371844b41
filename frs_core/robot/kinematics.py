"""Forward kinematics, Jacobian and inverse kinematics of the Franka arm, batched, in numpy.

Used to draw candidates' paths, to turn a direction into joint commands, and to check limits; the simulator has its own.
Frames: base (link 0) -> flange (DROID's panda_link8) -> tool centre point of the Franka hand.
"""

import enum

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array

Q_LOW = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
Q_HIGH = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])
"""Joint limits, rad. Source: Franka control interface documentation, robot limits of the Panda."""

DQ_MAX = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])
"""Joint speed limits, rad/s. Source: same table."""


class Arm(enum.Enum):
    """Arms whose kinematics these are."""

    FRANKA = "franka"


HAND_TCP_OFFSET = 0.1034
"""Flange to fingertips along flange z, metres. Source: Franka hand data sheet."""

ROBOTIQ_OFFSET = 0.15
"""Flange to fingertips of DROID's Robotiq 2F-85, metres along flange z. Approximate; measure yours."""

# Modified (Craig) Denavit-Hartenberg rows (a, d, alpha). Source: Franka control interface documentation.
_DH = np.array(
    [
        (0.0, 0.333, 0.0),
        (0.0, 0.0, -np.pi / 2),
        (0.0, 0.316, np.pi / 2),
        (0.0825, 0.0, np.pi / 2),
        (-0.0825, 0.384, -np.pi / 2),
        (0.0, 0.0, np.pi / 2),
        (0.088, 0.0, np.pi / 2),
    ]
)
_FLANGE_D = 0.107


# Each joint's pose in the one before, at angle 0: move by a along x, turn by alpha about x, move by d along z.
_FIXED = np.stack(
    [
        np.array(
            [
                [1.0, 0.0, 0.0, a],
                [0.0, np.cos(alpha), -np.sin(alpha), -d * np.sin(alpha)],
                [0.0, np.sin(alpha), np.cos(alpha), d * np.cos(alpha)],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )
        for a, d, alpha in _DH
    ]
)


def _joint_frames(q: Float[Array, "*b 7"]) -> Float[Array, "*b 8 4 4"]:
    """Return the poses of joints 1..7 and of the flange in the base frame."""
    q = np.asarray(q, dtype=np.float64)
    turn = np.zeros((*q.shape, 4, 4))
    cosine, sine = np.cos(q), np.sin(q)
    turn[..., 0, 0], turn[..., 0, 1] = cosine, -sine
    turn[..., 1, 0], turn[..., 1, 1] = sine, cosine
    turn[..., 2, 2] = turn[..., 3, 3] = 1.0
    steps = _FIXED @ turn
    frames = np.empty((*q.shape[:-1], 8, 4, 4))
    frames[..., 0, :, :] = steps[..., 0, :, :]
    for i in range(1, 7):
        frames[..., i, :, :] = frames[..., i - 1, :, :] @ steps[..., i, :, :]
    frames[..., 7, :, :] = frames[..., 6, :, :]
    frames[..., 7, :3, 3] += _FLANGE_D * frames[..., 6, :3, 2]
    return frames


def flange_pose(q: Float[Array, "*b 7"]) -> Float[Array, "*b 4 4"]:
    """Return the flange (panda_link8) in the base frame.

    Args:
        q: joint positions, rad.
    """
    return _joint_frames(q)[..., 7, :, :]


def link_poses(q: Float[Array, "*b 7"]) -> Float[Array, "*b 9 4 4"]:
    """Return the poses of links 0..7 and of the flange in the base frame (where the arm's meshes are drawn)."""
    frames = _joint_frames(q)
    base = np.broadcast_to(np.eye(4), (*frames.shape[:-3], 1, 4, 4))
    return np.concatenate([base, frames], axis=-3)


def skeleton(q: Float[Array, "*b 7"]) -> Float[Array, "*b 9 3"]:
    """Return the joint origins from base to flange in the base frame, metres (for drawing)."""
    frames = _joint_frames(q)[..., :3, 3]
    return np.concatenate([np.zeros_like(frames[..., :1, :]), frames], axis=-2)


def jacobian(q: Float[Array, " 7"], *, tool_offset: float = HAND_TCP_OFFSET) -> Float[Array, "6 7"]:
    """Return the geometric Jacobian (linear over angular) of a point on the flange axis, base frame.

    Args:
        q: joint positions, rad.
        tool_offset: metres along flange z.
    """
    frames = _joint_frames(q)
    tip = frames[7, :3, 3] + frames[7, :3, 2] * tool_offset
    axes, origins = frames[:7, :3, 2], frames[:7, :3, 3]
    return np.concatenate([np.cross(axes, tip - origins).T, axes.T], axis=0)


def tool_jacobian(
    q: Float[Array, "*b 7"], T_flange_tcp: Float[Array, "4 4"]
) -> tuple[Float[Array, "*b 6 7"], Float[Array, "*b 4 4"]]:
    """Return the geometric Jacobian (linear over angular) of a tool, and the tool's pose, both in the base frame.

    Args:
        q: joint positions, rad.
        T_flange_tcp: any tool on the flange.
    """
    frames = _joint_frames(q)
    T_base_tcp = frames[..., 7, :, :] @ T_flange_tcp
    axes, origins = frames[..., :7, :3, 2], frames[..., :7, :3, 3]
    linear = np.cross(axes, T_base_tcp[..., None, :3, 3] - origins)
    return np.swapaxes(np.concatenate([linear, axes], axis=-1), -1, -2), T_base_tcp


def joint_step(
    q: Float[Array, " 7"],
    twist: Float[Array, " 6"],
    *,
    tool_offset: float = HAND_TCP_OFFSET,
    damping: float = 0.02,
) -> Float[Array, " 7"]:
    """Return the joint step that best makes a small tool motion (damped least squares).

    Args:
        q: joint positions, rad.
        twist: desired tool motion, metres then rad, base frame.
        tool_offset: metres along flange z.
        damping: trades accuracy for small steps near singularities.
    """
    return damped_step(jacobian(q, tool_offset=tool_offset), twist, damping=damping)


def tool_on_flange(q: Float[Array, " 7"], T_base_tcp: Float[Array, "4 4"]) -> Float[Array, "4 4"]:
    """Return the tool's pose in the flange's frame, from the joints, rad, and the tool's pose in the base frame at one moment."""
    return np.linalg.inv(flange_pose(q)) @ T_base_tcp


def damped_step(J: Float[Array, "*b 6 7"], twist: Float[Array, "*b 6"], *, damping: float) -> Float[Array, "*b 7"]:
    """Return the joint steps, rad, that best make small tool motions: damped least squares, the one inverse of this package.

    Args:
        J: Jacobians, linear over angular.
        twist: desired tool motions, metres then rad, in the Jacobians' frame.
        damping: trades accuracy for small steps near singularities.
    """
    Jt = np.swapaxes(J, -1, -2)
    A = J @ Jt + damping**2 * np.eye(6)
    if twist.ndim == 1:
        return Jt @ np.linalg.solve(A, twist)
    return (Jt @ np.linalg.solve(A, twist[..., None]))[..., 0]
