"""What the window has said: the last two hundred messages with their time, and the box that saves diagnostics. GUI thread."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from app.qt import QtCore, QtWidgets

MOST = 200


class Notices:
    """A history of everything that was said."""

    def __init__(self) -> None:
        self._said: deque[tuple[float, str, str]] = deque(maxlen=MOST)

    def add(self, text: str, tone: str) -> None:
        """Remember one message."""
        self._said.append((time.time(), tone, text))

    @property
    def lines(self) -> list[str]:
        """Messages with their time of day, the newest first."""
        return [f"{time.strftime('%H:%M:%S', time.localtime(at))}  {text}" for at, _, text in reversed(self._said)]

    def show(self, parent: QtWidgets.QWidget) -> QtWidgets.QDialog:
        """Show the history in a dialog of its own, and return it."""
        dialog = QtWidgets.QDialog(parent)
        dialog.setWindowTitle("Notices")
        dialog.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        text = QtWidgets.QPlainTextEdit("\n".join(self.lines) or "Nothing was said so far")
        text.setReadOnly(True)
        text.setAccessibleName("Notices, the newest first")
        column = QtWidgets.QVBoxLayout(dialog)
        column.addWidget(text)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(dialog.reject)
        column.addWidget(buttons)
        dialog.resize(720, 420)
        dialog.open()
        return dialog


def ask_diagnostics(parent: QtWidgets.QWidget, on_yes: Callable[[Path, bool], None]) -> QtWidgets.QMessageBox:
    """Ask before diagnostics are saved, and return the question.

    Args:
        parent: window.
        on_yes: given the zip's path, and whether the cameras' last pictures go with it.
    """
    target = Path.home() / f"frs-diagnostics-{time.strftime('%Y%m%d-%H%M%S')}.zip"
    box = QtWidgets.QMessageBox(parent)
    box.setWindowTitle("Save diagnostics")
    box.setText(f"One zip with the log, settings, versions and what frs doctor finds is written to\n{target}")
    box.setInformativeText("Nothing is sent anywhere. The log names tasks, scenes and folders.")
    pictures = QtWidgets.QCheckBox("Add the cameras' last pictures")
    box.setCheckBox(pictures)
    box.setStandardButtons(QtWidgets.QMessageBox.StandardButton.Save | QtWidgets.QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(QtWidgets.QMessageBox.StandardButton.Save)
    box.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
    box.accepted.connect(lambda: on_yes(target, pictures.isChecked()))
    box.open()
    return box
