"""An act is as old as the press behind it: a key, a button, a menu, the answer to a question, a device."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from app import press_times
from app.press_times import PressTimes, pressed_ns
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.arming import CHECKING
from app.workers import SessionBridge
from frs_core.devices.base import ControlChange, Stage
from frs_core.events import Phase, Pick, RequestHold, Resume, SessionCommand, StartEpisode
from tests.app.test_arming import fresh
from tests.app.test_window import FakeDevice
from tests.fakes.display import own_display
from tests.fakes.keys import KeyEvent, send_key
from tests.fakes.snapshots import FakePort, resting, snapshot
from tests.waiting import LONG_MS, LONG_S

LATE_S = 3.0
PRESS, RELEASE = QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease


@pytest.fixture(autouse=True)
def window_system_with_our_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stamps are taken at their word, as on X."""
    monkeypatch.setattr(press_times, "_has_our_clock", lambda: True)


def ago_ms(seconds: float) -> int:
    """A stamp of some seconds ago."""
    return int((time.monotonic() - seconds) * 1000)


def age_s(command: SessionCommand) -> float:
    """How long ago a command was pressed."""
    at = command.pressed_ns  # type: ignore[attr-defined]
    return 0.0 if at is None else (time.monotonic_ns() - at) / 1e9


class MouseEvent(QtGui.QMouseEvent):
    """A mouse event that happened at a chosen time."""

    def __init__(self, kind: QtCore.QEvent.Type, at: QtCore.QPoint, at_ms: int) -> None:
        """Make one event of the left button at a point of the widget."""
        button = Qt.MouseButton.LeftButton
        super().__init__(kind, QtCore.QPointF(at), QtCore.QPointF(at), button, button, Qt.KeyboardModifier.NoModifier)
        self._at_ms = at_ms

    def timestamp(self) -> int:
        """Return when it happened, milliseconds."""
        return self._at_ms


def click(widget: QtWidgets.QWidget, *, seconds_ago: float) -> None:
    """Click a widget as the window system does, so long ago."""
    for kind in (QtCore.QEvent.Type.MouseButtonPress, QtCore.QEvent.Type.MouseButtonRelease):
        event = MouseEvent(kind, widget.rect().center(), ago_ms(seconds_ago))
        QtWidgets.QApplication.sendEvent(widget, event)


@pytest.mark.parametrize(("late_s", "expected_s"), [(0.0, 0.0), (LATE_S, LATE_S), (-0.01, 0.0)])
@pytest.mark.parametrize("has_wrapped", [False, True])
def test_a_stamp_of_the_window_system_is_a_time_of_ours(late_s: float, expected_s: float, has_wrapped: bool) -> None:
    stamp = ago_ms(late_s)
    before = time.monotonic_ns()
    event = KeyEvent(PRESS, Qt.Key.Key_C, at_ms=stamp % 2**32 if has_wrapped else stamp)
    assert pressed_ns(event) == pytest.approx(before - expected_s * 1e9, abs=0.5e9)


def test_a_stamp_of_another_clock_or_none_at_all_means_now(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.monotonic_ns()
    assert pressed_ns(KeyEvent(PRESS, Qt.Key.Key_C, at_ms=0)) >= before
    monkeypatch.setattr(press_times, "_has_our_clock", lambda: False)
    assert pressed_ns(KeyEvent(PRESS, Qt.Key.Key_C, at_ms=17)) >= before


@pytest.mark.parametrize(
    ("platform", "display", "expected"),
    [
        ("xcb", ":0", True),
        ("xcb", "unix:1.0", True),
        ("xcb", "localhost:10.0", False),
        ("wayland", "", True),
        ("offscreen", ":0", False),
        ("windows", "", False),
    ],
)
def test_whose_clock_stamps_with(monkeypatch: pytest.MonkeyPatch, platform: str, display: str, expected: bool) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(QtGui.QGuiApplication, "platformName", lambda: platform)
    monkeypatch.setenv("DISPLAY", display)
    assert press_times._has_our_clock() is expected


def test_a_key_that_waited_in_a_stuck_window_carries_its_age(window: Any, port: FakePort) -> None:
    send_key(window, KeyEvent(PRESS, Qt.Key.Key_Left, at_ms=ago_ms(LATE_S)))
    window.take(snapshot(phase=Phase.HOLD))
    send_key(window, KeyEvent(PRESS, Qt.Key.Key_C, text="c", at_ms=ago_ms(LATE_S)))
    for kind in (Pick, Resume):
        (command,) = port.of(kind)
        assert age_s(command) >= LATE_S


def test_a_button_that_waited_carries_its_age_and_later_acts_do_not(window: Any, port: FakePort, qtbot: Any) -> None:
    button = QtWidgets.QPushButton("Resume", window)
    button.clicked.connect(lambda: window.run("drive.resume"))
    button.show()
    click(button, seconds_ago=LATE_S)
    qtbot.waitUntil(lambda: window.bridge.presses._at_ns is None, timeout=LONG_MS)
    window.run("drive.resume")
    first, second = port.of(Resume)
    assert age_s(first) >= LATE_S
    assert second.pressed_ns is None


@pytest.mark.parametrize(("asked_s", "answered_s"), [(LATE_S, 0.0), (LATE_S, LATE_S / 2)])
def test_a_question_is_answered_by_the_press_that_confirms_it(
    make_window: Any, port: FakePort, qtbot: Any, tmp_path: Path, asked_s: float, answered_s: float
) -> None:
    port.world_spec = dataclasses.replace(port.world_spec, is_simulated=False)
    window = make_window(root=tmp_path)
    window.take(fresh())
    asked_at_ns = time.monotonic_ns()
    send_key(window, KeyEvent(PRESS, Qt.Key.Key_N, text="n", at_ms=ago_ms(asked_s)))
    found = window.arming._list
    assert found is not None
    qtbot.waitUntil(lambda: found.verdict.text() != CHECKING, timeout=LONG_MS)
    window.take(fresh())
    found.confirm.setChecked(True)
    assert port.of(StartEpisode) == []
    click(found.start, seconds_ago=answered_s)
    (start,) = port.of(StartEpisode)
    # The answer counts, not the question.
    assert age_s(start) >= answered_s
    assert start.pressed_ns > asked_at_ns + (asked_s - answered_s) * 0.9e9 - asked_s * 1e9


@pytest.mark.parametrize("action", ["drive.resume", "episode.start", "steer.left"])
def test_what_a_device_did_may_be_as_old_as_the_look_before(window: Any, port: FakePort, action: str) -> None:
    device = FakeDevice()
    window.inputs.devices.append(device)
    window.inputs.rebind(action, ["pad:spare_1"])
    window.take(snapshot() if action == "steer.left" else resting())
    window.inputs._looked_ns = time.monotonic_ns() - int(LATE_S * 1e9)
    device.events = [ControlChange("gamepad", "pad:spare_1", Stage.PRESSED, 1.0, time.monotonic_ns())]
    window.inputs.poll()
    (act,) = [*port.of(Resume), *port.of(StartEpisode), *port.of(Pick)]
    assert age_s(act) >= LATE_S


def test_without_the_focus_a_device_can_only_hold(window: Any, port: FakePort, monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice()
    window.inputs.devices.append(device)
    actions = {
        "drive.resume": "pad:spare_1",
        "episode.start": "pad:spare_2",
        "steer.left": "pad:dpad_left",
        "chunk.back": "pad:back",
    }
    for action, control in actions.items():
        window.inputs.map.rebind(action, [control])
    window.inputs.map.rebind("drive.hold", ["pad:start", "key:Space"])
    controls = [*actions.values(), "puck:left", "puck:button_left", "pad:a", "pad:left_stick_left"]

    def press_all(stage: Stage) -> list[SessionCommand]:
        port.sent.clear()
        for control in controls:
            kind = "spacemouse" if control.startswith("puck") else "gamepad"
            device.events.append(ControlChange(kind, control, stage, 1.0, time.monotonic_ns()))
        window.inputs.poll()
        return list(port.sent)

    monkeypatch.setattr(window, "isActiveWindow", lambda: False)
    for state in (snapshot(), resting(), snapshot(phase=Phase.HOLD)):
        window.take(state)
        assert press_all(Stage.PRESSED) == []
        assert press_all(Stage.HINTED) == []
        assert window.pilot.highlighted is None
        device.events = [ControlChange("gamepad", "pad:start", Stage.PRESSED, 1.0, time.monotonic_ns())]
        window.inputs.poll()
        assert len(port.of(RequestHold)) == 1
        assert press_all(Stage.RELEASED) == []
    monkeypatch.undo()
    window.take(snapshot())
    device.events = [ControlChange("gamepad", "pad:dpad_left", Stage.PRESSED, 1.0, time.monotonic_ns())]
    window.inputs.poll()
    assert [pick.label for pick in port.of(Pick)] == ["left/more"]


def test_dates_end_with_the_bridge(qapp: Any, qtbot: Any) -> None:
    port = FakePort()
    bridge = SessionBridge(port)
    bridge.start()
    bridge.stop()
    button = QtWidgets.QPushButton()
    qtbot.addWidget(button)
    button.clicked.connect(lambda: bridge.send(Resume()))
    click(button, seconds_ago=LATE_S)
    assert port.of(Resume)[0].pressed_ns is None


def test_the_older_of_two_times_counts(qapp: Any) -> None:
    times = PressTimes()
    with times.of(5):
        assert times.dated(Resume(pressed_ns=9)).pressed_ns == 5
        assert times.dated(Resume(pressed_ns=3)).pressed_ns == 3
    assert times.dated(Resume(pressed_ns=9)).pressed_ns == 9


_STUCK = """
import sys, time
from app.qt import QtCore, QtWidgets
from app.press_times import PressTimes
from frs_core.events import Resume
app = QtWidgets.QApplication([])
times = PressTimes(); times.start()
button = QtWidgets.QPushButton("Resume"); button.resize(400, 300); button.setWindowTitle("stuck window"); button.show()
def clicked():
    print("AGE", (time.monotonic_ns() - times.dated(Resume()).pressed_ns) / 1e9, flush=True); app.quit()
button.clicked.connect(clicked)
def stick():
    print("STUCK", flush=True); sys.stdin.readline(); time.sleep(2.0)
QtCore.QTimer.singleShot(500, stick)
app.exec()
"""


@pytest.mark.gl
@pytest.mark.timeout(300)
def test_a_click_into_a_stuck_window_of_a_real_display_is_as_old_as_it_is() -> None:
    with own_display() as (name, _server):
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "DISPLAY": name, "QT_QPA_PLATFORM": "xcb", "PYTHONPATH": str(root)}
        stuck = subprocess.Popen(
            [sys.executable, "-c", _STUCK], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert stuck.stdin is not None
        assert stuck.stdout is not None
        assert stuck.stdout.readline() == "STUCK\n"
        words = ["xdotool", "search", "--name", "stuck window", "mousemove", "--window", "%1", "50", "50", "click", "1"]
        subprocess.run(words, env=environment, timeout=LONG_S, check=True)
        at = time.monotonic()
        stuck.stdin.write("go on\n")
        stuck.stdin.flush()
        word, age = stuck.stdout.readline().split()
        lasted = time.monotonic() - at
        assert word == "AGE"
        # The click came before the two seconds; its age is at most what went by since it was sent, and the tool's own time.
        assert 1.9 <= float(age) <= lasted + LONG_S
        assert stuck.wait(LONG_S) == 0
