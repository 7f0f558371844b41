"""Key events with the time stamps that a window system would give them."""

import time

from app.qt import Qt, QtCore, QtGui, QtWidgets

_last = 0


def _stamp() -> int:
    """Return now, milliseconds; at least 50 after the event before, as from a quick hand."""
    global _last
    _last = max(_last + 50, time.monotonic_ns() // 1_000_000)
    return _last


class KeyEvent(QtGui.QKeyEvent):
    """A key event that happened at a chosen time; Qt lets only the window system set one."""

    def __init__(
        self,
        kind: QtCore.QEvent.Type,
        code: Qt.Key | int,
        *,
        modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
        text: str = "",
        is_repeat: bool = False,
        at_ms: int | None = None,
        place: int = 0,
    ) -> None:
        """Make one event; `at_ms` None = a moment after the last one, `place` 0 = the window system does not tell which key it is."""
        super().__init__(kind, code, modifiers, place, 0, 0, text, is_repeat)
        self._at_ms = _stamp() if at_ms is None else at_ms

    def timestamp(self) -> int:
        """Return when it happened, milliseconds."""
        return self._at_ms


def send_key(window: QtWidgets.QWidget, event: KeyEvent) -> None:
    """Hand one event to the window as the window system does."""
    QtWidgets.QApplication.sendEvent(window.windowHandle(), event)


def type_key(
    window: QtWidgets.QWidget,
    code: Qt.Key,
    modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    text: str = "",
) -> None:
    """Press and release a key."""
    for kind in (QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease):
        send_key(window, KeyEvent(kind, code, modifiers=modifiers, text=text))
