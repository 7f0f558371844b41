"""Live camera images with the fan on top.

Problem: images must be fast, and show their age. Idea: plain widgets painted with QPainter (the fastest way, and the overlay is drawn in
the same pass); a badge with the age of the frame, which becomes a warning when the frame is old. `camera_grid` arranges them.

Slow drawing is cached: the fan until it, its style or the camera's pose changes; the image with trail and fan until the next
image. In between only the badge and the mark on the picked curve are repainted.

A click on a small camera swaps it with the large one; a double click shows only that camera. In the large one a click on a curve
picks it, and elsewhere marks a target, both once it is known not to be a double click. GUI thread.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from app import theme
from app.press_times import pressed_ns
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from app.views.fan_curves import Curve, FanStyle, curve_at, mark_on, project_fan
from app.views.fan_overlay import MARK_SIZE, paint_fan, paint_mark
from frs_core.arrays import Array
from frs_core.robot.observation import Calibration, CameraFrame
from frs_core.steering.candidates import Candidate, Fan

BADGE_ROOM = 28
"""Height at the top that is kept free of caps for the badge, logical pixels."""
STALE_S = 0.5
"""Age from which a frame is marked as old. Guess: seven frames at 15 Hz."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraModel:
    """What one camera view shows."""

    name: str
    frame: CameraFrame | None = None
    age_s: float = 0.0
    fan: Fan | None = None
    style: FanStyle = field(default_factory=FanStyle)
    trail: Array | None = None
    """Tool positions so far, base frame."""
    rows_done: float = math.nan
    """How far the picked curve has been followed, rows; NaN while nothing moves."""
    target: tuple[float, float, float] | None = None
    """Where the operator marked that the tool is to go, base frame."""
    badge: str | None = None
    """Replaces name and age: recorded images have no age."""


class CameraView(QtWidgets.QWidget):
    """One image with its overlay."""

    clicked = Signal(str)
    curve_clicked = Signal(str, str, object, object)
    """Name, the candidate's label, the fan that was clicked and when (`time.monotonic_ns()`), once it is no double click."""
    place_clicked = Signal(str, object, object)
    """Name, the frame that was clicked and the pixel (x, y), once it is no double click."""
    double_clicked = Signal(str)
    candidate_hovered = Signal(object)
    """Label under the pointer, or None."""
    painted = Signal()

    def __init__(self, name: str, cap_of: Callable[[Candidate], str], parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = CameraModel(name)
        self._cap_of = cap_of
        self._curves: list[Curve] = []
        self._is_projected = False
        self._fan: QtGui.QPixmap | None = None
        self._still: QtGui.QPixmap | None = None
        self._report: Callable[[], None] = lambda: None
        self._pressed_at: QtCore.QPointF | None = None
        self._click_later = QtCore.QTimer(self)
        self._click_later.setSingleShot(True)
        self._click_later.timeout.connect(lambda: self._report())
        self._is_second = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName(f"Camera {name}")
        self.setToolTip(
            "Click to make this camera large, double click to show only this one; in the large one, "
            "click a curve to pick it or a place to mark it"
        )

    @property
    def aspect(self) -> float:
        """Width over height of the image."""
        if self.model.frame is None:
            return 4 / 3
        height, width = self.model.frame.image.shape[:2]
        return width / height

    @property
    def curves(self) -> list[Curve]:
        """The fan in image pixels, as painted."""
        return self._curves

    def show_model(self, model: CameraModel) -> None:
        """Show another model; repaints only what differs."""
        before = self._moving_parts()
        former, self.model = self.model, model
        is_new = (
            model.target != former.target
            or model.frame is not former.frame
            or not _is_same_trail(model.trail, former.trail)
        )
        calibration = model.frame.calibration if model.frame else None
        if (
            not self._is_projected
            or model.fan is not former.fan
            or model.style != former.style
            or _is_moved(former, model)
        ):
            is_new = self._is_projected = True
            self._fan = None
            self._curves = (
                project_fan(model.fan, calibration, style=model.style, cap_of=self._cap_of)
                if model.fan is not None and calibration is not None
                else []
            )
        if is_new:
            self._still = None
            self.update()
        else:
            for area in {*before, *self._moving_parts()}:
                self.update(*area)

    @property
    def size_shown(self) -> tuple[int, int]:
        """Height and width of the image on the screen, pixels of the screen; (0, 0) without an image."""
        if self.model.frame is None:
            return 0, 0
        area, ratio = self._area(), self.devicePixelRatioF()
        return round(area.height() * ratio), round(area.width() * ratio)

    def restyle(self, style: FanStyle) -> None:
        """Repaint with another highlight or other keys without a new frame."""
        self._is_projected = False
        self.show_model(replace(self.model, style=style))

    def placement(self) -> tuple[float, tuple[float, float]]:
        """Return logical pixels per image pixel, and where the image's upper left corner is."""
        if self.model.frame is None:
            return 1.0, (0.0, 0.0)
        height, width = self.model.frame.image.shape[:2]
        scale = min(self.width() / width, self.height() / height)
        return scale, ((self.width() - width * scale) / 2, (self.height() - height * scale) / 2)

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw image, trail, fan and badge."""
        painter = QtGui.QPainter(self)
        if self.model.frame is None:
            painter.fillRect(self.rect(), theme.colour(theme.current().panel))
            painter.setPen(theme.colour(theme.current().dim))
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter, f"{self.model.name}\nwaiting for the first frame"
            )
            return
        if self._still is None:
            self._still = self._compose(self.model.frame)
        painter.drawPixmap(0, 0, self._still)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        if (mark := self._mark()) is not None:
            paint_mark(painter, mark)
        self._paint_badge(painter)
        self.painted.emit()

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:
        """Redraw everything in the new size."""
        self._fan = self._still = None

    def changeEvent(self, event: QtCore.QEvent | None) -> None:
        """Redraw everything in the new colours or font."""
        self._fan = self._still = None
        super().changeEvent(event)

    def _area(self) -> QtCore.QRectF:
        """Return where the image is."""
        assert self.model.frame is not None
        height, width = self.model.frame.image.shape[:2]
        scale, offset = self.placement()
        return QtCore.QRectF(*offset, width * scale, height * scale)

    def _sheet(self, fill: QtGui.QColor) -> QtGui.QPixmap:
        """Return a pixmap of the view's size at device resolution."""
        ratio = self.devicePixelRatioF()
        sheet = QtGui.QPixmap(math.ceil(self.width() * ratio), math.ceil(self.height() * ratio))
        sheet.setDevicePixelRatio(ratio)
        sheet.fill(fill)
        return sheet

    def _compose(self, frame: CameraFrame) -> QtGui.QPixmap:
        """Return the part that is cached until the next image: image, trail and fan."""
        sheet, area = self._sheet(theme.colour(theme.current().panel)), self._area()
        painter = QtGui.QPainter(sheet)
        _paint_image(painter, frame.shown, area, ratio=self.devicePixelRatioF())
        painter.setClipRect(area)
        scale, offset = self.placement()
        if frame.calibration is not None and self.model.trail is not None:
            self._paint_trail(painter, frame.calibration, scale, offset)
        if frame.calibration is not None and self.model.target is not None:
            _paint_target(painter, frame.calibration, self.model.target, scale, offset)
        if self._curves:
            if self._fan is None:
                self._fan = self._sheet(QtGui.QColor(0, 0, 0, 0))
                on_fan = QtGui.QPainter(self._fan)
                on_fan.setClipRect(area)
                below_badge = area.adjusted(0, theme.px(BADGE_ROOM), 0, 0)
                paint_fan(on_fan, self._curves, style=self.model.style, scale=scale, offset=offset, bounds=below_badge)
                on_fan.end()
            painter.drawPixmap(0, 0, self._fan)
        painter.end()
        return sheet

    def _mark(self) -> QtCore.QPointF | None:
        """Return the position of the running chunk on the picked curve."""
        if math.isnan(self.model.rows_done):
            return None
        return mark_on(self._curves, self.model.style.picked, self.model.rows_done, *self.placement())

    def _moving_parts(self) -> list[tuple[int, int, int, int]]:
        """Return the boxes that change between two images."""
        if self.model.frame is None:
            return []
        _, badge = self._badge()
        boxes = [(int(badge.x()) - 1, int(badge.y()) - 1, int(badge.width()) + 3, int(badge.height()) + 3)]
        if (mark := self._mark()) is not None:
            boxes.append((int(mark.x()) - MARK_SIZE, int(mark.y()) - MARK_SIZE, 2 * MARK_SIZE + 1, 2 * MARK_SIZE + 1))
        return boxes

    def _paint_trail(
        self, painter: QtGui.QPainter, calibration: Calibration, scale: float, offset: tuple[float, float]
    ) -> None:
        trail = self.model.trail
        if trail is None or len(trail) < 2:
            return
        uv, is_front = calibration.project(trail)
        uv = (uv[is_front & (np.abs(uv) < 1e5).all(axis=1)] + 0.5) * scale + offset
        points = [QtCore.QPointF(x, y) for x, y in uv.tolist()]
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        for colour, width, alpha in ((theme.HALO, 3.0, 90), ("#ffffff", 1.0, 150)):
            painter.setPen(QtGui.QPen(theme.colour(colour, alpha), width * theme.scale()))
            painter.drawPolyline(QtGui.QPolygonF(points))

    def _badge(self) -> tuple[str, QtCore.QRectF]:
        """Return the text and the box of the badge."""
        frame = self.model.frame
        assert frame is not None
        text = f"{self.model.name}   {self.model.age_s * 1000:.0f} ms" + ("  ⚠ old frame" if self._is_old else "")
        text = self.model.badge if self.model.badge is not None else text
        if frame.calibration is None:
            text += "   no calibration: fan hidden"
        elif frame.calibration.made_at is not None:
            days = (time.time() - frame.calibration.made_at) / 86400
            if days > 7:
                text += f"   calibration {days:.0f} days old"
        corner = self._area().topLeft()
        width = QtGui.QFontMetricsF(self._badge_font()).horizontalAdvance(text) + theme.px(14)
        return text, QtCore.QRectF(corner.x() + theme.px(6), corner.y() + theme.px(6), width, theme.px(20))

    @property
    def _is_old(self) -> bool:
        return self.model.age_s > STALE_S

    def _badge_font(self) -> QtGui.QFont:
        font = self.font()
        font.setPixelSize(theme.px(12))
        font.setBold(self._is_old)
        return font

    def _paint_badge(self, painter: QtGui.QPainter) -> None:
        text, box = self._badge()
        painter.setClipRect(self._area())
        painter.setFont(self._badge_font())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("#ffc04d" if self._is_old else theme.HALO, 255 if self._is_old else 185))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(theme.colour(theme.HALO if self._is_old else "#ffffff"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Highlight the curve under the pointer."""
        assert event is not None
        scale, offset = self.placement()
        found = curve_at(self._curves, (event.position().x(), event.position().y()), scale=scale, offset=offset)
        self.candidate_hovered.emit(found.candidate.label if found else None)

    def leaveEvent(self, event: QtCore.QEvent | None) -> None:
        """Remove the highlight when the pointer leaves."""
        self.candidate_hovered.emit(None)

    def mousePressEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Remember where a click begins."""
        assert event is not None
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed_at = event.position()
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Report a click; a pointer that was drawn away in between asks for nothing."""
        assert event is not None
        if event.button() != Qt.MouseButton.LeftButton:
            return
        pressed_at, self._pressed_at = self._pressed_at, None
        way = event.position() - pressed_at if pressed_at is not None else QtCore.QPointF()
        if way.manhattanLength() > QtWidgets.QApplication.startDragDistance():
            self._is_second = False
            return
        if self._is_second:
            self._is_second = False
            return
        at, (scale, offset) = (event.position().x(), event.position().y()), self.placement()
        found = curve_at(self._curves, at, scale=scale, offset=offset)
        name, fan, frame = self.model.name, self.model.fan, self.model.frame
        # The fan may be another one by then, and the camera may be on the arm: what was clicked counts.
        if found is not None:
            label, at_ns = found.candidate.label, pressed_ns(event)
            self._report_later(lambda: self.curve_clicked.emit(name, label, fan, at_ns))
        elif frame is not None and self._area().contains(event.position()):
            pixel = ((at[0] - offset[0]) / scale - 0.5, (at[1] - offset[1]) / scale - 0.5)
            self._report_later(lambda: self.place_clicked.emit(name, frame, pixel))
        self.clicked.emit(name)

    def _report_later(self, report: Callable[[], None]) -> None:
        """Report a click unless another one makes it a double click."""
        self._report = report
        self._click_later.start(QtWidgets.QApplication.doubleClickInterval())

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Report a double click; it picks and marks nothing."""
        self._click_later.stop()
        self._is_second = True
        self.double_clicked.emit(self.model.name)


def _paint_target(
    painter: QtGui.QPainter,
    calibration: Calibration,
    target: tuple[float, float, float],
    scale: float,
    offset: tuple[float, float],
) -> None:
    """Draw a cross in a ring where the operator marked."""
    uv, is_front = calibration.project(np.array(target))
    if not is_front:
        return
    x, y = ((uv + 0.5) * scale + offset).tolist()
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for colour, width in ((theme.HALO, 4.0), (theme.CORE_TARGET, 1.8)):
        painter.setPen(QtGui.QPen(theme.colour(colour), width * theme.scale()))
        painter.drawEllipse(QtCore.QPointF(x, y), theme.px(9), theme.px(9))
        inner, outer = theme.px(5), theme.px(14)
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            painter.drawLine(
                QtCore.QPointF(x + inner * dx, y + inner * dy), QtCore.QPointF(x + outer * dx, y + outer * dy)
            )


def _is_same_trail(a: Array | None, b: Array | None) -> bool:
    """Whether two trails are equal; every snapshot has its own copy."""
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def _is_moved(former: CameraModel, model: CameraModel) -> bool:
    """Whether the camera's pose or intrinsics differ, so that the fan is drawn elsewhere."""
    a, b = (m.frame.calibration if m.frame else None for m in (former, model))
    if a is None or b is None or a is b:
        return a is not b
    is_same_size = (a.width, a.height) == (b.width, b.height)
    return not (is_same_size and np.array_equal(a.K, b.K) and np.array_equal(a.T_base_camera, b.T_base_camera))


def _paint_image(painter: QtGui.QPainter, pixels: Array, area: QtCore.QRectF, *, ratio: float) -> None:
    """Draw pixels into a box, smooth in either direction."""
    height, width = pixels.shape[:2]
    image = QtGui.QImage(
        np.ascontiguousarray(pixels).tobytes(), width, height, 3 * width, QtGui.QImage.Format.Format_RGB888
    ).convertToFormat(QtGui.QImage.Format.Format_RGB32)
    wide, high = round(area.width() * ratio), round(area.height() * ratio)
    if wide < width:
        # The painter interpolates four pixels only, which is not enough for shrinking.
        aspect, smooth = Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
        image = image.scaled(wide, high, aspect, smooth)
    elif (wide, high) == (width, height):
        # Pixel by pixel: interpolation would cost time and sharpness.
        image.setDevicePixelRatio(ratio)
        painter.drawImage(QtCore.QPointF(round(area.x() * ratio) / ratio, round(area.y() * ratio) / ratio), image)
        return
    painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(area, image)
