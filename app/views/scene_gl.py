"""The 3D view in OpenGL, with pyqtgraph and the robot's meshes.

It reuses one mesh per link and one line item per width, so that a dozen draw calls take a few milliseconds in software GL.
Needs a display; import only after `scene3d.can_use_gl()`. GUI thread.
"""

import numpy as np
import pyqtgraph.opengl as gl
from OpenGL import GL
from PyQt6 import QtOpenGL  # Not in app.qt, which is also used without GL.
from pyqtgraph.opengl.GLViewWidget import GLViewMixin
from pyqtgraph.opengl.shaders import FragmentShader, ShaderProgram, VertexShader

from app import theme
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views import meshes
from app.views.scene_model import Line, SceneModel
from frs_core.arrays import Array

_BACKGROUND = "#1b1f26"

_VERTEX = """
uniform mat4 u_mvp;
uniform mat3 u_normal;
attribute vec4 a_position;
attribute vec3 a_normal;
attribute vec4 a_color;
varying vec4 v_color;
varying vec3 v_normal;
void main() {
    v_normal = normalize(u_normal * a_normal);
    v_color = a_color;
    gl_Position = u_mvp * a_position;
}
"""
_FRAGMENT = """
#ifdef GL_ES
precision mediump float;
#endif
varying vec4 v_color;
varying vec3 v_normal;
void main() {
    vec3 n = normalize(v_normal);
    float key = max(dot(n, normalize(vec3(0.4, 0.7, 0.8))), 0.0);
    float fill = max(dot(n, normalize(vec3(-0.7, 0.1, 0.5))), 0.0);
    gl_FragColor = vec4(v_color.rgb * (0.30 + 0.60 * key + 0.22 * fill), v_color.a);
}
"""


def _lamp() -> ShaderProgram:
    """Return a shader with a key and a fill light that move with the viewer."""
    return ShaderProgram("frs-lamp", [VertexShader(_VERTEX), FragmentShader(_FRAGMENT)])


class GlScene(GLViewMixin, QtWidgets.QWidget):
    """Robot, workspace, camera frusta, fan and trail.

    A plain widget that shows an image rendered in its own GL context. A QOpenGLWidget would make Qt compose the whole window in
    GL with every repaint; without a graphics card that takes longer than all other painting.
    """

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        self._is_dirty = True
        self._picture = QtGui.QImage()
        self._target: QtOpenGL.QOpenGLFramebufferObject | None = None
        super().__init__(parent)
        self._context = QtGui.QOpenGLContext(self)
        self._context.setShareContext(QtGui.QOpenGLContext.globalShareContext())
        self._context.create()
        self._surface = QtGui.QOffscreenSurface(None, self)
        self._surface.setFormat(self._context.format())
        self._surface.create()
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        theme.on_scale(self, lambda view: view.setMinimumSize(theme.px(200), theme.px(120)))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("3D view")
        self.setToolTip("Drag to turn, wheel to zoom")
        self.setBackgroundColor(_BACKGROUND)
        self.reset_camera()
        grid = gl.GLGridItem()
        grid.setSize(1.2, 1.4)
        grid.setSpacing(0.1, 0.1)
        grid.translate(0.5, 0.0, 0.0)
        grid.setColor((120, 132, 150, 90))
        self.addItem(grid)
        self._shader = _lamp()
        self._links = {link: self._mesh_item(shape) for link, shape in meshes.robot_shapes().items()}
        for item in self._links.values():
            item.setVisible(False)
        self._skeleton = gl.GLLinePlotItem(width=6.0, color=(0.84, 0.86, 0.89, 1.0), antialias=True)
        self._skeleton.setVisible(not self._links)
        self.addItem(self._skeleton)
        self._lines: dict[float, gl.GLLinePlotItem] = {}

    def reset_camera(self) -> None:
        """Look at the table from behind the robot's left shoulder."""
        self.setCameraPosition(pos=QtGui.QVector3D(0.40, 0.0, 0.28))
        self.setCameraPosition(distance=1.75, elevation=26, azimuth=-140)

    def show_model(self, model: SceneModel) -> None:
        """Schedule a repaint with another model."""
        poses = meshes.part_poses(model.q, model.gripper)
        for link, item in self._links.items():
            item.setVisible(True)
            item.setTransform(QtGui.QMatrix4x4(*poses[link].ravel().astype(float).tolist()))
        if not self._links:
            self._skeleton.setData(pos=model.skeleton.astype(np.float32))
        self._fill(model.lines)
        self.update()

    def update(self) -> None:
        """Schedule a redraw; called after every change of an item or of the viewpoint."""
        self._is_dirty = True
        super().update()

    def isValid(self) -> bool:
        """Return False: items are initialised when they are first drawn, not when they are added."""
        return False

    def context(self) -> QtGui.QOpenGLContext:
        """Return the context that the items are drawn with."""
        return self._context

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Show the image; render it first if something has changed."""
        size = QtCore.QSize(self.deviceWidth(), self.deviceHeight())
        if self._is_dirty or self._picture.size() != size:
            self._draw(size)
        painter = QtGui.QPainter(self)
        painter.drawImage(0, 0, self._picture)

    def _draw(self, size: QtCore.QSize) -> None:
        if not self._context.makeCurrent(self._surface):
            return
        if self._target is None or self._target.size() != size:
            depth = QtOpenGL.QOpenGLFramebufferObject.Attachment.Depth
            self._target = QtOpenGL.QOpenGLFramebufferObject(size, depth)
        self.initializeGL()
        self._target.bind()
        GL.glViewport(0, 0, size.width(), size.height())
        self.paint(region=self.getViewport(), viewport=self.getViewport())
        self._picture = self._target.toImage()
        # The image is opaque; in this format Qt copies it instead of blending.
        self._picture.reinterpretAsFormat(QtGui.QImage.Format.Format_RGB32)
        self._picture.setDevicePixelRatio(self.devicePixelRatioF())
        self._target.release()
        self._context.doneCurrent()
        self._is_dirty = False

    def keyPressEvent(self, ev: QtGui.QKeyEvent | None) -> None:
        """Ignore the key, so that the cockpit receives it."""
        if ev is not None:
            ev.ignore()

    def keyReleaseEvent(self, ev: QtGui.QKeyEvent | None) -> None:
        """Ignore the key, so that the cockpit receives it."""
        if ev is not None:
            ev.ignore()

    def _mesh_item(self, shape: meshes.Shape) -> gl.GLMeshItem:
        data = gl.MeshData(vertexes=shape.vertices, faceColors=shape.colours)
        item = gl.GLMeshItem(meshdata=data, smooth=False, shader=self._shader, glOptions="opaque")
        self.addItem(item)
        return item

    def _fill(self, lines: tuple[Line, ...]) -> None:
        """Refill one item per width, the thickest on top."""
        groups: dict[float, list[Line]] = {}
        for line in lines:
            groups.setdefault(line.width, []).append(line)
        for width in groups.keys() - self._lines.keys():
            item = gl.GLLinePlotItem(antialias=True, glOptions="translucent", mode="lines", width=width)
            item.setDepthValue(10 + width)
            self.addItem(item)
            self._lines[width] = item
        for width, item in self._lines.items():
            group = groups.get(width, [])
            item.setVisible(bool(group))
            if group:
                wide = width * theme.scale()
                # Each inner point ends one segment and begins the next.
                points = [np.repeat(line.points, 2, axis=0)[1:-1] for line in group]
                colours = [np.tile(_rgba(line), (len(p), 1)) for line, p in zip(group, points, strict=True)]
                item.setData(pos=np.concatenate(points).astype(np.float32), color=np.concatenate(colours), width=wide)


def _rgba(line: Line) -> Array:
    colour = QtGui.QColor(line.colour)
    return np.array([colour.redF(), colour.greenF(), colour.blueF(), line.alpha], dtype=np.float32)
