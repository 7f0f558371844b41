"""A camera in a window of its own: shown, steered from, remembered, and closed with the cockpit."""

from typing import Any

import pytest

from app.ending import Ending
from app.qt import Qt, QtGui, QtWidgets
from app.window_watch import WindowWatch
from frs_core.events import HoldReason, Pick, RequestHold, ShowCameras
from tests.fakes.snapshots import snapshot
from tests.waiting import LONG_MS


@pytest.fixture
def second(window: Any, qtbot: Any) -> Any:
    window.take(snapshot())
    window.run("view.second_camera")
    assert window.second.camera == window.drive.cameras.primary
    return window.second


def _shown(second: Any) -> Any:
    return second._shown


def _send(window: QtWidgets.QWidget, key: Qt.Key) -> None:
    """Send a press to the QWindow, where the window system would."""
    for kind in (QtGui.QKeyEvent.Type.KeyPress, QtGui.QKeyEvent.Type.KeyRelease):
        event = QtGui.QKeyEvent(kind, key, Qt.KeyboardModifier.NoModifier)
        QtWidgets.QApplication.sendEvent(window.windowHandle(), event)


def test_it_shows_what_the_large_image_shows(second: Any, window: Any) -> None:
    view = _shown(second).view
    assert _shown(second).isVisible()
    window.take(snapshot())
    main = window.drive.cameras.views[view.model.name]
    assert view.model.frame is main.model.frame
    assert view.model.fan is main.model.fan
    # Also while another layout is shown, with the age of its image.
    window.show_layout("train")
    seen = snapshot()
    window.take(seen)
    assert view.model.frame is seen.observation.frames[view.model.name]


def test_drives_keys_work_in_it(second: Any, port: Any) -> None:
    port.sent.clear()
    _send(_shown(second), Qt.Key.Key_Left)
    assert [p.label for p in port.of(Pick)] == ["left/more"]
    _send(_shown(second), Qt.Key.Key_Space)
    assert [h.reason for h in port.of(RequestHold)] == [HoldReason.OPERATOR]


def test_the_robot_holds_when_neither_window_has_the_focus(
    second: Any, window: Any, port: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, active = _shown(second), {"window": True, "second": False}
    monkeypatch.setattr(window, "isActiveWindow", lambda: active["window"])
    monkeypatch.setattr(shown, "isActiveWindow", lambda: active["second"])
    port.sent.clear()
    active.update(window=False, second=True)
    shown.activation_changed.emit()
    window._check_focus()
    assert port.of(RequestHold) == []
    active.update(second=False)
    shown.activation_changed.emit()
    assert [h.reason for h in port.of(RequestHold)] == [HoldReason.FOCUS_LOST]


def test_its_size_counts_for_the_display_picture(second: Any, window: Any, port: Any, qtbot: Any) -> None:
    shown = _shown(second)
    shown.resize(1000, 1000)
    wanted = lambda: port.of(ShowCameras)[-1].sizes[second.camera]  # noqa: E731
    qtbot.waitUntil(lambda: bool(port.of(ShowCameras)) and wanted() == shown.view.size_shown, timeout=LONG_MS)
    assert shown.view.size_shown > window.drive.cameras.views[second.camera].size_shown
    window.show_layout("train")
    qtbot.waitUntil(lambda: list(port.of(ShowCameras)[-1].sizes) == [second.camera], timeout=LONG_MS)


def test_the_next_camera_is_shown_in_it_and_the_key_closes_it(second: Any, window: Any) -> None:
    names = list(window.drive.cameras.views)
    window.run("view.second_next")
    assert second.camera == names[(names.index(window.drive.cameras.primary) + 1) % len(names)]
    assert len(window.drive.cameras.guests) == 1
    window.run("view.second_camera")
    assert second.camera == ""
    assert window.settings.values.second_camera == ""
    assert window.drive.cameras.guests == []


def test_it_closes_with_the_window_and_is_there_again_at_the_next_start(
    second: Any, window: Any, make_window: Any
) -> None:
    name, shown = second.camera, _shown(second)
    shown.setGeometry(40, 50, 500, 510)
    window.close()
    assert not shown.isVisible()
    assert window.settings.values.second_camera == name
    again = make_window()
    again.take(snapshot())
    assert again.second.camera == name
    assert _shown(again.second).size() == shown.size()


def test_a_window_that_was_closed_here_is_not_taken_for_one_that_was_destroyed(second: Any, window: Any) -> None:
    ending = Ending()
    watch = WindowWatch(window, ending)
    window.close()
    watch._on_lost()
    assert ending.status == 0
    watch._window = None
    watch.hush()
