"""The history of messages and holds, and the dialog that saves diagnostics. GUI thread."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from app.boxes import Column
from app.qt import QtCore, QtWidgets, Signal
from app.views.widgets import sign_of, size_dialog

MOST = 200
HOLDS = (
    "The zip holds the log, settings, versions, the results of frs doctor and the stacks of crashes. Tokens, passwords and keys are taken "
    "out. The log names tasks, scenes and folders. Nothing is sent."
)
"""What diagnostics hold, as the dialog says."""


class Notices(QtCore.QObject):
    """Keeps the last `MOST` messages with their time.

    Args:
        parent: the window.
    """

    added = Signal()
    """There is one more."""

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._said: deque[tuple[float, str, str]] = deque(maxlen=MOST)

    def add(self, text: str, tone: str) -> None:
        """Add one message."""
        self._said.append((time.time(), tone, text))
        self.added.emit()

    @property
    def lines(self) -> list[str]:
        """Messages with their time of day and sign, the newest first."""
        return [
            f"{time.strftime('%H:%M:%S', time.localtime(at))}  {sign_of(tone)}  {text}"
            for at, tone, text in reversed(self._said)
        ]

    def show(self, parent: QtWidgets.QWidget, save: Callable[[], None]) -> QtWidgets.QDialog:
        """Show the history in a dialog that follows it, and return it.

        Args:
            parent: the window.
            save: opens the dialog that saves diagnostics.
        """
        dialog = QtWidgets.QDialog(parent)
        dialog.setWindowTitle("Notices")
        dialog.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        text = QtWidgets.QPlainTextEdit()
        text.setReadOnly(True)
        text.setAccessibleName("Notices, the newest first")
        follow = _Following(text, self)
        self.added.connect(follow.fill)
        column = Column(dialog)
        column.addWidget(text)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.StandardButton.Close)
        zipped = buttons.addButton("Save diagnostics…", QtWidgets.QDialogButtonBox.ButtonRole.ActionRole)
        assert zipped is not None
        zipped.clicked.connect(save)
        buttons.rejected.connect(dialog.reject)
        column.addWidget(buttons)
        size_dialog(dialog, 820, 460)
        dialog.open()
        return dialog


class _Following(QtCore.QObject):
    """Fills a text with the history, now and whenever it grows; ends with the text."""

    def __init__(self, text: QtWidgets.QPlainTextEdit, notices: Notices) -> None:
        super().__init__(text)
        self._text, self._notices = text, notices
        self.fill()

    def fill(self) -> None:
        """Show all messages, and stay where the reader has scrolled to."""
        bar = self._text.verticalScrollBar()
        assert bar is not None
        at = bar.value()
        self._text.setPlainText("\n".join(self._notices.lines) or "No messages so far")
        bar.setValue(at)


def ask_diagnostics(parent: QtWidgets.QWidget, on_yes: Callable[[Path, bool], None]) -> QtWidgets.QMessageBox:
    """Ask before saving diagnostics, and return the dialog.

    Args:
        parent: window.
        on_yes: called with the path of the zip, and whether to include the last camera images.
    """
    target = Path.home() / f"frs-diagnostics-{time.strftime('%Y%m%d-%H%M%S')}.zip"
    box = QtWidgets.QMessageBox(parent)
    box.setWindowTitle("Save diagnostics")
    box.setTextFormat(QtCore.Qt.TextFormat.PlainText)
    box.setText(f"Save diagnostics in one zip file?\n{target}")
    box.setInformativeText(HOLDS)
    images = QtWidgets.QCheckBox("Include the last camera images")
    box.setCheckBox(images)
    box.setStandardButtons(QtWidgets.QMessageBox.StandardButton.Save | QtWidgets.QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(QtWidgets.QMessageBox.StandardButton.Save)
    box.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
    box.accepted.connect(lambda: on_yes(target, images.isChecked()))
    box.open()
    return box
