"""The content of the 3D view as plain arrays, for the GL view and the painted one.

Base frame, metres. Pure numpy; any thread.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from app.views.fan_curves import FanStyle, colour_of
from frs_core.arrays import Array
from frs_core.events import Snapshot
from frs_core.robot import kinematics
from frs_core.robot.observation import Calibration, Observation
from frs_core.steering.candidates import Fan


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A polyline with its style."""

    points: Float[Array, "n 3"]
    colour: str
    width: float = 1.5
    alpha: float = 1.0
    is_dashed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SceneModel:
    """The content of the 3D view."""

    q: Float[Array, " 7"]
    gripper: float
    lines: tuple[Line, ...] = ()
    skeleton: Float[Array, "10 3"] = field(default_factory=lambda: np.zeros((10, 3)))
    """Joint origins, flange and tool centre."""


def build(
    observation: Observation,
    *,
    fan: Fan | None = None,
    style: FanStyle | None = None,
    trail: Float[Array, "n 3"] | None = None,
    workspace: tuple[Array, Array] | None = None,
    extra: tuple[Line, ...] = (),
) -> SceneModel:
    """Return the model of an observation.

    Args:
        observation: robot and cameras.
        fan: the fan to draw.
        style: highlight and staleness.
        trail: tool positions so far.
        workspace: low and high corner of the box.
        extra: more lines, e.g. a recorded path.
    """
    style = style or FanStyle()
    lines: list[Line] = []
    if workspace is not None:
        lines += box_lines(*workspace)
    for frame in observation.frames.values():
        if frame.calibration is not None:
            lines += frustum_lines(frame.calibration)
    if trail is not None and len(trail) > 1:
        lines.append(Line(np.asarray(trail, dtype=float), "#ffffff", 1.5, 0.7))
    if fan is not None:
        lines += fan_lines(fan, style)
    skeleton = np.vstack([kinematics.skeleton(observation.q), observation.p_tcp])
    return SceneModel(observation.q, observation.gripper, (*lines, *extra), skeleton)


def from_snapshot(snapshot: Snapshot, style: FanStyle, workspace: tuple[Array, Array] | None) -> SceneModel | None:
    """Return the model of a live snapshot, or None before the first observation."""
    if snapshot.observation is None:
        return None
    return build(snapshot.observation, fan=snapshot.fan, style=style, trail=snapshot.trail, workspace=workspace)


def box_lines(low: Array, high: Array) -> list[Line]:
    """Return the workspace box as three polylines."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    bottom = np.array([[x0, y0, z0], [x1, y0, z0], [x1, y1, z0], [x0, y1, z0], [x0, y0, z0]])
    top = bottom + np.array([0.0, 0.0, z1 - z0])
    posts = [np.stack([bottom[i], top[i]]) for i in range(4)]
    return [Line(p, "#5cb3ff", 1.0, 0.45) for p in (bottom, top, *posts)]


def frustum_lines(calibration: Calibration, *, depth: float = 0.12) -> list[Line]:
    """Return a camera's frustum as lines."""
    width, height = calibration.width, calibration.height
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=float)
    rays = corners @ np.linalg.inv(calibration.K).T * depth
    rotation, centre = calibration.T_base_camera[:3, :3], calibration.T_base_camera[:3, 3]
    far = rays @ rotation.T + centre
    ring = np.vstack([far, far[:1]])
    return [Line(ring, "#8fa3bd", 1.2, 0.9)] + [Line(np.stack([centre, p]), "#8fa3bd", 1.0, 0.7) for p in far]


def fan_lines(fan: Fan, style: FanStyle) -> list[Line]:
    """Return the candidates' paths; the highlighted one is thick, the others are dim."""
    highlighted = style.highlight or style.picked
    lines = []
    for candidate in fan.candidates:
        is_full = candidate.command is None or candidate.command.amount is style.amount
        is_highlighted = candidate.label == highlighted
        if not is_full and not is_highlighted and not style.show_other:
            continue
        colour = "#9aa0a8" if style.is_stale else colour_of(candidate)
        alpha = 1.0 if is_highlighted or (highlighted is None and is_full) else 0.25
        width = 4.0 if is_highlighted else (2.5 if is_full else 1.0)
        lines.append(Line(candidate.path[: fan.execute_rows + 1], colour, width, alpha))
    return lines
