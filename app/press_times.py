"""When the press happened that is being handled: an act is as old as the press behind it.

Problem: a window that was stuck hands on everything that was pressed meanwhile as if it had been pressed just now, and a Resume of
ten seconds ago would move the arm. Idea: the window system stamps every press. On X (of this machine) and Wayland that clock is
the kernel's monotonic one in milliseconds, which is Python's too. Whatever is sent while a press is handled is as old as that press,
whether a key, a button, a menu or the answer to a question led to it.

Example: Resume is clicked, the window wakes 4 s later and calls send(Resume()): dated(Resume()).pressed_ns is 4 s ago. GUI thread.
"""

import contextlib
import dataclasses
import os
import time
from collections.abc import Generator

from app.qt import QtCore, QtGui, QtWidgets
from frs_core.events import Act

_TYPES = QtCore.QEvent.Type
_PRESSES = frozenset(
    (
        _TYPES.KeyPress,
        _TYPES.KeyRelease,
        _TYPES.ShortcutOverride,
        _TYPES.MouseButtonPress,
        _TYPES.MouseButtonRelease,
        _TYPES.MouseButtonDblClick,
        _TYPES.TouchBegin,
        _TYPES.TouchEnd,
        _TYPES.Wheel,
    )
)
"""What a button, a menu or a list can be worked with."""
_WRAP_MS = 1 << 32
"""X and Wayland count milliseconds in 32 bits."""


def pressed_ns(event: QtGui.QInputEvent) -> int:
    """Return when an input event happened, `time.monotonic_ns()`; where the window system's clock is not known, now."""
    now_ns, stamp_ms = time.monotonic_ns(), event.timestamp()
    if not stamp_ms or not _has_our_clock():
        return now_ns
    age_ms = (now_ns // 1_000_000 - stamp_ms) % _WRAP_MS
    # The server's clock may be a tick ahead.
    return now_ns - (age_ms * 1_000_000 if age_ms < _WRAP_MS // 2 else 0)


def _has_our_clock() -> bool:
    platform = QtGui.QGuiApplication.platformName()
    is_local_x = platform == "xcb" and os.environ.get("DISPLAY", "").startswith((":", "unix:"))
    return is_local_x or platform.startswith("wayland")


class PressTimes(QtCore.QObject):
    """Knows the press that is being handled now, and dates acts by it."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._at_ns: int | None = None
        self._over = QtCore.QTimer(self)
        self._over.setSingleShot(True)
        self._over.timeout.connect(self._forget)

    def start(self) -> None:
        """Look at every press of the program, in whichever window."""
        app = QtWidgets.QApplication.instance()
        assert app is not None
        app.installEventFilter(self)

    def stop(self) -> None:
        """Look no more."""
        self._over.stop()
        app = QtWidgets.QApplication.instance()
        if app is not None:
            app.removeEventFilter(self)

    @contextlib.contextmanager
    def of(self, at_ns: int) -> Generator[None, None, None]:
        """Handle a press that Qt knows nothing of, such as a gamepad's.

        Args:
            at_ns: when it happened, `time.monotonic_ns()`.
        """
        former, self._at_ns = self._at_ns, at_ns
        try:
            yield
        finally:
            self._at_ns = former

    def dated(self, act: Act) -> Act:
        """Return an act with the time of its press: the one it has, or that of the press being handled; the older one counts."""
        times = [at for at in (act.pressed_ns, self._at_ns) if at is not None]
        return dataclasses.replace(act, pressed_ns=min(times)) if times else act

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Note when a press happened; it is being handled until Qt's loop turns."""
        if event is not None and event.type() in _PRESSES and isinstance(event, QtGui.QInputEvent):
            self._at_ns = pressed_ns(event)
            self._over.start(0)
        return False

    def _forget(self) -> None:
        self._at_ns = None
