"""The fan drawn on a camera image.

Problem: thirteen curves on a cluttered image must be easy to read, on dark and light backgrounds and for colour-blind people.
Idea: each curve is a light line in a dark halo, solid for the rows that would be executed and thin beyond; at its end are an
arrow glyph, a key cap and a small mark for the gripper's opening. Caps are moved apart and connected to their curves by a line.
Unsteered is white with a diamond, learned has a star. Colour only repeats what glyph and cap show.

`project_fan` is pure geometry (image pixels, tested against the renderer); `paint_fan` draws. GUI thread.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from app import theme
from app.qt import Qt, QtCore, QtGui
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
        points = _to_widget(curve.uv[: curve.executed], scale, offset)
        points = points[np.isfinite(points).all(axis=1)]
        # All curves share their start, so only the outer two thirds are tested.
        points = points[len(points) // 3 :]
        if len(points) == 0:
            continue
        distance = float(np.linalg.norm(points - np.asarray(at), axis=1).min())
        if distance < best_distance:
            best, best_distance = curve, distance
    return best


def paint_fan(
    painter: QtGui.QPainter,
    curves: Sequence[Curve],
    *,
    style: FanStyle,
    scale: float,
    offset: tuple[float, float],
    bounds: QtCore.QRectF,
) -> None:
    """Draw projected curves.

    Args:
        painter: active, in logical pixels.
        curves: from `project_fan`.
        style: highlight, pick, staleness.
        scale: logical pixels per image pixel.
        offset: logical position of the image's upper left corner.
        bounds: where caps must stay.
    """
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    highlighted = style.highlight or style.picked
    if style.show_reference:
        for curve in curves:
            is_highlighted = curve.candidate.label == highlighted
            if curve.reference_uv is not None and (is_highlighted if highlighted else curve.is_full):
                _paint_reference(painter, curve, scale, offset, is_strong=is_highlighted)
    for curve in curves:
        is_dim = highlighted is not None and curve.candidate.label != highlighted
        _paint_curve(
            painter, curve, style, scale, offset, is_dim=is_dim, is_highlighted=curve.candidate.label == highlighted
        )
    if style.has_caps or highlighted is not None:
        _paint_caps(painter, curves, style, scale, offset, bounds, highlighted)


GRASPED_M = 0.045
"""Half the width of what the gripper can hold, and a little, metres."""
TOGETHER_PX = 12.0
"""Curves whose ends are closer than this are numbered, logical pixels."""
LARGE_PX = 300
"""Least side of an image in which curves are numbered, logical pixels."""
_DIGITS = "①②③④⑤⑥⑦⑧⑨"
MARK_SIZE = 9
"""Half the size of the mark's box, logical pixels."""


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
    x, y = _to_widget(uv, scale, offset).tolist()
    return QtCore.QPointF(x, y) if abs(x) < 1e5 and abs(y) < 1e5 else None


def paint_mark(painter: QtGui.QPainter, at: QtCore.QPointF) -> None:
    """Draw the mark that follows the picked curve."""
    painter.setPen(_pen(theme.colour(theme.HALO), 2.5))
    painter.setBrush(theme.colour(theme.UNSTEERED_CORE))
    painter.drawEllipse(at, 5.5 * theme.scale(), 5.5 * theme.scale())


def _to_widget(uv: Array, scale: float, offset: tuple[float, float]) -> Array:
    """Pixel centres are at integer coordinates, hence the half."""
    return (uv + 0.5) * scale + np.asarray(offset)


def _polyline(points: Array) -> QtGui.QPainterPath:
    path, is_down = QtGui.QPainterPath(), False
    for x, y in points.tolist():
        # NaN (behind the camera) fails this comparison too.
        if not (abs(x) < 1e5 and abs(y) < 1e5):
            is_down = False
        elif is_down:
            path.lineTo(x, y)
        else:
            path.moveTo(x, y)
            is_down = True
    return path


def _pen(colour: QtGui.QColor, width: float, line: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QtGui.QPen:
    return QtGui.QPen(colour, width, line, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)


def _paint_reference(
    painter: QtGui.QPainter, curve: Curve, scale: float, offset: tuple[float, float], *, is_strong: bool
) -> None:
    assert curve.reference_uv is not None
    path = _polyline(_to_widget(curve.reference_uv, scale, offset))
    painter.setPen(_pen(theme.colour(theme.HALO, 200 if is_strong else 90), 2.6 * theme.scale(), Qt.PenStyle.SolidLine))
    painter.drawPath(path)
    pen = _pen(theme.colour(curve.colour, 255 if is_strong else 130), 1.2 * theme.scale())
    pen.setDashPattern([4.0, 4.0])
    painter.setPen(pen)
    painter.drawPath(path)


def _paint_curve(
    painter: QtGui.QPainter,
    curve: Curve,
    style: FanStyle,
    scale: float,
    offset: tuple[float, float],
    *,
    is_dim: bool,
    is_highlighted: bool,
) -> None:
    colour = theme.CORE_GREY if style.is_stale else curve.colour
    alpha = 70 if is_dim else 255
    core = (4.5 if is_highlighted else 3.0) * theme.scale()
    if not curve.is_full and not is_highlighted:
        core, alpha = 1.3 * theme.scale(), min(alpha, 150)
    points = _to_widget(curve.uv, scale, offset)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    beyond = _polyline(points[curve.executed - 1 :])
    if curve.is_full or is_highlighted:
        painter.setPen(_pen(theme.colour(theme.HALO, alpha // 2), core * 0.4 + 2.0))
        painter.drawPath(beyond)
        painter.setPen(_pen(theme.colour(colour, alpha // 2), core * 0.4))
        painter.drawPath(beyond)
    path = _polyline(points[: curve.executed])
    painter.setPen(
        _pen(theme.colour(theme.HALO, int(alpha * 0.9)), core + (3.5 if curve.is_full else 1.6) * theme.scale())
    )
    painter.drawPath(path)
    pen = _pen(theme.colour(colour, alpha), core)
    if style.is_stale:
        pen.setDashPattern([2.0, 2.0])
    painter.setPen(pen)
    painter.drawPath(path)
    if curve.is_full or is_highlighted:
        _paint_end(painter, points[: curve.executed], colour, alpha, curve.is_closing)


def _paint_end(painter: QtGui.QPainter, points: Array, colour: str, alpha: int, is_closing: bool) -> None:
    """Draw an arrow head, and two bars whose gap shows the gripper's opening."""
    finite = points[np.isfinite(points).all(axis=1)]
    if len(finite) < 2:
        return
    (x, y), (hx, hy) = finite[-1].tolist(), _heading(finite).tolist()

    def at(along: float, across: float) -> QtCore.QPointF:
        along, across = along * theme.scale(), across * theme.scale()
        return QtCore.QPointF(x + hx * along - hy * across, y + hy * along + hx * across)

    painter.setPen(_pen(theme.colour(theme.HALO, alpha), 2.0 * theme.scale()))
    painter.setBrush(theme.colour(colour, alpha))
    painter.drawPolygon(QtGui.QPolygonF([at(7, 0), at(-4, 6), at(-4, -6)]))
    gap = 2.0 if is_closing else 7.0
    for width, ink in ((4.5, theme.HALO), (2.0, colour)):
        painter.setPen(_pen(theme.colour(ink, alpha), width * theme.scale()))
        for side in (gap, -gap):
            painter.drawLine(at(9, side), at(15, side))


def _heading(points: Array) -> Array:
    """Return the unit direction in which a curve ends, from its last few pixels."""
    back = points[-1] - points[:-1]
    distance = np.linalg.norm(back, axis=1)
    far = np.flatnonzero(distance > 3.0)
    step = back[far[-1]] if len(far) else np.array([0.0, -1.0])
    return step / max(float(np.linalg.norm(step)), 1e-9)


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
    x, y = _to_widget(curves[0].uv[0], scale, offset).tolist()
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


def _paint_caps(
    painter: QtGui.QPainter,
    curves: Sequence[Curve],
    style: FanStyle,
    scale: float,
    offset: tuple[float, float],
    bounds: QtCore.QRectF,
    highlighted: str | None,
) -> None:
    font = painter.font()
    font.setPixelSize(theme.px(13))
    font.setBold(True)
    painter.setFont(font)
    metrics = QtGui.QFontMetricsF(font)
    shown, anchors, headings, sizes, texts, paths = [], [], [], [], [], []
    for curve in curves:
        points = _to_widget(curve.uv[: curve.executed], scale, offset)
        points = points[np.isfinite(points).all(axis=1)]
        is_highlighted = curve.candidate.label == highlighted
        if len(points) == 0 or not ((curve.is_full and style.has_caps) or is_highlighted):
            continue
        text = curve.glyph if curve.cap in ("", curve.glyph) else f"{curve.glyph} {curve.cap}"
        if curve.candidate.verdict.warnings:
            text += " ⚠"
        shown.append(curve)
        texts.append(text)
        paths.append(points)
        anchors.append(points[-1])
        headings.append(_heading(points))
    if not shown:
        return
    # In a small image all curves end together; the large one tells them apart.
    is_large = min(bounds.width(), bounds.height()) >= LARGE_PX
    numbers = tell_apart(np.array(anchors), paths) if is_large else [None] * len(paths)
    for i, found in enumerate(numbers):
        if found is not None:
            texts[i] = f"{_DIGITS[found[0] - 1]} {texts[i]}" if found[0] <= len(_DIGITS) else texts[i]
            anchors[i] = paths[i][found[1]]
    sizes = [(metrics.horizontalAdvance(t) + theme.px(12), metrics.height() + theme.px(5)) for t in texts]
    ends = np.array([path[-1] for path in paths])
    disc = clear_of(curves, scale, offset, bounds)
    centres = place_caps(ends, np.array(headings), np.array(sizes), bounds, keep_clear=disc)
    for curve, anchor, found in zip(shown, anchors, numbers, strict=True):
        if found is not None:
            _paint_number(painter, found[0], anchor, theme.CORE_GREY if style.is_stale else curve.colour)
    painter.setFont(font)
    for curve, text, anchor, number, centre, size in zip(shown, texts, anchors, numbers, centres, sizes, strict=True):
        is_highlighted = curve.candidate.label == highlighted
        alpha = 255 if is_highlighted or highlighted is None else 110
        colour = theme.CORE_GREY if style.is_stale else curve.colour
        if number is not None or np.linalg.norm(centre - anchor) > 30:
            painter.setPen(_pen(theme.colour(colour, alpha // 2), 1.0))
            painter.drawLine(QtCore.QPointF(*map(float, anchor)), QtCore.QPointF(*map(float, centre)))
        box = QtCore.QRectF(centre[0] - size[0] / 2, centre[1] - size[1] / 2, *size)
        painter.setPen(_pen(theme.colour(colour, alpha), 2.4 if is_highlighted else 1.4))
        painter.setBrush(
            theme.colour(colour if is_highlighted else theme.HALO, alpha if is_highlighted else min(alpha, 225))
        )
        painter.drawRoundedRect(box, 4, 4)
        ink = theme.HALO if is_highlighted else colour
        painter.setPen(theme.colour(ink, alpha))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def _paint_number(painter: QtGui.QPainter, number: int, at: Array, colour: str) -> None:
    """Draw a numbered disc on a curve."""
    font = painter.font()
    font.setPixelSize(theme.px(10))
    painter.setFont(font)
    centre, radius = QtCore.QPointF(*map(float, at)), theme.px(7)
    painter.setPen(_pen(theme.colour(theme.HALO), 1.5))
    painter.setBrush(theme.colour(colour))
    painter.drawEllipse(centre, radius, radius)
    painter.setPen(theme.colour(theme.HALO))
    box = QtCore.QRectF(centre.x() - radius, centre.y() - radius, 2 * radius, 2 * radius)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(number))
