"""Convert key events to presses and releases of controls.

Problem: under X11 a held key arrives as release/press pairs, not always flagged as auto-repeat; a key released while another
window has the focus is never reported; text fields need the arrow keys while someone types. Idea: an event filter on the
window's QWindow converts key events to *controls*. A release waits `RELEASE_DELAY_MS` for a following press; the window
system's time stamps distinguish auto-repeat from fast typing and from events that queued up while the window was busy. Losing
the focus releases all keys, and so does a menu or list that opens, which receives all keys from then on; Hold is read there, too,
while the robot moves. Text fields receive their keys first, except Hold.

Example: press, (release, press in the same millisecond) x 20, release of Left gives exactly one press and one release; press,
release, press 40 ms later gives two presses, however late they are read. Runs on the GUI thread.
"""

import contextlib
import sys
import time
import unicodedata
from collections.abc import Callable

from app.press_times import pressed_ns
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from frs_core.devices.base import ControlChange, Stage

RELEASE_DELAY_MS = 60
"""How long a release waits for the second half of an auto-repeat pair. Guess; both are sent together."""
REPEAT_GAP_MS = 8
"""Largest difference of time stamps in an auto-repeat pair. X stamps both alike; a person needs at least 20 ms."""

POPUP_MS = 50
"""How often to look for an open menu or list."""

_TEXT_FIELDS = (QtWidgets.QLineEdit, QtWidgets.QTextEdit, QtWidgets.QPlainTextEdit, QtWidgets.QAbstractSpinBox)
_MODIFIER_KEYS = {
    Qt.Key.Key_Shift: "Shift",
    Qt.Key.Key_Control: "Ctrl",
    Qt.Key.Key_Alt: "Alt",
    Qt.Key.Key_Meta: "Meta",
}
_KNOWN = frozenset(key.value for key in Qt.Key)
_NO_LETTERS = frozenset({0, Qt.Key.Key_unknown.value, *(k.value for k in Qt.Key if k.name.startswith("Key_Dead_"))})
_PLACES = {
    first + i: sign
    for first, signs in ((10, "1234567890-="), (24, "QWERTYUIOP[]"), (38, "ASDFGHJKL;'`"), (51, "\\ZXCVBNM,./"))
    for i, sign in enumerate(signs)
}
"""X11 key code (the same on Wayland) -> key of a US keyboard at that position. Source: xkeyboard-config keycodes/evdev."""
_SHIFT = Qt.KeyboardModifier.ShiftModifier
_KEEP = (
    _SHIFT | Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
)


class Layout:
    """The layout of the keyboard, as far as its keys have shown it.

    Hebrew types ' and Greek ; where others have letters, as Dvorak does too, which has its letters elsewhere. So such a sign is told by
    the letter that was typed last; before there was one, by the language of the system.
    """

    def __init__(self) -> None:
        self.has_latin_letters = QtCore.QLocale.system().script() is QtCore.QLocale.Script.LatinScript

    def see(self, event: QtGui.QKeyEvent) -> None:
        """Learn from a key; Shift and Ctrl make many layouts type Latin letters."""
        sign = chr(min(event.key(), 0x10FFFF))
        if event.modifiers() & _KEEP == Qt.KeyboardModifier.NoModifier and event.key() < 0x1000000 and sign.isalpha():
            self.has_latin_letters = _is_latin(sign)


_LAYOUT = Layout()
"""There is one for the whole program, as for the window system."""


def _is_latin(sign: str) -> bool:
    return unicodedata.name(sign, "").startswith("LATIN")


def _latin(event: QtGui.QKeyEvent) -> int:
    """Return the key's number; by its position on the keyboard if the layout has no Latin letter or digit there.

    The Russian С is the C key, Х is [, and AZERTY's & is 1. Letters that a Latin layout moves, such as Dvorak's, keep the position of
    that layout.
    """
    _LAYOUT.see(event)
    key = event.key()
    place = _PLACES.get(event.nativeScanCode()) if sys.platform.startswith("linux") else None
    if place is None:
        return key
    if place.isdigit():
        is_shifted = bool(event.modifiers() & _SHIFT)
        return key if is_shifted or ord("0") <= key <= ord("9") else ord(place)
    sign = chr(min(key, 0x10FFFF))
    is_foreign = 0x80 <= key < 0x1000000 and not _is_latin(sign)
    if place.isalpha():
        is_foreign |= 0x20 < key < 0x80 and not sign.isalnum() and not _LAYOUT.has_latin_letters
    else:
        is_foreign &= sign.isalpha()
    return ord(place) if is_foreign or key not in _KNOWN or key in _NO_LETTERS else key


def control_of(event: QtGui.QKeyEvent) -> str:
    """Return the control of a key event, e.g. "key:Ctrl+Return"."""
    number = _latin(event)
    key = Qt.Key(number) if number in _KNOWN else None
    if key is not None and key in _MODIFIER_KEYS:
        return f"key:{_MODIFIER_KEYS[key]}"
    if key == Qt.Key.Key_Backtab:
        return "key:Shift+Tab"
    modifiers = event.modifiers() & _KEEP
    text = event.text()
    if (
        text
        and text.isprintable()
        and not text.isalnum()
        and not text.isspace()
        and modifiers in (_SHIFT, Qt.KeyboardModifier.NoModifier)
    ):
        modifiers = Qt.KeyboardModifier.NoModifier  # Shift only produced the symbol.
    name = QtGui.QKeySequence(modifiers.value | number).toString(QtGui.QKeySequence.SequenceFormat.PortableText)
    if number in _NO_LETTERS or not name.isprintable():
        return f"key:code{event.nativeScanCode()}"  # Qt's name is no text that a file can hold.
    return f"key:{name}"


def _physical(event: QtGui.QKeyEvent) -> int:
    """Return a number of the physical key. What it types changes while it is down, as Shift or the layout does, and two keys may type one sign."""
    code = event.nativeVirtualKey() if sys.platform == "darwin" else event.nativeScanCode()
    return -code or event.key()


def stamp_of(event: QtGui.QKeyEvent) -> int:
    """Return when a key event happened, milliseconds; the current time if the window system gives none."""
    return event.timestamp() or time.monotonic_ns() // 1_000_000


class Keyboard(QtCore.QObject):
    """Converts key events of one window to control changes.

    Args:
        window: the top-level widget whose key events are read.
        wants: returns whether a control is used now; others go to the widgets.
        always: returns whether a control works even while a text field has the focus (Hold).
        urgent: returns whether a control works even while a menu or list is open (Hold while the robot moves).
    """

    control_changed = Signal(object)
    """A ControlChange."""
    all_released = Signal()
    """The window lost the focus; all held keys are released."""

    def __init__(
        self,
        window: QtWidgets.QWidget,
        *,
        wants: Callable[[str], bool],
        always: Callable[[str], bool],
        urgent: Callable[[str], bool],
    ) -> None:
        super().__init__(window)
        self._wants, self._always, self._urgent = wants, always, urgent
        self._held: dict[int, str] = {}
        self._releasing: dict[int, QtCore.QTimer] = {}
        self._released_ms: dict[int, int] = {}
        """When each key in `_releasing` was released, by the window system's clock."""
        self.is_capturing = False
        """While the key editor waits for a key, keys do nothing else."""
        self._handles: dict[QtWidgets.QWidget, QtGui.QWindow] = {}
        """The QWindow of each window whose keys are taken."""
        self._popup: QtGui.QWindow | None = None
        """The QWindow of the open menu or list."""
        self._windows = [window]
        window.installEventFilter(self)
        self._watch_handle(window)
        self._popup_timer = QtCore.QTimer(self)
        self._popup_timer.timeout.connect(self._watch_popup)
        self._popup_timer.start(POPUP_MS)
        app = QtWidgets.QApplication.instance()
        assert isinstance(app, QtWidgets.QApplication)
        app.applicationStateChanged.connect(self._on_application_state)

    @property
    def held(self) -> tuple[str, ...]:
        """Controls that are down now."""
        return tuple(self._held.values())

    def release_all(self) -> None:
        """Release every held key."""
        for timer in self._releasing.values():
            timer.stop()
            timer.deleteLater()
        self._releasing.clear()
        for control in list(self._held.values()):
            self._emit(control, Stage.RELEASED, time.monotonic_ns())
        self._held.clear()
        self.all_released.emit()

    def stop(self) -> None:
        """Stop filtering key events."""
        self._popup_timer.stop()
        for window in list(self._windows):
            self.drop(window)
        app = QtWidgets.QApplication.instance()
        if isinstance(app, QtWidgets.QApplication):
            with contextlib.suppress(TypeError):
                app.applicationStateChanged.disconnect(self._on_application_state)

    @property
    def is_active(self) -> bool:
        """Whether one of the windows whose keys are taken has the focus."""
        return any(window.isActiveWindow() for window in self._windows)

    def add(self, window: QtWidgets.QWidget) -> None:
        """Take the keys of another window too."""
        self._windows.append(window)
        window.installEventFilter(self)
        self._watch_handle(window)

    def drop(self, window: QtWidgets.QWidget) -> None:
        """Take a window's keys no longer."""
        self._windows.remove(window)
        window.removeEventFilter(self)
        handle = self._handles.pop(window, None)
        if handle is not None:
            handle.removeEventFilter(self)

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Take the keys that are used, before any widget receives them."""
        if event is None or watched is None:
            return False
        kind = event.type()
        if kind in (QtCore.QEvent.Type.Show, QtCore.QEvent.Type.WinIdChange) and isinstance(watched, QtWidgets.QWidget):
            self._watch_handle(watched)
            return False
        if kind == QtCore.QEvent.Type.WindowDeactivate and isinstance(watched, QtWidgets.QWidget):
            self.release_all()
            return False
        if kind == QtCore.QEvent.Type.KeyPress and self._is_popup(watched):
            assert isinstance(event, QtGui.QKeyEvent)
            return self._on_press_in_popup(event)
        if kind == QtCore.QEvent.Type.MouseButtonPress and self._is_ours(watched):
            assert isinstance(event, QtGui.QMouseEvent)
            _leave_field(event.globalPosition().toPoint())
            return False
        if kind not in (QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease) or not self._is_ours(watched):
            return False
        assert isinstance(event, QtGui.QKeyEvent)
        if kind == QtCore.QEvent.Type.KeyPress:
            return self._on_press(event)
        return self._on_release(event)

    def _watch_handle(self, window: QtWidgets.QWidget) -> None:
        """Filter a window's QWindow, which receives each key event exactly once; Qt may have created a new one."""
        handle = window.windowHandle()
        if handle is not None and handle is not self._handles.get(window):
            self._handles[window] = handle
            handle.installEventFilter(self)

    def _watch_popup(self) -> None:
        """Filter the QWindow of an open menu or list; keys that are down as it opens are released."""
        popup = QtWidgets.QApplication.activePopupWidget()
        handle = popup.windowHandle() if popup is not None else None
        if handle is not None:
            handle.installEventFilter(self)
        if handle is not self._popup and handle is not None and self._held:
            # Their releases are the popup's; the window keeps the focus, so nothing else would say so.
            self.release_all()
        self._popup = handle

    @staticmethod
    def _is_popup(watched: QtCore.QObject) -> bool:
        popup = QtWidgets.QApplication.activePopupWidget()
        return popup is not None and isinstance(watched, QtGui.QWindow) and watched is popup.windowHandle()

    def _on_press_in_popup(self, event: QtGui.QKeyEvent) -> bool:
        """Take Hold's keys while the robot moves; all others are the popup's."""
        control = control_of(event)
        if event.isAutoRepeat() or self.is_capturing or not self._urgent(control):
            return False
        self._emit(control, Stage.PRESSED, pressed_ns(event))
        self._emit(control, Stage.RELEASED, pressed_ns(event))
        return True

    def _on_application_state(self, state: Qt.ApplicationState) -> None:
        if state is not Qt.ApplicationState.ApplicationActive:
            self.release_all()

    def _is_ours(self, watched: QtCore.QObject) -> bool:
        """Whether the event was sent to one of our QWindows."""
        return isinstance(watched, QtGui.QWindow) and any(watched is w.windowHandle() for w in self._windows)

    def _on_press(self, event: QtGui.QKeyEvent) -> bool:
        if self.is_capturing or QtWidgets.QApplication.activePopupWidget() is not None:
            return False
        if QtWidgets.QApplication.activeModalWidget() is not None:
            return False
        code, control = _physical(event), control_of(event)
        if self._always(control):
            _leave_field()
        timer, is_repeat = self._releasing.get(code), event.isAutoRepeat()
        if timer is not None:
            if stamp_of(event) - self._released_ms[code] > REPEAT_GAP_MS:
                self._released(code)
            else:
                is_repeat = True
                timer.stop()
                timer.deleteLater()
                del self._releasing[code]
        if code in self._held:
            if is_repeat:
                return True
            # Its release went to something that has opened and closed since, too soon for `_watch_popup`.
            self._released(code)
        control = self._usable(control)
        if control is None:
            return False
        if event.isAutoRepeat() and not self._always(control):
            # It has been down since before the window got the focus.
            return True
        self._held[code] = control
        self._emit(control, Stage.PRESSED, pressed_ns(event))
        return True

    def _usable(self, control: str) -> str | None:
        if self._always(control):
            return control
        if isinstance(QtWidgets.QApplication.focusWidget(), _TEXT_FIELDS):
            is_command = control.startswith(("key:Ctrl+", "key:Alt+", "key:F1"))
            is_the_fields = _edits_text(control) and not _has_nothing_to_undo(control)
            return control if is_command and self._wants(control) and not is_the_fields else None
        if self._wants(control):
            return control
        plain = control.replace("Shift+", "")
        return plain if plain != control and self._wants(plain) else None

    def _on_release(self, event: QtGui.QKeyEvent) -> bool:
        code = _physical(event)
        if code not in self._held:
            return False
        if event.isAutoRepeat() or code in self._releasing:
            return True
        timer = QtCore.QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(lambda: self._released(code))
        self._releasing[code] = timer
        self._released_ms[code] = stamp_of(event)
        timer.start(RELEASE_DELAY_MS)
        return True

    def _released(self, code: int) -> None:
        timer = self._releasing.pop(code, None)
        if timer is not None:
            timer.stop()
            timer.deleteLater()
        control = self._held.pop(code, None)
        if control is not None:
            self._emit(control, Stage.RELEASED, time.monotonic_ns())

    def _emit(self, control: str, stage: Stage, at_ns: int) -> None:
        value = 0.0 if stage is Stage.RELEASED else 1.0
        self.control_changed.emit(ControlChange("keyboard", control, stage, value, at_ns))


_TEXT_KEYS = frozenset(
    f"key:Ctrl+{key}"
    for key in ("Z", "Shift+Z", "Backspace", "Shift+Backspace", "Left", "Right", "D", "E", "B", "P", "Del")
)
"""Keys that edit text."""


def _edits_text(control: str) -> bool:
    return control in _TEXT_KEYS


def _has_nothing_to_undo(control: str) -> bool:
    """Whether the key undoes or redoes, and the line that is edited has nothing for it."""
    field = QtWidgets.QApplication.focusWidget()
    if not isinstance(field, QtWidgets.QLineEdit):
        return False
    there_is = {"key:Ctrl+Z": field.isUndoAvailable, "key:Ctrl+Shift+Z": field.isRedoAvailable}
    return control in there_is and not there_is[control]()


def _leave_field(at: QtCore.QPoint | None = None) -> None:
    """Take the keyboard from the text field that has it, unless the pointer is pressed in that field: what is typed then is a command.

    Args:
        at: where the pointer is pressed, global; None = a key leaves the field.
    """
    field = QtWidgets.QApplication.focusWidget()
    if isinstance(field, _TEXT_FIELDS) and (at is None or not field.rect().contains(field.mapFromGlobal(at))):
        field.clearFocus()
