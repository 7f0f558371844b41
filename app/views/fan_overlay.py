"""The fan drawn on a camera image.

Problem: thirteen curves on a cluttered image must be easy to read, on dark and light backgrounds and for colour-blind people.
Idea: each curve is a light line in a dark halo, solid for the rows that would be executed and thin beyond; at its end are an
arrow glyph, a key cap and a small mark for the gripper's opening. Caps are moved apart and connected to their curves by a line.
Unsteered is white with a diamond, learned has a star. Colour only repeats what glyph and cap show.

`fan_curves` says where the curves are, `fan_caps` where their caps go; this draws both. GUI thread.
"""

from collections.abc import Sequence

import numpy as np

from app import theme
from app.qt import Qt, QtCore, QtGui
from app.views.fan_caps import clear_of, place_caps, tell_apart
from app.views.fan_curves import Curve, FanStyle, heading, to_widget
from frs_core.arrays import Array


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


LARGE_PX = 300
"""Least side of an image in which curves are numbered, logical pixels."""
_DIGITS = "①②③④⑤⑥⑦⑧⑨"
MARK_SIZE = 9
"""Half the size of the mark's box, logical pixels."""


def paint_mark(painter: QtGui.QPainter, at: QtCore.QPointF) -> None:
    """Draw the mark that follows the picked curve."""
    painter.setPen(_pen(theme.colour(theme.HALO), 2.5))
    painter.setBrush(theme.colour(theme.UNSTEERED_CORE))
    painter.drawEllipse(at, 5.5 * theme.scale(), 5.5 * theme.scale())


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
    """Return a pen whose width is given for display size S."""
    return QtGui.QPen(colour, width * theme.scale(), line, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)


def _paint_reference(
    painter: QtGui.QPainter, curve: Curve, scale: float, offset: tuple[float, float], *, is_strong: bool
) -> None:
    assert curve.reference_uv is not None
    path = _polyline(to_widget(curve.reference_uv, scale, offset))
    painter.setPen(_pen(theme.colour(theme.HALO, 200 if is_strong else 90), 2.6))
    painter.drawPath(path)
    pen = _pen(theme.colour(curve.colour, 255 if is_strong else 130), 1.2)
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
    core = 4.5 if is_highlighted else 3.0
    if not curve.is_full and not is_highlighted:
        core, alpha = 1.3, min(alpha, 150)
    points = to_widget(curve.uv, scale, offset)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    beyond = _polyline(points[curve.executed - 1 :])
    if curve.is_full or is_highlighted:
        painter.setPen(_pen(theme.colour(theme.HALO, alpha // 2), core * 0.4 + 2.0))
        painter.drawPath(beyond)
        painter.setPen(_pen(theme.colour(colour, alpha // 2), core * 0.4))
        painter.drawPath(beyond)
    path = _polyline(points[: curve.executed])
    painter.setPen(_pen(theme.colour(theme.HALO, int(alpha * 0.9)), core + (3.5 if curve.is_full else 1.6)))
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
    (x, y), (hx, hy) = finite[-1].tolist(), heading(finite).tolist()

    def at(along: float, across: float) -> QtCore.QPointF:
        along, across = along * theme.scale(), across * theme.scale()
        return QtCore.QPointF(x + hx * along - hy * across, y + hy * along + hx * across)

    painter.setPen(_pen(theme.colour(theme.HALO, alpha), 2.0))
    painter.setBrush(theme.colour(colour, alpha))
    painter.drawPolygon(QtGui.QPolygonF([at(7, 0), at(-4, 6), at(-4, -6)]))
    gap = 2.0 if is_closing else 7.0
    for width, ink in ((4.5, theme.HALO), (2.0, colour)):
        painter.setPen(_pen(theme.colour(ink, alpha), width))
        for side in (gap, -gap):
            painter.drawLine(at(9, side), at(15, side))


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
        points = to_widget(curve.uv[: curve.executed], scale, offset)
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
        headings.append(heading(points))
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
        if number is not None or np.linalg.norm(centre - anchor) > theme.px(30):
            painter.setPen(_pen(theme.colour(colour, alpha // 2), 1.0))
            painter.drawLine(QtCore.QPointF(*map(float, anchor)), QtCore.QPointF(*map(float, centre)))
        box = QtCore.QRectF(centre[0] - size[0] / 2, centre[1] - size[1] / 2, *size)
        painter.setPen(_pen(theme.colour(colour, alpha), 2.4 if is_highlighted else 1.4))
        painter.setBrush(
            theme.colour(colour if is_highlighted else theme.HALO, alpha if is_highlighted else min(alpha, 225))
        )
        painter.drawRoundedRect(box, theme.px(4), theme.px(4))
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
