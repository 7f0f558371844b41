"""The window goes down in any state and any way: no crash, no exception, and nothing that calls back afterwards."""

import gc
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.facts import Facts
from app.qt import QtCore, QtWidgets
from app.settings import SettingsFile
from app.views.toasts import MAX_TOASTS, Toasts
from app.window import CockpitWindow
from app.workers import SessionBridge, later
from frs_core.events import Heartbeat, HoldReason, Phase, RequestHold, Snapshot
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import Fan
from tests.fakes.closing import STATES
from tests.fakes.snapshots import FakePort, snapshot
from tests.waiting import LONG_MS

ROOT = Path(__file__).resolve().parents[2]


def _delete(thing: QtCore.QObject) -> None:
    thing.deleteLater()
    QtWidgets.QApplication.sendPostedEvents(thing, QtCore.QEvent.Type.DeferredDelete)


def _close_windows(folder: Path, times: int, *states: str) -> None:
    words = [sys.executable, "-m", "tests.fakes.closing", str(folder), str(times), *states]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert dict(line.split() for line in done.stdout.splitlines()) == dict.fromkeys(states or STATES, str(times))


def test_a_window_closes_in_the_middle_of_things_without_a_crash(tmp_path: Path) -> None:
    _close_windows(tmp_path, 1, "starting", "moving", "comparing", "practising", "playing", "toasts", "dialog", "keys")


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("state", STATES)
def test_a_window_closes_200_times_in_every_state_without_a_crash(tmp_path: Path, state: str) -> None:
    _close_windows(tmp_path, 200, state)


@pytest.mark.parametrize("is_cleared", [True, False], ids=["cleared", "showing"])
def test_toasts_go_down_with_their_host_in_silence(qtbot: Any, is_cleared: bool) -> None:
    host = QtWidgets.QWidget()
    toasts = Toasts(host)
    toasts.say("one")
    toasts.say("two", action=("Do", lambda: None))
    if is_cleared:
        toasts.clear()
    with qtbot.captureExceptions() as raised:
        del host
        gc.collect()
        QtWidgets.QApplication.processEvents()
    assert raised == []


def test_a_toast_goes_when_its_time_is_over_or_its_action_taken_and_only_a_few_are_shown(qtbot: Any) -> None:
    host, taken = QtWidgets.QWidget(), list[str]()
    toasts = Toasts(host)
    toasts.say("short", seconds=0.0)
    qtbot.waitUntil(lambda: toasts.texts == [], timeout=LONG_MS)
    toasts.say("asks", action=("Do", lambda: taken.append("done")))
    host.findChild(QtWidgets.QPushButton).click()
    assert (toasts.texts, taken) == ([], ["done"])
    for number in range(MAX_TOASTS + 3):
        toasts.say(f"text {number}")
    assert len(toasts.texts) == MAX_TOASTS
    assert toasts.texts[-1] == f"text {MAX_TOASTS + 2}"
    host.deleteLater()


def test_what_was_to_be_done_later_is_not_done_for_an_owner_that_is_gone(qtbot: Any) -> None:
    gone, there, heard = QtCore.QObject(), QtCore.QObject(), list[str]()
    later(gone, 0, lambda: heard.append("gone"))
    later(there, 0, lambda: heard.append("there"))
    _delete(gone)
    qtbot.waitUntil(lambda: bool(heard), timeout=LONG_MS)
    QtWidgets.QApplication.processEvents()
    assert heard == ["there"]


def test_no_callback_waits_for_an_object_that_may_be_gone_by_then() -> None:
    """A free timer or a `destroyed` handler calls whatever is left of its widget; the program has neither."""
    forbidden = re.compile(r"singleShot\(|\.destroyed\.connect\((?!self\._on_destroyed)")
    found = [
        f"{path.name}:{number}"
        for path in sorted((ROOT / "app").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert found == []


def test_a_window_that_is_destroyed_beats_no_more_and_its_session_may_go_on(qtbot: Any, tmp_path: Path) -> None:
    port = FakePort()
    window = CockpitWindow(SessionBridge(port), Facts("point", "toy"), SettingsFile(tmp_path))
    window.show_cockpit()
    (callback,) = port.callbacks
    qtbot.waitUntil(lambda: bool(port.of(Heartbeat)), timeout=LONG_MS)
    _delete(window)
    callback(snapshot())
    QtWidgets.QApplication.processEvents()
    with pytest.raises(RuntimeError, match="deleted"):
        window.bridge.start()


def test_a_step_of_closing_that_fails_keeps_no_other_from_being_done(
    window: Any, port: FakePort, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(window.geometry_file, "save", full)
    window.take(snapshot(phase=Phase.MOVING))
    with qtbot.captureExceptions() as raised:
        window.close()
    assert [kind for kind, *_ in raised] == [OSError]
    assert port.of(RequestHold)[0].reason is HoldReason.CLOSING
    assert port.callbacks == []
    assert not window.repaints.ager.isActive()


def test_driving_on_and_on_leaves_nothing_behind_in_the_window(window: Any, qtbot: Any) -> None:
    def drive(count: int) -> None:
        for number in range(count):
            window.take(snapshot(notice=(number, f"notice {number}")))
            window.take(snapshot(phase=Phase.MOVING, picked="left/more", chunk_row=number % 8, chunk_rows=8))
            QtWidgets.QApplication.processEvents()

    def parts() -> Counter[str]:
        QtWidgets.QApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
        gc.collect()
        kept = (thing for thing in gc.get_objects() if type(thing) in (Snapshot, Observation, Fan))
        return Counter(type(thing).__name__ for thing in (*window.findChildren(QtCore.QObject), *kept))

    drive(10)
    before = parts()
    drive(25)
    assert parts() - before == Counter()
