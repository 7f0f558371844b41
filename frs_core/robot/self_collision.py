"""How far the arm's upper links are from its lower ones, and from the ground, by capsules around both.

Problem: a hand that is pulled back or down meets the shoulder, or the elbow meets the table, before any joint is near a limit, and nobody
sees it in a picture of the table. Idea: a Panda's links are tubes, so a few capsules hold each; capsules touch where the segments in
their middle are closer than their radii. Only the forearm, the wrist and the hand can reach the base, the shoulder and the upper
arm within the joints' limits (measured: 20,000 random poses); the other pairs are not looked at.

Example: `clearance(q, T_flange_tcp)` -> 0.12 at DROID's home pose, -0.02 with the hand in the shoulder.

The capsules hold every vertex of the arm's meshes (assets/panda) with 1 mm to spare. The hand is a tube from the flange to the tool and a
bar across it: a guess that is roughly Franka's own hand and a Robotiq 2F-85. Pure functions; any thread.
"""

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot import kinematics

Segments = tuple[tuple[tuple[float, float, float], tuple[float, float, float], float], ...]
"""Start and end in a link's frame, and radius, metres. Fitted by hand to the meshes."""
LOWER: dict[int, Segments] = {
    0: (((-0.09, 0, 0.05), (0, 0, 0.05), 0.109),),
    1: (((0, 0, -0.163), (0, 0, 0), 0.066), ((0, -0.1, 0), (0, 0, 0), 0.062), ((0, -0.045, -0.045), (0, 0, 0), 0.064)),
    2: (((0, 0, 0), (0, 0, 0.1), 0.062), ((0, -0.165, 0), (0, 0, 0), 0.066), ((0, -0.045, 0.045), (0, 0, 0), 0.064)),
}
UPPER: dict[int, Segments] = {
    5: (
        ((0, 0, -0.23), (0, 0, -0.17), 0.066),
        ((0, 0, -0.2), (0, 0.07, -0.12), 0.064),
        ((0, 0.07, -0.16), (0, 0.075, -0.03), 0.061),
        ((0, 0, 0), (0, 0.075, 0), 0.061),
    ),
    6: (((0, 0, 0), (0.088, 0, 0), 0.066), ((0.088, -0.02, 0), (0.088, 0.03, 0), 0.064)),
    7: (((0, 0, 0.06), (0, 0, 0.09), 0.056), ((0, 0, 0.08), (0.045, 0.045, 0.08), 0.046)),
}
"""Link -> its capsules."""
_HAND_RADIUS, _BAR, _BAR_BELOW = 0.042, 0.06, 0.03
"""Of tube and bar; half the length of the bar across the hand, and how far it is from the flange, metres."""


def _radii(links: dict[int, Segments]) -> Float[Array, " n"]:
    return np.array([radius for segments in links.values() for _, _, radius in segments])


_LOWER_RADII = _radii(LOWER)
_ARM_RADII = _radii(UPPER)
_UPPER_RADII = np.append(_ARM_RADII, [_HAND_RADIUS, _HAND_RADIUS])


def clearance(q: Float[Array, "*b 7"], T_flange_tcp: Float[Array, "4 4"]) -> Float[Array, "*b"]:
    """Return the smallest distance between upper and lower links, metres; negative where their capsules overlap.

    Args:
        q: joint positions, rad.
        T_flange_tcp: the tool on the flange.
    """
    poses = kinematics.link_poses(q)
    upper = np.concatenate([_placed(UPPER, poses), _hand(poses[..., 8, :, :], T_flange_tcp)], axis=-3)
    gaps = _between(_placed(LOWER, poses), upper) - _LOWER_RADII[:, None] - _UPPER_RADII
    return np.asarray(gaps.min(axis=(-1, -2)))


def lowest(q: Float[Array, "*b 7"]) -> Float[Array, "*b"]:
    """Return the height of the lowest point of forearm and wrist, base frame, metres.

    Args:
        q: joint positions, rad.
    """
    ends = _placed(UPPER, kinematics.link_poses(q))[..., 2].min(axis=-1)
    return np.asarray((ends - _ARM_RADII).min(axis=-1))


def _placed(links: dict[int, Segments], poses: Float[Array, "*b 9 4 4"]) -> Float[Array, "*b n 2 3"]:
    """Return the ends of the links' segments in the base frame."""
    parts = []
    for link, segments in links.items():
        T = poses[..., link, None, None, :, :]
        parts.append((T[..., :3, :3] @ np.array([ends for *ends, _ in segments])[..., None])[..., 0] + T[..., :3, 3])
    return np.concatenate(parts, axis=-3)


def _hand(T_base_flange: Float[Array, "*b 4 4"], T_flange_tcp: Float[Array, "4 4"]) -> Float[Array, "*b 2 2 3"]:
    """Return a tube from the flange to the tool, and a bar across it along the tool's y axis, in the base frame."""
    tip, across = T_flange_tcp[:3, 3], T_flange_tcp[:3, 1]
    length = max(float(np.linalg.norm(tip)), 1e-9)
    along = tip / length
    # The round end of the tube reaches the tool, and no further.
    tube = np.stack([np.zeros(3), along * max(length - _HAND_RADIUS, 0.0)])
    bar = along * min(_BAR_BELOW, length) + np.outer([-_BAR, _BAR], across)
    T = T_base_flange[..., None, None, :, :]
    return (T[..., :3, :3] @ np.stack([tube, bar])[..., None])[..., 0] + T[..., :3, 3]


def _between(a: Float[Array, "*b n 2 3"], b: Float[Array, "*b m 2 3"]) -> Float[Array, "*b n m"]:
    """Return the distance between every segment of `a` and every one of `b`.

    Source: Ericson, Real-Time Collision Detection, section 5.1.9.
    """
    # Products of all pairs by matrix products; no array has pairs and coordinates.
    p, u, s, v = a[..., 0, :], a[..., 1, :] - a[..., 0, :], b[..., 0, :], b[..., 1, :] - b[..., 0, :]
    st, vt = np.swapaxes(s, -1, -2), np.swapaxes(v, -1, -2)
    uu, vv = np.maximum((u * u).sum(-1), 1e-12)[..., None], np.maximum((v * v).sum(-1), 1e-12)[..., None, :]
    uv = u @ vt
    wu = (p * u).sum(-1)[..., None] - u @ st
    wv = p @ vt - (s * v).sum(-1)[..., None, :]
    ww = (p * p).sum(-1)[..., None] - 2 * (p @ st) + (s * s).sum(-1)[..., None, :]
    x = np.clip((uv * wv - vv * wu) / np.maximum(uu * vv - uv * uv, 1e-12), 0.0, 1.0)
    y = np.clip((uv * x + wv) / vv, 0.0, 1.0)
    x = np.clip((uv * y - wu) / uu, 0.0, 1.0)
    square = ww + x * (2 * wu + x * uu - 2 * y * uv) + y * (y * vv - 2 * wv)
    return np.sqrt(np.maximum(square, 0.0))
