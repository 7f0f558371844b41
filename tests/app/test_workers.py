"""Background work and the window: reports arrive on the GUI thread, and none reaches a page that is gone."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.qt import QtCore, QtWidgets
from app.views.page import LayoutPage
from app.workers import Job, Relay, Rereader, SessionBridge
from frs_core.events import Heartbeat, Resume
from tests.fakes.snapshots import FakePort, snapshot
from tests.waiting import LONG_MS, LONG_S

WAIT = LONG_MS


def test_a_job_reports_progress_and_its_end_on_the_gui_thread(qtbot: Any) -> None:
    heard: list[tuple[object, threading.Thread]] = []

    def work(report: Callable[[object], None]) -> int:
        report(1)
        return 2

    job = Job(work)
    job.progressed.connect(lambda x: heard.append((x, threading.current_thread())))
    job.finished.connect(lambda x: heard.append((x, threading.current_thread())))
    job.start()
    qtbot.waitUntil(lambda: not job.is_running, timeout=WAIT)
    assert heard == [(1, threading.main_thread()), (2, threading.main_thread())]


def test_a_job_that_fails_reports_its_error(qtbot: Any) -> None:
    heard: list[object] = []
    job = Job(lambda _report: 1 / 0)
    job.failed.connect(heard.append)
    job.start()
    qtbot.waitUntil(lambda: bool(heard), timeout=WAIT)
    assert isinstance(heard[0], ZeroDivisionError)


@pytest.mark.parametrize("is_deleted", [False, True], ids=["closed", "deleted"])
@pytest.mark.parametrize("is_queued", [False, True], ids=["still working", "report in the queue"])
def test_nothing_of_a_job_reaches_a_page_that_is_gone(qtbot: Any, is_queued: bool, is_deleted: bool) -> None:
    page = LayoutPage()
    text = QtWidgets.QLabel(page)
    heard: list[str] = []
    release = threading.Event()

    def work(report: Callable[[object], None]) -> str:
        if not is_queued:
            release.wait(LONG_S)
        report("half")
        return "whole"

    def show(said: str) -> None:
        heard.append(said)
        text.setText(said)

    job = Job(work, page)
    job.progressed.connect(show)
    job.finished.connect(show)
    job.start()
    if is_queued:
        # The report waits in Qt's queue: no event has been processed since.
        job._thread.join(LONG_S)
    if is_deleted:
        page.deleteLater()
        QtWidgets.QApplication.sendPostedEvents(page, QtCore.QEvent.Type.DeferredDelete)
        release.set()
        job._thread.join(LONG_S)
    else:
        release.set()
        page.shut()
    QtWidgets.QApplication.processEvents()
    assert heard == []
    if not is_deleted:
        page.deleteLater()


def test_a_hushed_relay_drops_what_waits(qapp: Any) -> None:
    class Voice(Relay):
        spoke = QtCore.pyqtSignal(str)

    heard: list[str] = []
    voice = Voice()
    voice.spoke.connect(heard.append)
    voice.tell("spoke", "before")
    QtWidgets.QApplication.processEvents()
    voice.tell("spoke", "waiting")
    voice.hush()
    QtWidgets.QApplication.processEvents()
    assert heard == ["before"]


def test_a_stopped_bridge_shows_no_late_snapshot(qapp: Any) -> None:
    port = FakePort()
    bridge = SessionBridge(port)
    seen: list[object] = []
    bridge.snapshot_arrived.connect(seen.append)
    bridge.start()
    port.callbacks[0](snapshot())
    bridge.stop()
    QtWidgets.QApplication.processEvents()
    assert seen == []


def test_a_fan_is_never_kept_waiting_and_pictures_are_merged(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.workers.MIN_INTERVAL_S", 3600.0)
    port, seen = FakePort(), list[Any]()
    bridge = SessionBridge(port)
    bridge.snapshot_arrived.connect(seen.append)
    bridge.start()
    fan = snapshot()
    first, picture, another = (dataclasses.replace(fan, fan=None, chunk_row=i) for i in range(3))
    port.callbacks[0](first)
    qtbot.waitUntil(lambda: seen == [first], timeout=WAIT)
    port.callbacks[0](picture)
    port.callbacks[0](another)
    QtWidgets.QApplication.processEvents()
    assert seen == [first]
    port.callbacks[0](fan)
    qtbot.waitUntil(lambda: seen == [first, fan], timeout=WAIT)
    bridge.stop()


def test_what_happened_before_the_window_listened_is_shown(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    port, before = FakePort(), snapshot()
    monkeypatch.setattr(port, "latest", lambda: before)
    bridge = SessionBridge(port)
    seen: list[object] = []
    bridge.snapshot_arrived.connect(seen.append)
    bridge.start()
    qtbot.waitUntil(lambda: seen == [before], timeout=WAIT)
    bridge.stop()


def test_a_command_that_the_session_cannot_take_is_told(qapp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    port = FakePort()
    monkeypatch.setattr(port, "send", lambda _command: False)
    bridge = SessionBridge(port)
    lost: list[object] = []
    bridge.command_lost.connect(lost.append)
    bridge.send(Heartbeat())
    bridge.send(Resume())
    assert lost == [Resume()]


def test_a_list_asked_for_during_a_read_is_read_once_more_and_only_then_shown(qtbot: Any) -> None:
    parent, may_go_on, reported = QtCore.QObject(), threading.Event(), list[object]()
    reader = Rereader(parent)
    reader.done.connect(reported.append)
    reader.read(lambda: may_go_on.wait(LONG_S) and "before")
    reader.read(lambda: "not needed")
    reader.read(lambda: "after")
    may_go_on.set()
    qtbot.waitUntil(lambda: reported == ["after"], timeout=LONG_MS)


def test_a_read_that_fails_is_told_and_the_next_one_is_made_all_the_same(qtbot: Any) -> None:
    parent, may_go_on, reported = QtCore.QObject(), threading.Event(), list[object]()
    reader = Rereader(parent)
    reader.done.connect(reported.append)
    reader.failed.connect(reported.append)

    def fail() -> None:
        may_go_on.wait(LONG_S)
        raise OSError("The disk is gone")

    reader.read(fail)
    reader.read(lambda: "there")
    may_go_on.set()
    qtbot.waitUntil(lambda: reported == ["The disk is gone", "there"], timeout=LONG_MS)
