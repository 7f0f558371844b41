"""Where to grasp a thing from above, and how low the hand can go with it.

Problem: bowls must be taken by the rim, boxes and cans across, mugs by a wall or the handle, always between their neighbours. Idea: no
table of kinds: surfaces are sampled as points, and a grasp is any place where a piece of the thing fits between the open fingers
while fingers and palm touch nothing. A bowl's rim is then the only piece that fits, a box is thin enough as a whole.

    points = surface_points(*scene.boxes(of=("akita_black_bowl_1",)))
    best = grasps(points, others, floor=scene.table_height)[0]      # over the rim

Lengths in metres, base frame; the tool is LIBERO's grip site, which points down, and its fingers open along y at yaw 0.
Pure functions; any thread.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array

INSIDE = 0.036
"""From the middle to the inner side of an open finger; the widest piece is twice as wide. Source: collision shapes of robosuite's
Panda gripper (0.038), less 2 mm."""
OUTSIDE = 0.066
"""From the middle to the outer side of an open finger. Source: the same (0.064)."""
BREADTH = 0.012
"""Half the breadth of a finger. Source: the same (0.0107)."""
TIP = 0.012
"""From the tool down to the fingers' ends. Source: the same (0.011)."""
PALM = 0.034
"""From the tool up to the palm. Source: the same (0.031), and 3 mm."""
PALM_HALF = (0.10, 0.035)
"""Half sides of the palm, along and across the fingers' opening. Source: the same."""
SPACING = 0.006
"""Between sampled points."""
YAWS = tuple(np.radians((0, -30, 30, -60, 60, 90, -90, -120, 120)))
"""Yaws that are tried, those near the rest pose preferred."""
SKEW = 0.012
"""A side of a piece may run this much askew over a finger's breadth; corners are not grasped."""
_DEPTHS = (0.028, 0.02, 0.012, 0.006, 0.001)
"""From the top of the piece down to the tool."""
_CELL = 0.006
"""Side of the cells of a height map."""


@dataclass(frozen=True, slots=True)
class Grasp:
    """Where the tool is when the fingers close."""

    point: Float[Array, " 3"]
    yaw: float
    """About the vertical, rad; the arm's rest pose is 0."""
    width: float
    """Of the piece between the fingers."""
    cost: float
    """Smaller is better."""


def surface_points(T: Float[Array, "N 4 4"], half: Float[Array, "N 3"], *, spacing: float = SPACING) -> Array:
    """Return points [P, 3] on the surfaces of boxes, at most `spacing` apart.

    Args:
        T: their poses.
        half: their half sides.
        spacing: metres.
    """
    found = [np.empty((0, 3))]
    for pose, sides in zip(T, half, strict=True):
        axes = [np.linspace(-s, s, max(2, int(np.ceil(2 * s / spacing)) + 1)) for s in sides]
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            a, b = (grid.ravel() for grid in np.meshgrid(axes[j], axes[k], indexing="ij"))
            for sign in (-1.0, 1.0):
                face = np.empty((len(a), 3))
                face[:, i], face[:, j], face[:, k] = sign * sides[i], a, b
                found.append(face @ pose[:3, :3].T + pose[:3, 3])
    return np.concatenate(found)


def turned(points: Float[Array, "P 3"], yaw: float) -> Float[Array, "P 3"]:
    """Return points in a frame turned by yaw about the vertical: first across, then along the fingers' opening, then height."""
    c, s = np.cos(yaw), np.sin(yaw)
    return points @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def grasps(
    thing: Float[Array, "P 3"],
    others: Float[Array, "Q 3"],
    *,
    floor: float,
    yaws: tuple[float, ...] = YAWS,
) -> list[Grasp]:
    """Return grasps of a thing from above, the best first.

    Args:
        thing: points on its surface.
        others: points on everything near it.
        floor: height of what it stands on, if that is not among the others.
        yaws: that are tried.
    """
    middle = (thing.min(axis=0) + thing.max(axis=0)) / 2
    near = others[np.abs(others[:, :2] - middle[:2]).max(axis=1, initial=0.0) < 0.3]
    found: list[Grasp] = []
    for yaw in yaws:
        own, rest = turned(thing, yaw), turned(near, yaw)
        both = np.concatenate([own, rest])
        centre = turned(middle[None], yaw)[0]
        for across in np.arange(own[:, 0].min() + 0.006, own[:, 0].max() - 0.005, 0.01):
            slab = own[np.abs(own[:, 0] - across) < BREADTH]
            lane = both[np.abs(both[:, 0] - across) < BREADTH]
            under_palm = both[np.abs(both[:, 0] - across) < PALM_HALF[1]]
            for depth in _DEPTHS:
                for low, high, top, skew in _pieces(slab, depth):
                    height = max(top - depth, floor + TIP + 0.002)
                    along = (low + high) / 2
                    if top - height < 0.0 or _is_blocked(lane, under_palm, along, height):
                        continue
                    off = float(np.hypot(across - centre[0], along - centre[1]))
                    cost = 4 * (off + skew) + 0.12 * abs(yaw) + 6 * (0.03 - min(0.03, top - height)) + 2 * (high - low)
                    point = turned(np.array([[across, along, height]]), -yaw)[0]
                    found.append(Grasp(point, float(yaw), float(high - low), float(cost)))
    return sorted(found, key=lambda grasp: grasp.cost)


def _pieces(slab: Float[Array, "P 3"], depth: float) -> list[tuple[float, float, float, float]]:
    """Return the pieces between two gaps that fit between the fingers: from, to, top, and how much their sides run askew."""
    if len(slab) == 0:
        return []
    tops = slab[slab[:, 2] > slab[:, 2].max() - depth - TIP]
    tops = tops[tops[:, 1].argsort()]
    found: list[tuple[float, float, float, float]] = []
    for part in np.split(tops, np.flatnonzero(np.diff(tops[:, 1]) > 2.5 * SPACING) + 1):
        low, high = float(part[0, 1]), float(part[-1, 1])
        sides = [
            part[:, 1][side] for side in (part[:, 0] <= np.median(slab[:, 0]), part[:, 0] >= np.median(slab[:, 0]))
        ]
        if high - low > 2 * INSIDE - 0.004 or min(map(len, sides)) == 0:
            continue
        skew = max(abs(float(np.min(sides[0]) - np.min(sides[1]))), abs(float(np.max(sides[0]) - np.max(sides[1]))))
        if skew < SKEW:
            found.append((low, high, float(part[:, 2].max()), skew))
    return found


def _is_blocked(lane: Float[Array, "P 3"], under_palm: Float[Array, "Q 3"], along: float, height: float) -> bool:
    off = np.abs(lane[:, 1] - along)
    if ((off > INSIDE) & (off < OUTSIDE) & (lane[:, 2] > height - TIP)).any():
        return True
    off = np.abs(under_palm[:, 1] - along)
    return bool(((off < PALM_HALF[0]) & (under_palm[:, 2] > height + PALM)).any())


def hand_points(yaw: float, *, opening: float = INSIDE) -> Float[Array, "P 3"]:
    """Return points on the underside of fingers and palm, relative to the tool.

    Args:
        yaw: of the hand, rad.
        opening: from the middle to a finger's inner side.
    """
    finger = [
        (x, side * y, -TIP)
        for x in (-BREADTH, 0.0, BREADTH)
        for y in np.arange(opening, opening + OUTSIDE - INSIDE + 0.001, SPACING)
        for side in (-1, 1)
    ]
    palm = [
        (x, y, PALM)
        for x in np.linspace(-PALM_HALF[1], PALM_HALF[1], 10)
        for y in np.linspace(-PALM_HALF[0], PALM_HALF[0], 30)
    ]
    return turned(np.array(finger + palm), -yaw)


def lowest_height(
    moving: Float[Array, "P 3"], still: Float[Array, "Q 3"], at: Float[Array, " 2"], *, floor: float
) -> float:
    """Return the height that something can be lowered to, straight down, before it touches anything.

    Args:
        moving: points of it, relative to its reference point.
        still: points of everything else.
        at: the reference point in the plane.
        floor: height of the ground.
    """
    places = moving + [*at, 0.0]
    tops: dict[tuple[int, int], float] = {}
    near = still[np.abs(still[:, :2] - at).max(axis=1, initial=0.0) < 0.3]
    for (i, j), z in zip(np.round(near[:, :2] / _CELL).astype(int).tolist(), near[:, 2].tolist(), strict=True):
        tops[i, j] = max(tops.get((i, j), floor), z)
    cells = np.round(places[:, :2] / _CELL).astype(int).tolist()
    under = np.array([tops.get((i, j), floor) for i, j in cells])
    return float((under - moving[:, 2]).max())
