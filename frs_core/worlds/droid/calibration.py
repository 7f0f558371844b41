"""Convert DROID's camera calibration: K at the size of the images, camera pose in the base frame.

DROID stores a pose as x y z and extrinsic xyz Euler angles of the left eye (OpenCV axes), in the base frame for the two
external cameras and in the flange frame (panda_link8) for the hand camera, and K at the camera's native size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot.observation import Calibration
from frs_core.robot.rotations import euler_angles, euler_matrix

OLD_S = 3600.0
"""A calibration older than this is called old, as in DROID's own window."""


def pose_matrix(pose: Sequence[float] | Float[Array, " 6"]) -> Float[Array, "4 4"]:
    """Return the 4x4 matrix of DROID's six numbers: metres, then extrinsic xyz Euler angles in rad.

    Example: (0, 0, 1, 0, 0, pi/2) is one metre up, rotated left by 90 degrees.
    """
    T = np.eye(4)
    T[:3, :3] = euler_matrix(np.asarray(pose[3:6], dtype=np.float64))
    T[:3, 3] = pose[:3]
    return T


def pose_numbers(T: Float[Array, "4 4"]) -> Float[Array, " 6"]:
    """Return DROID's six numbers of a 4x4 matrix; inverse of `pose_matrix`."""
    return np.concatenate([T[:3, 3], euler_angles(T[:3, :3])])


def scale_intrinsics(K: Float[Array, "3 3"], native: tuple[int, int], size: tuple[int, int]) -> Float[Array, "3 3"]:
    """Return K for resized images; pixel centres are at integers, so the half pixel moves with the scale.

    Args:
        K: at the native size, pixels.
        native: (width, height) K was made for.
        size: (width, height) of the images.
    """
    sx, sy = size[0] / native[0], size[1] / native[1]
    scaled = np.asarray(K, dtype=np.float64).copy()
    scaled[0, :2] *= sx
    scaled[1, 1] *= sy
    scaled[0, 2] = sx * (K[0, 2] + 0.5) - 0.5
    scaled[1, 2] = sy * (K[1, 2] + 0.5) - 0.5
    return scaled


def calibration_of(
    entry: Mapping[str, Any], *, size: tuple[int, int], T_base_flange: Float[Array, "4 4"]
) -> Calibration | None:
    """Return one camera's calibration at this instant, or None where K, size or pose are unknown.

    Args:
        entry: the bridge's facts of the camera (K, size, pose, frame, made_at).
        size: (width, height) of the images.
        T_base_flange: where the flange is, for the hand camera.
    """
    if not entry.get("K") or not entry.get("size") or not entry.get("pose") or entry["K"][0][0] <= 0:
        return None
    pose = pose_matrix(entry["pose"])
    T = T_base_flange @ pose if entry.get("frame") == "flange" else pose
    K = scale_intrinsics(np.array(entry["K"]), (entry["size"][0], entry["size"][1]), size)
    return Calibration(K, T, size[0], size[1], entry.get("made_at"))
