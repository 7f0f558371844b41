"""Toasts and the banner: messages that do not block the operator like a dialog.

A toast disappears by itself and may offer one action; the banner stays until its problem is fixed. A toast emits a signal when it
is over, and its host removes it. GUI thread.
"""

from collections.abc import Callable

from app import theme
from app.boxes import Column, Row
from app.qt import Qt, QtCore, QtWidgets, Signal
from app.views.widgets import label, set_tone, sign_of

TOAST_S = 5.0
MAX_TOASTS = 4
SHORT_DETAILS = 240
"""Longest details, in characters, that are shown at once: two lines in the smallest window."""


class Toast(QtWidgets.QFrame):
    """One message in the corner.

    Args:
        text: what it says.
        tone: colour and sign.
        parent: the widget that it covers.
        seconds: how long it is shown.
        action: text and function of its button.
    """

    expired = Signal(object)
    """Emits the toast itself: its time is over, or its button was pressed."""

    def __init__(
        self,
        text: str,
        *,
        tone: str,
        parent: QtWidgets.QWidget,
        seconds: float,
        action: tuple[str, Callable[[], None]] | None,
    ) -> None:
        super().__init__(parent)
        self.setProperty("role", "toast")
        self.setProperty("tone", tone)
        self.text = text
        row = Row(self, margins=(12, 8, 10, 8))
        mark = label(sign_of(tone))
        set_tone(mark, tone)
        row.addWidget(mark)
        words = label(text, wrap=True)
        words.ensurePolished()
        wide = min(theme.px(380), max(theme.px(240), words.fontMetrics().horizontalAdvance(text) + 8))
        # The first size hint of a wrapped label ignores its width; the second line would be cut off.
        words.setFixedWidth(wide)
        words.setMinimumHeight(words.heightForWidth(wide))
        row.addWidget(words, 1)
        self._act = action[1] if action is not None else None
        if action is not None:
            button = QtWidgets.QPushButton(action[0])
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(self._on_clicked)
            row.addWidget(button)
        self.setAccessibleName(text)
        timer = QtCore.QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(self._on_time)
        timer.start(int(seconds * 1000))

    def _on_clicked(self) -> None:
        if self._act is not None:
            self._act()
        self.expired.emit(self)

    def _on_time(self) -> None:
        self.expired.emit(self)


_MOVING = (QtCore.QEvent.Type.Resize, QtCore.QEvent.Type.Show, QtCore.QEvent.Type.Hide)


class Toasts(QtCore.QObject):
    """Stacks toasts in the lower right corner of a widget.

    Args:
        host: the widget.
        over: lies in it; while it is shown, toasts lie over its lower end, so that they cover no button of the rows below it.
    """

    def __init__(self, host: QtWidgets.QWidget, *, over: QtWidgets.QWidget | None = None) -> None:
        super().__init__(host)
        self._host, self._over = host, over
        self._shown: list[Toast] = []
        for widget in (host, over):
            if widget is not None:
                widget.installEventFilter(self)

    @property
    def texts(self) -> list[str]:
        """Texts of the toasts shown."""
        return [t.text for t in self._shown]

    def say(
        self,
        text: str,
        *,
        tone: str = "info",
        seconds: float = TOAST_S,
        action: tuple[str, Callable[[], None]] | None = None,
    ) -> None:
        """Show a message, unless the same text is already shown."""
        if any(t.text == text for t in self._shown):
            return
        toast = Toast(text, tone=tone, parent=self._host, seconds=seconds, action=action)
        toast.expired.connect(self._take_down)
        self._shown.append(toast)
        for old in self._shown[:-MAX_TOASTS]:
            self._take_down(old)
        toast.show()
        self._place()

    def withdraw(self, text: str) -> None:
        """Remove the message with a text, if it is still shown."""
        for toast in [t for t in self._shown if t.text == text]:
            self._take_down(toast)

    def clear(self) -> None:
        """Remove every toast."""
        for toast in tuple(self._shown):
            self._take_down(toast)

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Stay in the corner when the host is resized, and above the rows that appear."""
        if event is not None and event.type() in _MOVING:
            self._place()
        return False

    def _take_down(self, toast: Toast) -> None:
        if toast in self._shown:
            self._shown.remove(toast)
            toast.hide()
            toast.deleteLater()
            self._place()

    def _place(self) -> None:
        y = self._host.height() - theme.px(112)
        if self._over is not None and self._over.isVisible():
            y = self._over.mapTo(self._host, self._over.rect().bottomLeft()).y()
        for toast in reversed(self._shown):
            toast.adjustSize()
            y -= toast.height() + 8
            toast.move(self._host.width() - toast.width() - 14, y)
            toast.raise_()


class Banner(QtWidgets.QFrame):
    """A strip that shows an error and how to fix it.

    The first sentence is always shown; the rest is shown too if it is short, otherwise behind "Details".
    """

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "banner")
        self._head = label("", "sentence", wrap=True)
        self._rest = label("", wrap=True)
        self._rest.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._details = QtWidgets.QPushButton("Details")
        self._details.setCheckable(True)
        self._fix = QtWidgets.QPushButton()
        self._close = QtWidgets.QPushButton("Dismiss")
        for button in (self._details, self._fix, self._close):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._on_fix: Callable[[], None] | None = None
        row = Row()
        row.addWidget(label("⚠", "big"))
        row.addWidget(self._head, 1)
        for button in (self._fix, self._details, self._close):
            row.addWidget(button)
        column = Column(self, margins=(14, 6, 10, 6))
        column.addLayout(row)
        column.addWidget(self._rest)
        self._details.toggled.connect(self._rest.setVisible)
        self._close.clicked.connect(self.hide)
        self._fix.clicked.connect(lambda: self._on_fix and self._on_fix())
        self.hide()

    @property
    def text(self) -> str:
        """First sentence of the banner; empty if hidden."""
        return self._head.text() if self.isVisibleTo(self.parentWidget()) else ""

    @property
    def details(self) -> str:
        """Text of the banner after its first sentence."""
        return self._rest.text() if self.text else ""

    def show_error(self, text: str, *, fix: tuple[str, Callable[[], None]] | None = None) -> None:
        """Show an error: the first sentence says what failed, the rest how to fix it."""
        head, rest = split_sentence(text)
        if (head, rest) == (self._head.text(), self._rest.text()) and self.isVisible():
            return
        self._head.setText(head)
        self._rest.setText(rest)
        is_short = 0 < len(rest) <= SHORT_DETAILS
        self._rest.setVisible(is_short)
        self._details.setChecked(is_short)
        self._details.setVisible(bool(rest) and not is_short)
        self._fix.setVisible(fix is not None)
        if fix is not None:
            self._fix.setText(fix[0])
            self._on_fix = fix[1]
        self.setAccessibleName(head)
        self.show()


def split_sentence(text: str) -> tuple[str, str]:
    """Return the first sentence and the rest; dots inside numbers and names do not end a sentence."""
    flat = text.strip()
    for i, letter in enumerate(flat):
        if letter in ".!?" and (i + 1 == len(flat) or flat[i + 1] in " \n"):
            return flat[: i + 1], flat[i + 1 :].strip()
        if letter == "\n":
            return flat[:i], flat[i + 1 :].strip()
    return flat, ""
