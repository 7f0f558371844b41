"""Forward kinematics, Jacobian and inverse kinematics of the Franka arm, batched, in numpy.

Used to draw candidates' paths, to turn a direction into joint commands, and to check limits; the simulator has its own.
Frames: base (link 0) -> flange (DROID's panda_link8) -> tool centre point of the Franka hand.
"""

import numpy as np
from jaxtyping import Float

Q_LOW = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
Q_HIGH = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])
"""Joint limits, rad. Source: Franka control interface documentation, robot limits of the Panda."""

DQ_MAX = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])
"""Joint speed limits, rad/s. Source: same table."""

HAND_TCP_OFFSET = 0.1034
"""Flange to fingertips along flange z, metres. Source: Franka hand data sheet."""

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


def _joint_frames(q: Float[np.ndarray, "*b 7"]) -> Float[np.ndarray, "*b 8 4 4"]:
    """Return the poses of joints 1..7 and of the flange in the base frame."""
    q = np.asarray(q, dtype=np.float64)
    T = np.broadcast_to(np.eye(4), (*q.shape[:-1], 4, 4))
    frames = []
    for i, (a, d, alpha) in enumerate(_DH):
        c, s, ca, sa = np.cos(q[..., i]), np.sin(q[..., i]), np.cos(alpha), np.sin(alpha)
        zero, one = np.zeros_like(c), np.ones_like(c)
        step = np.stack(
            [
                np.stack([c, -s, zero, zero + a], -1),
                np.stack([s * ca, c * ca, zero - sa, zero - d * sa], -1),
                np.stack([s * sa, c * sa, zero + ca, zero + d * ca], -1),
                np.stack([zero, zero, zero, one], -1),
            ],
            -2,
        )
        T = T @ step
        frames.append(T)
    flange = np.eye(4)
    flange[2, 3] = _FLANGE_D
    frames.append(T @ flange)
    return np.stack(frames, -3)


def flange_pose(q: Float[np.ndarray, "*b 7"]) -> Float[np.ndarray, "*b 4 4"]:
    """Return the flange (panda_link8) in the base frame.

    Args:
        q: joint positions, rad.
    """
    return _joint_frames(q)[..., 7, :, :]


def link_poses(q: Float[np.ndarray, "*b 7"]) -> Float[np.ndarray, "*b 9 4 4"]:
    """Return the poses of links 0..7 and of the flange in the base frame (where the arm's meshes are drawn)."""
    frames = _joint_frames(q)
    base = np.broadcast_to(np.eye(4), (*frames.shape[:-3], 1, 4, 4))
    return np.concatenate([base, frames], axis=-3)


def skeleton(q: Float[np.ndarray, "*b 7"]) -> Float[np.ndarray, "*b 9 3"]:
    """Return the joint origins from base to flange in the base frame, metres (for drawing)."""
    frames = _joint_frames(q)[..., :3, 3]
    return np.concatenate([np.zeros_like(frames[..., :1, :]), frames], axis=-2)


def jacobian(q: Float[np.ndarray, " 7"], *, tool_offset: float = HAND_TCP_OFFSET) -> Float[np.ndarray, "6 7"]:
    """Return the geometric Jacobian (linear over angular) of a point on the flange axis, base frame.

    Args:
        q: joint positions, rad.
        tool_offset: metres along flange z.
    """
    frames = _joint_frames(q)
    tip = frames[7, :3, 3] + frames[7, :3, 2] * tool_offset
    axes, origins = frames[:7, :3, 2], frames[:7, :3, 3]
    return np.concatenate([np.cross(axes, tip - origins).T, axes.T], axis=0)


def joint_step(
    q: Float[np.ndarray, " 7"],
    twist: Float[np.ndarray, " 6"],
    *,
    tool_offset: float = HAND_TCP_OFFSET,
    damping: float = 0.02,
) -> Float[np.ndarray, " 7"]:
    """Return the joint step that best makes a small tool motion (damped least squares).

    Args:
        q: joint positions, rad.
        twist: desired tool motion, metres then rad, base frame.
        tool_offset: metres along flange z.
        damping: trades accuracy for small steps near singularities.
    """
    J = jacobian(q, tool_offset=tool_offset)
    return J.T @ np.linalg.solve(J @ J.T + damping**2 * np.eye(6), twist)
