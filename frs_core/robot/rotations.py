"""Rotations as vectors, matrices, quaternions and Euler angles. Pure functions; any thread.

Example: `rotation_matrix(np.array([0, 0, np.pi / 2]))` turns x into y.
"""

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array


def skew(v: Float[Array, "*b 3"]) -> Float[Array, "*b 3 3"]:
    """Return the matrices K with K @ p = cross(v, p)."""
    x, y, z = np.moveaxis(v, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*v.shape[:-1], 3, 3)


def rotation_matrix(v: Float[Array, " 3"]) -> Float[Array, "3 3"]:
    """Return the rotation matrix of a rotation vector, rad."""
    angle = float(np.linalg.norm(v))
    if angle < 1e-12:
        return np.eye(3)
    K = skew(v / angle)
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def rotation_vector(R: Float[Array, "3 3"]) -> Float[Array, " 3"]:
    """Return the rotation vector of a rotation matrix, rad; for angles below pi."""
    w = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    sine, cosine = float(np.linalg.norm(w)), (np.trace(R) - 1) / 2
    angle = np.arctan2(sine, cosine)
    return w if sine < 1e-9 else w * (angle / sine)


def rotations_in_turn(R: Float[Array, "3 3"], turns: Float[Array, "B H 3"]) -> Float[Array, "B H 3 3"]:
    """Return the orientation after each row's rotation vector (base frame, rad), one after the other.

    Args:
        R: orientation before row 0.
        turns: one rotation vector per row.
    """
    vectors = turns.astype(np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    K = skew(vectors)
    # np.sinc is sin(pi a) / (pi a); both factors are finite at angle 0. Source: Rodrigues' formula.
    steps = np.eye(3) + np.sinc(angle / np.pi) * K + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * K @ K
    rows = np.empty_like(steps)
    now = R
    for i in range(turns.shape[1]):
        rows[:, i] = now = steps[:, i] @ now
    return rows


def small_turn(start: Float[Array, "B 3 3"], end: Float[Array, "B 3 3"]) -> Float[Array, "B 3"]:
    """Return the turn from one orientation to another, base frame; its length is the angle's sine."""
    turn = end @ np.swapaxes(start, -1, -2)
    one = np.stack([turn[:, 2, 1], turn[:, 0, 2], turn[:, 1, 0]], -1)
    other = np.stack([turn[:, 1, 2], turn[:, 2, 0], turn[:, 0, 1]], -1)
    return 0.5 * (one - other)


def euler_matrix(angles: Float[Array, " 3"]) -> Float[Array, "3 3"]:
    """Return the rotation matrix of extrinsic xyz Euler angles, rad."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def euler_angles(R: Float[Array, "*b 3 3"]) -> Float[Array, "*b 3"]:
    """Return extrinsic xyz Euler angles, rad; inverse of `euler_matrix`."""
    pitch = -np.arcsin(np.clip(R[..., 2, 0], -1.0, 1.0))
    return np.stack([np.arctan2(R[..., 2, 1], R[..., 2, 2]), pitch, np.arctan2(R[..., 1, 0], R[..., 0, 0])], axis=-1)


def quaternion_matrix(q: Float[Array, " 4"]) -> Float[Array, "3 3"]:
    """Return the rotation matrix of a quaternion (xyzw, of any length but 0)."""
    x, y, z, w = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_of(R: Float[Array, "3 3"]) -> Float[Array, " 4"]:
    """Return the unit quaternion (xyzw, w >= 0) of a rotation matrix, half turns included."""
    # The outer product of q with itself, times 4: its column with the largest diagonal element is q without loss of digits.
    (a, b, c), (d, e, f), (g, h, i) = R
    products = np.array(
        [
            [1 + a - e - i, b + d, c + g, h - f],
            [b + d, 1 - a + e - i, f + h, c - g],
            [c + g, f + h, 1 - a - e + i, d - b],
            [h - f, c - g, d - b, 1 + a + e + i],
        ]
    )
    q = products[:, int(np.argmax(np.diag(products)))]
    return q / np.linalg.norm(q) * (-1.0 if q[3] < 0 else 1.0)
