"""Where a held thing has to be released so that LIBERO's goal is met.

LIBERO judges by origins: `on` a thing wants both origins within 3 cm of each other and contact, `on` or `in` a region wants the thing's
origin above or within the region's box. Pure functions; any thread.
"""

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.worlds.libero.geometry import ON, Goal, Scene

EDGE = 0.012
"""Metres that an origin is kept within a region's edge."""


def target(scene: Scene, goal: Goal) -> Float[Array, " 2"]:
    """Return where the thing's origin should be in the plane, base frame, metres.

    Args:
        scene: with the thing anywhere.
        goal: of relation `ON` or `IN`.
    """
    if goal.place not in scene.regions:
        return scene.pose(goal.place)[:2, 3]
    region, origin = scene.regions[goal.place], scene.pose(goal.thing)[:2, 3]
    # The thing's middle over the region's, unless its origin would then be outside.
    offset = origin - scene.bounds(goal.thing)[:, :2].mean(axis=0)
    room = np.maximum(region.reach[:2] - EDGE, 0.0)
    return region.centre[:2] + np.clip(offset, -room, room)


def turn_to_fit(scene: Scene, goal: Goal) -> float:
    """Return the yaw by which a long thing is turned to lie along a long region, rad; 0 where either is not long."""
    region = scene.regions.get(goal.place)
    if region is None or (goal.relation == ON and not region.owner):
        return 0.0
    reach = region.reach[:2]
    if reach.max() < 1.3 * reach.min():
        return 0.0
    wanted = 0.0 if reach[0] > reach[1] else np.pi / 2
    T, half = scene.boxes(of=(goal.thing,))
    big = int(np.prod(half, axis=1).argmax())
    sides = T[big, :3, :3] * half[big]
    flat = sides[:2, np.argsort(-np.linalg.norm(sides[:2], axis=0))]
    long, short = flat[:, 0], flat[:, 1]
    if np.linalg.norm(long) < 1.3 * np.linalg.norm(short):
        return 0.0
    turn = wanted - float(np.arctan2(long[1], long[0]))
    return float((turn + np.pi / 2) % np.pi - np.pi / 2)
