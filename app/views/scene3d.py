"""The 3D view: robot, workspace, cameras' frusta, fan and trail.

`make_scene_view` returns the GL view if Qt can create a GL context, else an isometric view painted with QPainter that shows
the robot as a skeleton. Both take a `SceneModel`. Neither takes keys, because arrow keys steer. GUI thread.
"""

import importlib.util
import os
from typing import Any, Protocol

import numpy as np

from app import theme
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.scene_model import SceneModel
from frs_core.arrays import Array

_TARGET = np.array([0.40, 0.0, 0.25])
"""Centre of the view, base frame."""


def can_use_gl() -> bool:
    """Return whether Qt can create a GL context on this display; FRS_NO_GL=1 disables it."""
    if os.environ.get("FRS_NO_GL") == "1" or QtGui.QGuiApplication.platformName() in ("offscreen", "minimal", "vnc"):
        return False
    context = QtGui.QOpenGLContext()
    return context.create()


class SceneView(Protocol):
    """Interface of both views, which are also widgets."""

    def show_model(self, model: SceneModel) -> None:
        """Schedule a repaint with another model."""
        ...


def make_scene_view(parent: QtWidgets.QWidget | None = None) -> Any:
    """Return the best 3D view this display can show: a QWidget that is a `SceneView`."""
    if not can_use_gl():
        return PaintedScene(parent)
    if importlib.util.find_spec("OpenGL") is None:
        view = PaintedScene(parent)
        view.setToolTip(f"{view.toolTip()}, which needs the package PyOpenGL (pip install PyOpenGL)")
        return view
    from app.views.scene_gl import GlScene

    return GlScene(parent)


class PaintedScene(QtWidgets.QWidget):
    """Isometric drawing without GL; the wheel zooms, dragging turns."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._model: SceneModel | None = None
        self._azimuth, self._elevation, self._zoom = np.radians(-145.0), np.radians(28.0), 1.0
        self._drag: QtCore.QPointF | None = None
        theme.on_scale(self, lambda view: view.setMinimumSize(theme.px(200), theme.px(120)))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("3D view, painted")
        self.setToolTip("Drag to turn, wheel to zoom; painted without OpenGL")

    def show_model(self, model: SceneModel) -> None:
        """Schedule a repaint with another model."""
        self._model = model
        self.update()

    def project(self, points: Array) -> Array:
        """Return widget positions of base-frame points."""
        p = np.asarray(points, dtype=float) - _TARGET
        ca, sa, ce, se = np.cos(self._azimuth), np.sin(self._azimuth), np.cos(self._elevation), np.sin(self._elevation)
        right = np.array([-sa, ca, 0.0])
        up = np.array([-se * ca, -se * sa, ce])
        size = min(self.width(), self.height()) * 0.72 * self._zoom
        x = self.width() / 2 + p @ right * size
        y = self.height() / 2 - p @ up * size
        return np.stack([x, y], axis=-1)

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw ground grid, lines and skeleton."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        tokens = theme.current()
        painter.fillRect(self.rect(), theme.colour("#1b1f26"))
        for i in np.linspace(-0.6, 0.6, 9):
            self._line(painter, np.array([[0.0, i, 0.0], [1.0, i, 0.0]]), tokens.line, 1.0, 0.5)
            self._line(
                painter,
                np.array([[i + 0.5 if i > -0.5 else 0.0, -0.6, 0.0], [i + 0.5 if i > -0.5 else 0.0, 0.6, 0.0]]),
                tokens.line,
                1.0,
                0.5,
            )
        if self._model is None:
            return
        skeleton = self._model.skeleton
        self._line(painter, skeleton, theme.HALO, 11.0, 1.0)
        self._line(painter, skeleton, "#d7dbe2", 7.0, 1.0)
        for point in self.project(skeleton):
            painter.setPen(QtGui.QPen(theme.colour(theme.HALO), 1.5 * theme.scale()))
            painter.setBrush(theme.colour("#8fa3bd"))
            painter.drawEllipse(QtCore.QPointF(*map(float, point)), theme.px(4), theme.px(4))
        for line in self._model.lines:
            if line.width >= 2:
                self._line(painter, line.points, theme.HALO, line.width + 2, line.alpha)
            self._line(painter, line.points, line.colour, line.width, line.alpha)

    def _line(self, painter: QtGui.QPainter, points: Array, colour: str, width: float, alpha: float) -> None:
        pen = QtGui.QPen(theme.colour(colour, int(alpha * 255)), width * theme.scale())
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        flat = self.project(points)
        painter.drawPolyline(QtGui.QPolygonF([QtCore.QPointF(float(x), float(y)) for x, y in flat]))

    def mousePressEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Start turning."""
        assert event is not None
        self._drag = event.position()

    def mouseMoveEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Turn."""
        assert event is not None
        if self._drag is not None:
            delta = event.position() - self._drag
            self._azimuth -= delta.x() * 0.01
            self._elevation = float(np.clip(self._elevation + delta.y() * 0.01, 0.05, 1.5))
            self._drag = event.position()
            self.update()

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Stop turning."""
        self._drag = None

    def wheelEvent(self, event: QtGui.QWheelEvent | None) -> None:
        """Zoom."""
        assert event is not None
        self._zoom = float(np.clip(self._zoom * 1.0015 ** event.angleDelta().y(), 0.3, 6.0))
        self.update()
