"""The candidates of a fan as curves in the pixels of a camera's image: pure geometry, tested against the renderer. GUI thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from app import theme
from app.qt import QtCore
from frs_core.arrays import Array
from frs_core.robot.observation import Calibration
from frs_core.steering.candidates import Candidate, CandidateKind, Fan
from frs_core.steering.directions import Amount, Gripper


@dataclass(frozen=True, slots=True)
class FanStyle:
    """How the fan is drawn."""

    amount: Amount = Amount.MORE
    """The step size that a key picks; it is drawn thick, the other one thin."""
    highlight: str | None = None
    picked: str | None = None
    is_stale: bool = False
    show_other: bool = True
    show_reference: bool = True
    has_caps: bool = True
    """Whether keys are written at the curves' ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One candidate in image pixels."""

    candidate: Candidate
    uv: Float[Array, "n 2"]
    """Path in pixels; NaN where behind the camera."""
    reference_uv: Float[Array, "m 2"] | None
    executed: int
    """Points of `uv` that would be executed."""
    is_full: bool
    """Whether a key picks it now."""
    cap: str
    glyph: str
    colour: str
    is_closing: bool
    """Whether the gripper is closed at the end of the executed rows."""


def glyph_of(candidate: Candidate) -> str:
    """Return the one-character sign of a candidate."""
    if candidate.kind is CandidateKind.UNSTEERED:
        return "◇"
    if candidate.kind is CandidateKind.LEARNED:
        return "★"
    if candidate.command is not None and candidate.command.direction is None:
        return {Gripper.CLOSE: "›‹", Gripper.OPEN: "‹›", Gripper.POLICY: "•"}[candidate.command.gripper]
    if candidate.command is None or candidate.command.direction is None:
        return "•"
    return candidate.command.direction.glyph


def colour_of(candidate: Candidate) -> str:
    """Return the light core colour of a candidate."""
    if candidate.kind is CandidateKind.UNSTEERED:
        return theme.UNSTEERED_CORE
    if candidate.kind is CandidateKind.LEARNED:
        return theme.LEARNED_CORE
    if candidate.command is None or candidate.command.direction is None:
        return theme.CORE_GREY
    return theme.DIRECTION_CORE[candidate.command.direction]


def project_fan(
    fan: Fan, calibration: Calibration, *, style: FanStyle, cap_of: Callable[[Candidate], str]
) -> list[Curve]:
    """Return the candidates as curves in image pixels, thin ones first.

    Args:
        fan: the fan to draw.
        calibration: of the image to draw on.
        style: which step size is picked by keys.
        cap_of: the key that picks a candidate.
    """
    curves = []
    for candidate in fan.candidates:
        is_full = candidate.command is None or candidate.command.amount is style.amount
        if not is_full and not style.show_other and candidate.label not in (style.highlight, style.picked):
            continue
        if _changes_nothing(candidate, fan) and candidate.label not in (style.highlight, style.picked):
            continue
        uv, _ = calibration.project(candidate.path)
        reference = None
        if candidate.reference_path is not None and style.show_reference:
            reference, _ = calibration.project(candidate.reference_path[: fan.execute_rows + 1])
        curves.append(
            Curve(
                candidate,
                uv,
                reference,
                min(fan.execute_rows + 1, len(uv)),
                is_full,
                cap_of(candidate) if is_full else "",
                glyph_of(candidate),
                colour_of(candidate),
                bool(candidate.chunk[min(fan.execute_rows, len(candidate.chunk)) - 1, -1] > 0.5),
            )
        )
    return sorted(curves, key=lambda c: (c.is_full, c.candidate.label == style.highlight))


def _changes_nothing(candidate: Candidate, fan: Fan) -> bool:
    """Whether a candidate stays in place and keeps the commanded gripper state."""
    command = candidate.command
    if command is None or command.direction is not None:
        return False
    is_closed = fan.observation.gripper_command > 0.5
    return command.gripper is (Gripper.CLOSE if is_closed else Gripper.OPEN)


def curve_at(
    curves: Sequence[Curve], at: tuple[float, float], *, scale: float, offset: tuple[float, float], radius: float = 12.0
) -> Curve | None:
    """Return the curve nearest to a widget position within `radius` logical pixels, or None."""
    best, best_distance = None, radius
    for curve in curves:
        points = to_widget(curve.uv[: curve.executed], scale, offset)
        points = points[np.isfinite(points).all(axis=1)]
        # All curves share their start, so only the outer two thirds are tested.
        points = points[len(points) // 3 :]
        if len(points) == 0:
            continue
        distance = float(np.linalg.norm(points - np.asarray(at), axis=1).min())
        if distance < best_distance:
            best, best_distance = curve, distance
    return best


def mark_on(
    curves: Sequence[Curve], picked: str | None, rows_done: float, scale: float, offset: tuple[float, float]
) -> QtCore.QPointF | None:
    """Return the widget position on the picked curve after a number of rows, interpolated between rows."""
    curve = next((c for c in curves if c.candidate.label == picked), None)
    if curve is None:
        return None
    last = curve.executed - 1
    row = min(int(rows_done), last)
    share = min(rows_done - row, 1.0)
    uv = curve.uv[row] * (1 - share) + curve.uv[min(row + 1, last)] * share
    x, y = to_widget(uv, scale, offset).tolist()
    return QtCore.QPointF(x, y) if abs(x) < 1e5 and abs(y) < 1e5 else None


def heading(points: Array) -> Array:
    """Return the unit direction in which a curve ends, from its last few pixels."""
    back = points[-1] - points[:-1]
    distance = np.linalg.norm(back, axis=1)
    far = np.flatnonzero(distance > 3.0)
    step = back[far[-1]] if len(far) else np.array([0.0, -1.0])
    return step / max(float(np.linalg.norm(step)), 1e-9)


def to_widget(uv: Array, scale: float, offset: tuple[float, float]) -> Array:
    """Return the widget positions of image pixels, whose centres are at integer coordinates."""
    return (uv + 0.5) * scale + np.asarray(offset)
