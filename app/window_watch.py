"""Close the window when asked, and detect its loss.

Problem: Qt does not notice when another program destroys the window, and the process would keep running without one. Idea: a
second connection to the X server receives the events of the window. GUI thread.
"""

import ctypes
import ctypes.util
from typing import Any

from app.ending import LOST, Ending
from app.qt import QtCore, QtGui, QtWidgets, Signal, Slot
from app.workers import Relay

_CW_EVENT_MASK, _STRUCTURE_NOTIFY, _DESTROY_NOTIFY = 2048, 131072, 17
"""Source: xproto.h."""


class WindowWatch(Relay):
    """Connects a window with an `Ending`: closes the window on request and reports its loss.

    Args:
        window: shown.
        ending: receives the reports.
    """

    asked = Signal()
    """The window should close."""

    def __init__(self, window: QtWidgets.QWidget, ending: Ending) -> None:
        super().__init__()
        self._window: QtWidgets.QWidget | None = window
        self._ending = ending
        self.asked.connect(window.close)
        window.destroyed.connect(self._on_destroyed)
        self._on_server = _ServerWatch(window, self._on_lost) if _is_x11() else None
        ending.watch(self._ask)

    def take_down(self, code: int) -> int:
        """Close and delete the window while the objects it uses still exist; return the exit status.

        Args:
            code: returned by Qt's event loop; 1 if the display was lost.
        """
        if code:
            self._ending.begin("The connection to the display broke", LOST)
        self._ending.left()
        self._on_server = None
        window, self._window = self._window, None
        if window is not None:
            window.close()
            window.deleteLater()
            QtCore.QCoreApplication.sendPostedEvents(window, QtCore.QEvent.Type.DeferredDelete)
        return self._ending.status

    def _ask(self) -> None:
        self.tell("asked")

    def _on_lost(self) -> None:
        if self._window is not None and self._window.isHidden():
            # It was closed here, and Qt has destroyed it: the event loop is about to end.
            return
        self._ending.begin("The window was destroyed", LOST)

    @Slot()
    def _on_destroyed(self) -> None:
        """Report a window that was deleted without being closed."""
        if self._window is not None:
            self._window = None
            self._ending.begin("The window was destroyed", LOST)
            QtCore.QCoreApplication.exit(LOST)


class _ServerWatch(QtCore.QObject):
    """Asks the X server to report when a window is destroyed."""

    def __init__(self, window: QtWidgets.QWidget, on_lost: Any) -> None:
        super().__init__()
        self._window, self._on_lost = window, on_lost
        self._xcb = ctypes.CDLL(ctypes.util.find_library("xcb") or "libxcb.so.1")
        for name in ("xcb_connect", "xcb_poll_for_event"):
            getattr(self._xcb, name).restype = ctypes.c_void_p
        self._libc = ctypes.CDLL(None)
        self._connection = ctypes.c_void_p(self._xcb.xcb_connect(None, None))
        self._number = int(window.winId())
        mask = ctypes.c_uint32(_STRUCTURE_NOTIFY)
        self._xcb.xcb_change_window_attributes(
            self._connection, ctypes.c_uint32(self._number), ctypes.c_uint32(_CW_EVENT_MASK), ctypes.byref(mask)
        )
        self._xcb.xcb_flush(self._connection)
        file = self._xcb.xcb_get_file_descriptor(self._connection)
        self._notifier = QtCore.QSocketNotifier(file, QtCore.QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._read)

    def _read(self) -> None:
        while event := self._xcb.xcb_poll_for_event(self._connection):
            code, _window, number = ctypes.string_at(event, 1)[0], *(ctypes.c_uint32 * 2).from_address(event + 4)
            self._libc.free(ctypes.c_void_p(event))
            if code & 0x7F == _DESTROY_NOTIFY and number == self._number:
                self._notifier.setEnabled(False)
                self._on_lost()
        if self._xcb.xcb_connection_has_error(self._connection):
            # The display was lost, which Qt's own connection reports.
            self._notifier.setEnabled(False)


def _is_x11() -> bool:
    return QtGui.QGuiApplication.platformName() == "xcb"
