"""A click on a curve picks it; a click elsewhere in the large image marks a target, with distances; both are recorded."""

import dataclasses
import time
from typing import Any

import numpy as np
import pytest

from app.qt import Qt, QtCore, QtWidgets
from app.views.verdicts import COLUMNS
from frs_core.events import Pick, SetTarget
from tests.fakes.snapshots import sample_fan, snapshot
from tests.fakes.world import PointWorld
from tests.waiting import LONG_MS

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def large(window: Any, monkeypatch: Any) -> Any:
    """The large camera of a cockpit that waits for a pick."""
    monkeypatch.setattr(QtWidgets.QApplication, "doubleClickInterval", lambda: 1)
    return window.drive.cameras.views[window.drive.cameras.primary]


def on_screen(view: Any, point: Any) -> QtCore.QPoint:
    """Return where a view shows a point of the base frame."""
    uv, _ = view.model.frame.calibration.project(np.asarray(point))
    scale, offset = view.placement()
    x, y = ((uv + 0.5) * scale + np.array(offset)).tolist()
    return QtCore.QPoint(round(x), round(y))


def free_place(window: Any, view: Any) -> Any:
    """Return a place of the table that the view shows, far from every curve."""
    low, high = window.facts.workspace
    for x in np.linspace(low[0], high[0], 9):
        for y in np.linspace(low[1], high[1], 9):
            at = on_screen(view, (x, y, window.facts.floor))
            near = [np.hypot(at.x() - p.x(), at.y() - p.y()) for c in sample_fan().candidates for p in path(view, c)]
            if min(near) > 40 and view.rect().adjusted(30, 40, -30, -30).contains(at):
                return at
    raise AssertionError("no free place")


def path(view: Any, candidate: Any) -> list[QtCore.QPoint]:
    return [on_screen(view, p) for p in candidate.path]


def test_a_click_on_a_curve_of_the_large_image_picks_it(window: Any, port: Any, large: Any, qtbot: Any) -> None:
    fan = sample_fan()
    ends = {c.label: on_screen(large, c.path[fan.execute_rows]) for c in fan.candidates}
    before_ns = time.monotonic_ns()
    qtbot.mouseClick(large, LEFT, pos=ends["up/more"])
    qtbot.waitUntil(lambda: bool(port.of(Pick)), timeout=LONG_MS)
    [pick] = port.of(Pick)
    assert pick.device == "mouse"
    assert before_ns <= pick.pressed_ns < time.monotonic_ns()
    # Curves may end at the same pixel.
    assert ends[pick.label] == ends["up/more"]


def test_a_click_beside_the_curves_marks_the_table_and_a_click_on_the_mark_removes_it(
    window: Any, port: Any, large: Any, qtbot: Any
) -> None:
    at = free_place(window, large)
    qtbot.mouseClick(large, LEFT, pos=at)
    qtbot.waitUntil(lambda: len(port.of(SetTarget)) == 1, timeout=LONG_MS)
    point = port.of(SetTarget)[0].point
    assert point[2] == pytest.approx(window.facts.floor)
    assert (on_screen(large, point) - at).manhattanLength() <= 2
    assert port.of(Pick) == []
    window.take(snapshot(target=point))
    qtbot.mouseClick(large, LEFT, pos=at)
    qtbot.waitUntil(lambda: len(port.of(SetTarget)) == 2, timeout=LONG_MS)
    assert port.of(SetTarget)[1].point is None


def test_a_pointer_that_is_dragged_away_picks_and_marks_nothing(window: Any, port: Any, large: Any, qtbot: Any) -> None:
    fan = sample_fan()
    end = on_screen(large, fan["up/more"].path[fan.execute_rows])
    for start, stop in ((free_place(window, large), end), (end, free_place(window, large))):
        qtbot.mousePress(large, LEFT, pos=start)
        qtbot.mouseRelease(large, LEFT, pos=stop)
        assert not large._click_later.isActive()
    assert port.of(Pick) == []


def test_a_click_beside_the_image_marks_nothing(large: Any, qtbot: Any) -> None:
    large.resize(large.width() + 400, large.height())
    at = QtCore.QPoint(5, large.height() // 2)
    assert not large._area().contains(QtCore.QPointF(at))
    qtbot.mouseClick(large, LEFT, pos=at)
    assert not large._click_later.isActive()


def test_a_mark_counts_in_the_image_that_was_clicked(window: Any, port: Any, large: Any, qtbot: Any) -> None:
    at, frame = free_place(window, large), large.model.frame
    qtbot.mouseClick(large, LEFT, pos=at)
    pose = frame.calibration.T_base_camera.copy()
    pose[0, 3] += 0.2
    moved = dataclasses.replace(frame, calibration=dataclasses.replace(frame.calibration, T_base_camera=pose))
    now = snapshot()
    frames = {**now.observation.frames, large.model.name: moved}
    window.take(dataclasses.replace(now, observation=dataclasses.replace(now.observation, frames=frames)))
    qtbot.waitUntil(lambda: len(port.of(SetTarget)) == 1, timeout=LONG_MS)
    scale, offset = large.placement()
    pixel = ((at.x() - offset[0]) / scale - 0.5, (at.y() - offset[1]) / scale - 0.5)
    assert port.of(SetTarget)[0].point == pytest.approx(frame.calibration.on_plane(pixel, window.facts.floor))


def test_a_double_click_and_a_click_in_a_small_image_mark_and_pick_nothing(
    window: Any, port: Any, large: Any, qtbot: Any
) -> None:
    cameras = window.drive.cameras
    small = next(v for n, v in cameras.views.items() if n != cameras.primary)
    qtbot.mouseClick(small, LEFT)
    assert cameras.primary == small.model.name
    qtbot.mouseDClick(small, LEFT, pos=free_place(window, small))
    assert cameras.is_alone
    assert not small._click_later.isActive()
    assert port.of(Pick) == port.of(SetTarget) == []


def test_a_double_click_on_a_curve_enlarges_and_picks_nothing(
    window: Any, port: Any, large: Any, qtbot: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(QtWidgets.QApplication, "doubleClickInterval", lambda: 60_000)
    fan = sample_fan()
    end = on_screen(large, fan["up/more"].path[fan.execute_rows])
    qtbot.mouseClick(large, LEFT, pos=end)
    assert large._click_later.isActive()
    qtbot.mouseDClick(large, LEFT, pos=end)
    assert window.drive.cameras.is_alone
    assert not large._click_later.isActive()
    assert port.of(Pick) == []


def test_a_click_on_a_fan_that_is_replaced_meanwhile_picks_nothing_and_says_so(
    window: Any, port: Any, large: Any, qtbot: Any
) -> None:
    fan = sample_fan()
    qtbot.mouseClick(large, LEFT, pos=on_screen(large, fan["up/more"].path[fan.execute_rows]))
    window.take(snapshot(fan=dataclasses.replace(fan)))
    qtbot.waitUntil(lambda: "The fan has changed; click again" in window.toasts.texts, timeout=LONG_MS)
    assert port.of(Pick) == []


def test_each_candidate_shows_its_remaining_distance_to_the_mark(window: Any, qtbot: Any) -> None:
    fan, view, column = sample_fan(), window.drive.verdicts, COLUMNS.index("to mark")
    end = fan["left/more"].path[fan.execute_rows]
    window.take(snapshot(target=tuple(float(x) for x in end + [0.0, 0.03, 0.04])))
    qtbot.waitUntil(lambda: not view.isColumnHidden(column), timeout=LONG_MS)
    model = view.rows_model
    row = [c.label for c in model.rows].index("left/more")
    assert model.data(model.index(row, column), Qt.ItemDataRole.DisplayRole) == "50 mm"
    window.take(dataclasses.replace(snapshot(), target=None))
    qtbot.waitUntil(lambda: view.isColumnHidden(column), timeout=LONG_MS)


def test_a_pixel_leads_back_to_the_point_of_the_table_that_it_shows() -> None:
    frames = PointWorld().reset(task="reach_left", seed=0).frames
    for name in ("left", "right"):
        calibration = frames[name].calibration
        assert calibration is not None
        for x, y in ((0.4, 0.1), (0.55, -0.2)):
            uv, is_front = calibration.project(np.array([x, y, 0.02]))
            assert is_front
            pixel = (float(uv[0]), float(uv[1]))
            assert calibration.on_plane(pixel, 0.02) == pytest.approx((x, y, 0.02), abs=1e-9)
            assert calibration.on_plane(pixel, float(calibration.T_base_camera[2, 3]) + 1.0) is None
