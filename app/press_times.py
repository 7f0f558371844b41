"""Date every act by the press that caused it.

Problem: a window that was blocked receives all presses of that time late, as if they were new, and a Resume pressed ten seconds
ago would move the arm. Idea: the window system stamps every press. On X (on this machine) and Wayland its clock is the kernel's
monotonic clock in milliseconds, as Python's is. Every act that is sent while a press is handled gets the time of that press,
whether it came from a key, a button, a menu or a dialog.

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
"""Events that can operate a button, a menu or a list."""
_WRAP_MS = 1 << 32
"""X and Wayland count milliseconds in 32 bits."""


def pressed_ns(event: QtGui.QInputEvent) -> int:
    """Return when an input event happened, `time.monotonic_ns()`; the current time if the window system's clock is unknown."""
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
    """Keeps the time of the press that is being handled, and dates acts by it."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._at_ns: int | None = None
        self._over = QtCore.QTimer(self)
        self._over.setSingleShot(True)
        self._over.timeout.connect(self._forget)

    def start(self) -> None:
        """Watch all presses, in all windows of the program."""
        app = QtWidgets.QApplication.instance()
        assert app is not None
        app.installEventFilter(self)

    def stop(self) -> None:
        """Stop watching."""
        self._over.stop()
        app = QtWidgets.QApplication.instance()
        if app is not None:
            app.removeEventFilter(self)

    @contextlib.contextmanager
    def of(self, at_ns: int) -> Generator[None, None, None]:
        """Handle a press that does not come from Qt, such as a gamepad's.

        Args:
            at_ns: when it happened, `time.monotonic_ns()`.
        """
        former, self._at_ns = self._at_ns, at_ns
        try:
            yield
        finally:
            self._at_ns = former

    def dated(self, act: Act) -> Act:
        """Return an act with the time of its press: its own, or that of the press being handled, whichever is older."""
        times = [at for at in (act.pressed_ns, self._at_ns) if at is not None]
        return dataclasses.replace(act, pressed_ns=min(times)) if times else act

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Store when a press happened, until Qt's event loop runs again."""
        if event is not None and event.type() in _PRESSES and isinstance(event, QtGui.QInputEvent):
            self._at_ns = pressed_ns(event)
            self._over.start(0)
        return False

    def _forget(self) -> None:
        self._at_ns = None
