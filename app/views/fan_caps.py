"""Where the key caps of a fan go, so that each belongs to its curve and none covers another or what is grasped. Pure geometry, in logical pixels.

Example: `place_caps` starts each cap beyond the end of its curve, then pushes overlapping ones apart until none overlaps, or 40 times.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from app import theme
from app.qt import QtCore
from app.views.fan_curves import Curve, to_widget
from frs_core.arrays import Array

GRASPED_M = 0.045
"""Half the width of what the gripper can hold, and a little, metres."""
TOGETHER_PX = 12.0
"""Curves whose ends are closer than this are numbered, logical pixels."""


def place_caps(
    anchors: Float[Array, "n 2"],
    headings: Float[Array, "n 2"],
    sizes: Float[Array, "n 2"],
    bounds: QtCore.QRectF,
    *,
    keep_clear: tuple[float, float, float] | None = None,
) -> Float[Array, "n 2"]:
    """Return centres for caps that do not cover each other, near their anchors and inside the bounds.

    Args:
        anchors: ends of the curves, logical pixels, as all that follows.
        headings: unit directions in which the curves end.
        sizes: widths and heights of the caps.
        bounds: where caps must stay.
        keep_clear: x, y and radius of what they must not cover.
    """
    centres = anchors + headings * (18.0 * theme.scale() + sizes.max(axis=1, keepdims=True) / 2)
    low = np.array([bounds.left(), bounds.top()]) + sizes / 2 + 2
    high = np.array([bounds.right(), bounds.bottom()]) - sizes / 2 - 2
    centres = np.clip(centres, low, high)
    boxes = sizes.tolist()
    for _ in range(40):
        is_moved = False
        # Plain numbers are faster than arrays for a single pair.
        spots: list[list[float]] = centres.tolist()
        for i, j in itertools.combinations(range(len(spots)), 2):
            gap = [a - b for a, b in zip(spots[i], spots[j], strict=True)]
            overlap = [(a + b) / 2 + 3 - abs(g) for a, b, g in zip(boxes[i], boxes[j], gap, strict=True)]
            if min(overlap) > 0:
                axis = int(overlap[1] < overlap[0])
                push = (overlap[axis] / 2 + 0.5) * (1.0 if gap[axis] >= 0 else -1.0)
                spots[i][axis] += push
                spots[j][axis] -= push
                is_moved = True
        if keep_clear is not None:
            for spot, size in zip(spots, boxes, strict=True):
                is_moved |= _push_off(spot, size, keep_clear)
        centres = np.clip(spots, low, high)
        if not is_moved:
            break
    return centres


def _push_off(centre: list[float], size: list[float], disc: tuple[float, float, float]) -> bool:
    """Move a box off a disc, away from its middle; tell whether it had to be."""
    away = [c - d for c, d in zip(centre, disc, strict=False)]
    gap = math.hypot(*(max(abs(a) - s / 2, 0.0) for a, s in zip(away, size, strict=True)))
    if gap >= disc[2]:
        return False
    length = math.hypot(*away)
    way = [a / length for a in away] if length > 1.0 else [0.0, -1.0]
    for axis in (0, 1):
        centre[axis] += way[axis] * (disc[2] - gap + 0.5)
    return True


def clear_of(
    curves: Sequence[Curve], scale: float, offset: tuple[float, float], bounds: QtCore.QRectF
) -> tuple[float, float, float] | None:
    """Return the disc around the tool in which a grasped thing is seen: x, y, radius, logical pixels; None if it is out of sight."""
    pixels_per_m = [
        float(np.linalg.norm(c.uv[c.executed - 1] - c.uv[0]) / max(moved, 1e-3))
        for c in curves
        if (moved := float(np.linalg.norm(c.candidate.path[c.executed - 1] - c.candidate.path[0]))) > 0.01
    ]
    pixels_per_m = [p for p in pixels_per_m if math.isfinite(p)]
    if not pixels_per_m:
        return None
    x, y = to_widget(curves[0].uv[0], scale, offset).tolist()
    # `contains` says yes to NaN, a start behind the camera.
    if not (math.isfinite(x) and math.isfinite(y) and bounds.contains(QtCore.QPointF(x, y))):
        return None
    # A curve towards the camera is short in the image; the longest one is closest to true.
    radius = GRASPED_M * max(pixels_per_m) * scale
    return x, y, min(radius, 0.15 * min(bounds.width(), bounds.height()))


def tell_apart(ends: Float[Array, "n 2"], paths: Sequence[Float[Array, "m 2"]]) -> list[tuple[int, int] | None]:
    """Return a number for each curve that ends beside another one, and the row at which it is farthest from those; else None.

    Args:
        ends: of the curves, logical pixels.
        paths: their executed parts, finite, logical pixels.
    """
    near = np.linalg.norm(ends[:, None] - ends[None], axis=2) < TOGETHER_PX
    found: list[tuple[int, int] | None] = []
    count = 0
    for i, path in enumerate(paths):
        others = [paths[j] for j in np.flatnonzero(near[i]).tolist() if j != i]
        if not others:
            found.append(None)
            continue
        count += 1
        apart = np.array([min(float(np.linalg.norm(o - p, axis=1).min()) for o in others) for p in path])
        found.append((count, int(apart.argmax())))
    return found
