"""Live camera pictures with the fan on top.

Problem: three pictures of any shape must fill the window, the important one large, and never lie about their age. Idea:
plain widgets painted with QPainter (the fastest way, and the overlay is drawn in the same pass); a grid that tries the
two packings and keeps the larger; a badge with the frame's age that turns into a warning when it is old.

Click on a small camera swaps it with the large one; double click shows one alone. GUI thread, about 1 ms per picture.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from app import theme
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from app.views.fan_overlay import Curve, FanStyle, curve_at, paint_fan, project_fan
from frs_core.events import Candidate, Fan
from frs_core.observation import Calibration, CameraFrame

STALE_S = 0.5
"""Age from which a picture is marked as old. Guess: seven frames at 15 Hz."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraModel:
    """What one camera view shows."""

    name: str
    frame: CameraFrame | None = None
    age_s: float = 0.0
    fan: Fan | None = None
    style: FanStyle = field(default_factory=FanStyle)
    trail: np.ndarray | None = None
    """Tool positions so far, base frame."""
    badge: str | None = None
    """Replaces name and age: recorded pictures have no age."""


class CameraView(QtWidgets.QWidget):
    """One picture with its overlay."""

    clicked = Signal(str)
    double_clicked = Signal(str)
    candidate_hovered = Signal(object)
    """Label under the pointer, or None."""

    def __init__(self, name: str, cap_of: Callable[[Candidate], str], parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = CameraModel(name)
        self._cap_of = cap_of
        self._curves: list[Curve] = []
        self._image: QtGui.QImage | None = None
        self._scaled: tuple[tuple[int, int, int], QtGui.QPixmap] | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName(f"Camera {name}")
        self.setToolTip("Click to make it the large one, double click to enlarge")

    @property
    def aspect(self) -> float:
        """Width over height of the picture."""
        if self.model.frame is None:
            return 4 / 3
        height, width = self.model.frame.image.shape[:2]
        return width / height

    @property
    def curves(self) -> list[Curve]:
        """The fan in image pixels, as painted."""
        return self._curves

    def show_model(self, model: CameraModel) -> None:
        """Paint another model soon."""
        if model.frame is not self.model.frame:
            self._image = None
            self._scaled = None
        self.model = model
        calibration = model.frame.calibration if model.frame else None
        self._curves = (
            project_fan(model.fan, calibration, style=model.style, cap_of=self._cap_of)
            if model.fan is not None and calibration is not None
            else []
        )
        self.update()

    def restyle(self, style: FanStyle) -> None:
        """Repaint with another highlight without a new frame."""
        self.show_model(replace(self.model, style=style))

    def placement(self) -> tuple[float, tuple[float, float]]:
        """Return logical pixels per image pixel, and where the picture's upper left corner is."""
        if self.model.frame is None:
            return 1.0, (0.0, 0.0)
        height, width = self.model.frame.image.shape[:2]
        scale = min(self.width() / width, self.height() / height)
        return scale, ((self.width() - width * scale) / 2, (self.height() - height * scale) / 2)

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw picture, trail, fan and badge."""
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), theme.colour(theme.current().panel))
        scale, offset = self.placement()
        frame = self.model.frame
        if frame is None:
            painter.setPen(theme.colour(theme.current().dim))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, f"{self.model.name}\nwaiting for a picture")
            return
        height, width = frame.image.shape[:2]
        area = QtCore.QRectF(offset[0], offset[1], width * scale, height * scale)
        painter.drawPixmap(area.topLeft(), self._pixmap(frame, area.size()))
        painter.setClipRect(area)
        if frame.calibration is not None and self.model.trail is not None:
            self._paint_trail(painter, frame.calibration, scale, offset)
        if self._curves:
            paint_fan(painter, self._curves, style=self.model.style, scale=scale, offset=offset, bounds=area)
        self._paint_badge(painter, area)

    def _pixmap(self, frame: CameraFrame, size: QtCore.QSizeF) -> QtGui.QPixmap:
        """Return the picture at device resolution, scaled once per frame and size."""
        ratio = self.devicePixelRatioF()
        wanted = (id(frame.image), round(size.width() * ratio), round(size.height() * ratio))
        if self._scaled is not None and self._scaled[0] == wanted:
            return self._scaled[1]
        if self._image is None:
            pixels = np.ascontiguousarray(frame.image)
            height, width = pixels.shape[:2]
            self._image = QtGui.QImage(
                pixels.tobytes(), width, height, 3 * width, QtGui.QImage.Format.Format_RGB888
            ).convertToFormat(QtGui.QImage.Format.Format_RGB32)
        scaled = self._image.scaled(
            wanted[1], wanted[2], Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
        pixmap = QtGui.QPixmap.fromImage(scaled)
        pixmap.setDevicePixelRatio(ratio)
        self._scaled = (wanted, pixmap)
        return pixmap

    def _paint_trail(
        self, painter: QtGui.QPainter, calibration: Calibration, scale: float, offset: tuple[float, float]
    ) -> None:
        trail = self.model.trail
        if trail is None or len(trail) < 2:
            return
        uv, is_front = calibration.project(trail)
        points = [
            QtCore.QPointF(float((u + 0.5) * scale + offset[0]), float((v + 0.5) * scale + offset[1]))
            for (u, v), ok in zip(uv, is_front, strict=True)
            if ok and abs(u) < 1e5 and abs(v) < 1e5
        ]
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        for colour, width, alpha in ((theme.HALO, 3.0, 90), ("#ffffff", 1.0, 150)):
            painter.setPen(QtGui.QPen(theme.colour(colour, alpha), width))
            painter.drawPolyline(QtGui.QPolygonF(points))

    def _paint_badge(self, painter: QtGui.QPainter, area: QtCore.QRectF) -> None:
        frame = self.model.frame
        assert frame is not None
        is_old = self.model.age_s > STALE_S
        text = f"{self.model.name}   {self.model.age_s * 1000:.0f} ms" + ("  ⚠ old picture" if is_old else "")
        text = self.model.badge if self.model.badge is not None else text
        if frame.calibration is None:
            text += "   no calibration: fan hidden"
        elif frame.calibration.made_at is not None:
            days = (time.time() - frame.calibration.made_at) / 86400
            if days > 7:
                text += f"   calibration {days:.0f} days old"
        font = painter.font()
        font.setPixelSize(12)
        font.setBold(is_old)
        painter.setFont(font)
        width = QtGui.QFontMetricsF(font).horizontalAdvance(text) + 14
        box = QtCore.QRectF(area.left() + 6, area.top() + 6, width, 20)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("#ffc04d" if is_old else theme.HALO, 255 if is_old else 185))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(theme.colour(theme.HALO if is_old else "#ffffff"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Stress the curve under the pointer."""
        assert event is not None
        scale, offset = self.placement()
        found = curve_at(self._curves, (event.position().x(), event.position().y()), scale=scale, offset=offset)
        self.candidate_hovered.emit(found.candidate.label if found else None)

    def leaveEvent(self, event: QtCore.QEvent | None) -> None:
        """Stop stressing when the pointer leaves."""
        self.candidate_hovered.emit(None)

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Report a click."""
        assert event is not None
        if event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(self.model.name)

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Report a double click."""
        self.double_clicked.emit(self.model.name)


class CameraGrid(QtWidgets.QWidget):
    """All cameras: one large, the others beside or below it, or one alone."""

    primary_changed = Signal(str)
    candidate_hovered = Signal(object)

    GAP = 6

    def __init__(self, cap_of: Callable[[Candidate], str], parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._cap_of = cap_of
        self.views: dict[str, CameraView] = {}
        self.primary = ""
        self.is_alone = False
        self.setMinimumSize(360, 260)

    def show_models(self, models: list[CameraModel]) -> None:
        """Show these cameras; views appear and vanish with them."""
        names = [m.name for m in models]
        if names != list(self.views):
            self._rebuild(names)
        aspects = [v.aspect for v in self.views.values()]
        for model in models:
            self.views[model.name].show_model(model)
        if aspects != [v.aspect for v in self.views.values()]:
            self._arrange()

    def restyle(self, style: FanStyle) -> None:
        """Change the highlight of every view."""
        for view in self.views.values():
            view.restyle(style)

    def set_primary(self, name: str) -> None:
        """Make one camera the large one."""
        if name in self.views and name != self.primary:
            self.primary = name
            self._arrange()
            self.primary_changed.emit(name)

    def next_camera(self) -> None:
        """Make the next camera the large one."""
        names = list(self.views)
        if names:
            self.set_primary(names[(names.index(self.primary) + 1) % len(names)] if self.primary in names else names[0])

    def toggle_alone(self) -> None:
        """Show the large camera alone, or all."""
        self.is_alone = not self.is_alone
        self._arrange()

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:
        """Pack again."""
        self._arrange()

    def _rebuild(self, names: list[str]) -> None:
        for view in self.views.values():
            view.setParent(None)
            view.deleteLater()
        self.views = {}
        for name in names:
            view = CameraView(name, self._cap_of, self)
            view.clicked.connect(self.set_primary)
            view.double_clicked.connect(self._on_double_clicked)
            view.candidate_hovered.connect(self.candidate_hovered)
            view.show()
            self.views[name] = view
        if self.primary not in self.views and names:
            self.primary = names[0]
            self.primary_changed.emit(self.primary)
        self._arrange()

    def _on_double_clicked(self, name: str) -> None:
        if self.is_alone:
            self.is_alone = False
        else:
            self.is_alone = True
            self.primary = name
            self.primary_changed.emit(name)
        self._arrange()

    def _arrange(self) -> None:
        if not self.views:
            return
        others = [n for n in self.views if n != self.primary]
        if self.is_alone or not others:
            for name, view in self.views.items():
                view.setVisible(name == self.primary)
            self.views[self.primary].setGeometry(self.rect())
            return
        boxes = pack(
            self.width(),
            self.height(),
            self.views[self.primary].aspect,
            [self.views[n].aspect for n in others],
            gap=self.GAP,
        )
        for name, box in zip([self.primary, *others], boxes, strict=True):
            self.views[name].setGeometry(*box)
            self.views[name].setVisible(True)


def pack(width: int, height: int, primary: float, others: list[float], *, gap: int) -> list[tuple[int, int, int, int]]:
    """Return (x, y, w, h) of the large picture and the small ones, beside or below it, whichever shows more.

    Args:
        width: of the area, pixels.
        height: of the area, pixels.
        primary: width over height of the large picture.
        others: of the small ones, in order.
        gap: between pictures, pixels.
    """
    best: tuple[float, list[tuple[int, int, int, int]]] | None = None
    for is_column in (True, False):
        for share in np.linspace(0.50, 0.85, 15):
            if is_column:
                first = (0, 0, int(width * share), height)
                rest_w = width - first[2] - gap
                rest_h = (height - gap * (len(others) - 1)) // len(others)
                rest = [(first[2] + gap, i * (rest_h + gap), rest_w, rest_h) for i in range(len(others))]
            else:
                first = (0, 0, width, int(height * share))
                rest_h = height - first[3] - gap
                rest_w = (width - gap * (len(others) - 1)) // len(others)
                rest = [(i * (rest_w + gap), first[3] + gap, rest_w, rest_h) for i in range(len(others))]
            area = _shown(first, primary) + 0.45 * sum(_shown(b, a) for b, a in zip(rest, others, strict=True))
            if best is None or area > best[0]:
                best = (area, [first, *rest])
    assert best is not None
    return best[1]


def _shown(box: tuple[int, int, int, int], aspect: float) -> float:
    """Return the area a picture covers inside a box."""
    w, h = max(box[2], 0), max(box[3], 0)
    return min(w, h * aspect) * min(h, w / aspect)
