"""The history of messages, and the dialog that saves diagnostics. GUI thread."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from app.qt import QtCore, QtWidgets

MOST = 200


class Notices:
    """Keeps the last `MOST` messages with their time."""

    def __init__(self) -> None:
        self._said: deque[tuple[float, str, str]] = deque(maxlen=MOST)

    def add(self, text: str, tone: str) -> None:
        """Add one message."""
        self._said.append((time.time(), tone, text))

    @property
    def lines(self) -> list[str]:
        """Messages with their time of day, the newest first."""
        return [f"{time.strftime('%H:%M:%S', time.localtime(at))}  {text}" for at, _, text in reversed(self._said)]

    def show(self, parent: QtWidgets.QWidget) -> QtWidgets.QDialog:
        """Show the history in a dialog, and return it."""
        dialog = QtWidgets.QDialog(parent)
        dialog.setWindowTitle("Notices")
        dialog.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        text = QtWidgets.QPlainTextEdit("\n".join(self.lines) or "No messages so far")
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
    """Ask before saving diagnostics, and return the dialog.

    Args:
        parent: window.
        on_yes: called with the path of the zip, and whether to include the last camera images.
    """
    target = Path.home() / f"frs-diagnostics-{time.strftime('%Y%m%d-%H%M%S')}.zip"
    box = QtWidgets.QMessageBox(parent)
    box.setWindowTitle("Save diagnostics")
    box.setText(f"The log, settings, versions and the results of frs doctor are saved in one zip file:\n{target}")
    box.setInformativeText("Nothing is sent. The log contains the names of tasks, scenes and folders.")
    images = QtWidgets.QCheckBox("Include the last camera images")
    box.setCheckBox(images)
    box.setStandardButtons(QtWidgets.QMessageBox.StandardButton.Save | QtWidgets.QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(QtWidgets.QMessageBox.StandardButton.Save)
    box.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
    box.accepted.connect(lambda: on_yes(target, images.isChecked()))
    box.open()
    return box
