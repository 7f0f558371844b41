"""Fixtures of the cockpit's tests: a window on a fake session, own settings, nothing left over."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if not os.environ.get("DISPLAY") or os.environ.get("FRS_TEST_GL") != "1":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from app import theme
from app.facts import Facts
from app.qt import Qt, QtCore, QtWidgets
from app.settings import SettingsFile
from app.window import CockpitWindow
from app.workers import SessionBridge
from tests.fakes.snapshots import FakePort, resting, snapshot
from tests.waiting import LONG_S

QtWidgets.QApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the operator's settings."""
    folder = tmp_path / "config"
    monkeypatch.setenv("FRS_CONFIG_DIR", str(folder))
    monkeypatch.setenv("FRS_LOG_DIR", str(tmp_path / "log"))
    return folder


@pytest.fixture(autouse=True)
def nothing_left_over(qapp: QtWidgets.QApplication) -> Iterator[None]:
    """Fail on a thread of ours or a visible window that outlives its test."""
    theme.apply(qapp, theme.DARK, scale=1.0)
    yield
    qapp.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
    qapp.processEvents()
    windows = [w for w in qapp.topLevelWidgets() if w.isVisible()]
    # A thread that was asked to end may need a moment on a busy machine; one that was not never ends.
    until = time.monotonic() + LONG_S
    for thread in [t for t in threading.enumerate() if t.name.startswith(("app-", "frs-"))]:
        thread.join(max(0.0, until - time.monotonic()))
    threads = [t.name for t in threading.enumerate() if t.name.startswith(("app-", "frs-"))]
    for window in windows:
        window.close()
    assert not windows, f"left visible: {windows}"
    assert not threads, f"left running: {threads}"


@pytest.fixture
def port() -> FakePort:
    """A session that can be looked at."""
    return FakePort()


@pytest.fixture
def make_window(qtbot: Any, port: FakePort, tmp_path: Path) -> Iterator[Any]:
    """Return a function that opens a cockpit on the fake session."""
    opened: list[CockpitWindow] = []

    def make(*, root: Path | None = None, has_seen: bool = True, **facts: Any) -> CockpitWindow:
        settings = SettingsFile(tmp_path / "config")
        settings.values.has_seen_first_run = has_seen
        window = CockpitWindow(SessionBridge(port), Facts("point", "toy", root=root, **facts), settings)
        opened.append(window)
        window.resize(1280, 800)
        window.show_cockpit()
        qtbot.waitExposed(window)
        window.activateWindow()
        window.take(resting())
        return window

    yield make
    for window in opened:
        window.close()
        window.deleteLater()


@pytest.fixture
def window(make_window: Any) -> CockpitWindow:
    """A cockpit waiting for a pick."""
    result = make_window()
    result.take(snapshot())
    result.bridge.port.sent.clear()
    return result
