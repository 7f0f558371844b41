"""The GL view draws the robot on a real GL context; run under a display with FRS_TEST_GL=1 and `-m gl`."""

import os
from typing import Any

import numpy as np
import pytest

from app.qt import QtGui
from app.views import meshes
from app.views.fan_curves import FanStyle
from app.views.scene3d import PaintedScene, can_use_gl, make_scene_view
from app.views.scene_model import from_snapshot
from tests.fakes.snapshots import snapshot
from tests.waiting import LONG_S

BOX = (np.array([0.25, -0.35, 0.02]), np.array([0.62, 0.35, 0.7]))
needs_gl = pytest.mark.skipif(
    not os.environ.get("DISPLAY") or os.environ.get("FRS_TEST_GL") != "1", reason="needs a display and FRS_TEST_GL=1"
)


def pixels(widget: Any) -> np.ndarray:
    """Return what a widget shows."""
    image = widget.grab().toImage().convertToFormat(QtGui.QImage.Format.Format_RGB888)
    bits = image.constBits()
    data = np.frombuffer(bits.asstring(image.sizeInBytes()), np.uint8).reshape(image.height(), image.bytesPerLine())
    return data[:, : image.width() * 3].reshape(image.height(), image.width(), 3)


@pytest.mark.gl
@needs_gl
def test_two_gl_views_draw_the_robot_and_stress_a_candidate(qtbot: Any) -> None:
    assert can_use_gl()
    shown = []
    for _ in range(2):
        view = make_scene_view()
        qtbot.addWidget(view)
        view.resize(480, 360)
        view.show()
        qtbot.waitExposed(view)
        view.show_model(from_snapshot(snapshot(), FanStyle(), BOX))
        shown.append(pixels(view))
        view.show_model(from_snapshot(snapshot(), FanStyle(highlight="left/more"), BOX))
        shown.append(pixels(view))
    for plain, stressed in (shown[:2], shown[2:]):
        assert (plain.max(axis=2) > 150).sum() > 3000
        assert (plain != stressed).any()


def test_without_gl_the_painted_view_shows_the_skeleton(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRS_NO_GL", "1")
    view = make_scene_view()
    qtbot.addWidget(view)
    assert isinstance(view, PaintedScene)
    view.resize(480, 360)
    empty = pixels(view)
    view.show_model(from_snapshot(snapshot(), FanStyle(), BOX))
    drawn = pixels(view)
    assert (empty != drawn).any(axis=2).sum() > 3000


def test_every_mesh_has_a_link_and_lies_near_it() -> None:
    parts = meshes.robot_parts()
    poses = meshes.part_poses(snapshot().observation.q, 0.5)  # type: ignore[union-attr]
    assert {p.link for p in parts} == set(poses)
    for part in parts:
        assert np.abs(part.vertices).max() < 0.6


def test_the_hand_sits_between_flange_and_tool() -> None:
    observation = snapshot().observation
    assert observation is not None
    poses = meshes.part_poses(observation.q, 1.0)
    left, right = poses["finger_left"][:3, 3], poses["finger_right"][:3, 3]
    assert np.linalg.norm(left - right) < 1e-9
    assert np.linalg.norm(left - observation.p_tcp) == pytest.approx(0.1034 - 0.0584, abs=2e-3)


@pytest.mark.gl
@needs_gl
def test_a_policy_that_imports_mujoco_does_not_break_the_view() -> None:
    import subprocess
    import sys

    program = """
from app.gl import pin_platform
assert pin_platform()
import frs_core.worlds.tabletop.objects
from app.qt import QtWidgets
from app.views.fan_curves import FanStyle
from app.views.scene3d import make_scene_view
from app.views.scene_model import from_snapshot
from tests.fakes.snapshots import snapshot
app = QtWidgets.QApplication([])
view = make_scene_view()
view.resize(400, 300)
view.show()
view.show_model(from_snapshot(snapshot(), FanStyle(), None))
app.processEvents()
image = view.grab().toImage()
bright = sum(image.pixelColor(x, y).lightness() > 150 for x in range(400) for y in range(0, 300, 4))
raise SystemExit(0 if bright > 100 else 1)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=LONG_S, check=False).returncode == 0


def test_the_twin_of_the_embedded_world_can_be_built_beside_the_window() -> None:
    import subprocess
    import sys

    program = """
from app.gl import pin_platform
pin_platform()
from frs_core.worlds.tabletop.sim import TabletopSim
TabletopSim()
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=LONG_S, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
