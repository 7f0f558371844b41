"""The 3D view in OpenGL, by pyqtgraph, with the robot's real meshes.

Line items are kept and refilled, so that a frame costs a few milliseconds in software GL. Needs a display; import only
after `scene3d.can_use_gl()`. GUI thread.
"""

import numpy as np
import pyqtgraph.opengl as gl
from pyqtgraph.opengl.shaders import FragmentShader, ShaderProgram, VertexShader

from app.qt import Qt, QtGui, QtWidgets
from app.views import meshes
from app.views.scene_model import Line, SceneModel

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


class GlScene(gl.GLViewWidget):
    """Robot, box, frusta, fan and trail."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(200, 160)
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
        self._parts = [(part, self._mesh_item(part)) for part in meshes.robot_parts()]
        for _, item in self._parts:
            item.setVisible(False)
        self._skeleton = gl.GLLinePlotItem(width=6.0, color=(0.84, 0.86, 0.89, 1.0), antialias=True)
        self._skeleton.setVisible(not self._parts)
        self.addItem(self._skeleton)
        self._pool: list[gl.GLLinePlotItem] = []
        self._shown: list[Line | None] = []

    def reset_camera(self) -> None:
        """Look at the table from behind the robot's left shoulder."""
        self.setCameraPosition(pos=QtGui.QVector3D(0.40, 0.0, 0.28))
        self.setCameraPosition(distance=1.75, elevation=26, azimuth=-140)

    def show_model(self, model: SceneModel) -> None:
        """Draw another model soon."""
        poses = meshes.part_poses(model.q, model.gripper)
        for part, item in self._parts:
            item.setVisible(True)
            item.setTransform(QtGui.QMatrix4x4(*poses[part.link].ravel().astype(float).tolist()))
        if not self._parts:
            self._skeleton.setData(pos=model.skeleton.astype(np.float32))
        self._fill(model.lines)
        self.update()

    def keyPressEvent(self, ev: QtGui.QKeyEvent | None) -> None:
        """Leave every key to the cockpit."""
        if ev is not None:
            ev.ignore()

    def keyReleaseEvent(self, ev: QtGui.QKeyEvent | None) -> None:
        """Leave every key to the cockpit."""
        if ev is not None:
            ev.ignore()

    def _mesh_item(self, part: meshes.Part) -> gl.GLMeshItem:
        data = gl.MeshData(vertexes=part.vertices)
        item = gl.GLMeshItem(meshdata=data, smooth=False, color=part.colour, shader=self._shader, glOptions="opaque")
        self.addItem(item)
        return item

    def _fill(self, lines: tuple[Line, ...]) -> None:
        while len(self._pool) < len(lines):
            item = gl.GLLinePlotItem(antialias=True, glOptions="translucent")
            item.setDepthValue(10)
            self.addItem(item)
            self._pool.append(item)
            self._shown.append(None)
        for i, item in enumerate(self._pool):
            line = lines[i] if i < len(lines) else None
            item.setVisible(line is not None)
            if line is None or line is self._shown[i]:
                continue
            colour = QtGui.QColor(line.colour)
            rgba = (colour.redF(), colour.greenF(), colour.blueF(), line.alpha)
            item.setData(pos=np.ascontiguousarray(line.points, dtype=np.float32), color=rgba, width=line.width)
            self._shown[i] = line
