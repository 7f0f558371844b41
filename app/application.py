"""Make the Qt application, or say in one sentence why nothing can be shown.

Problem: without a display that answers, or without a library of its plug-in, Qt prints several lines and aborts the process. Idea: while
the application is made, and no longer, Qt's messages are read here; the last one before the abort is the cause. (Afterwards they must not
be handled in Python: see `app.sounds`.)

Example: with DISPLAY=:77 and nobody there, "frs: The window cannot be opened: … could not connect to display :77. …", status 3. GUI thread.
"""

import sys
from typing import Any

from app.ending import LOST, end_process
from app.qt import QtCore, QtWidgets
from frs_core.runtime.foreign import visible


def make_application() -> QtWidgets.QApplication:
    """Return the application, the present one if there is one. Where Qt cannot show anything, the process ends with status 3."""
    found = QtWidgets.QApplication.instance()
    if isinstance(found, QtWidgets.QApplication):
        return found
    said: list[str] = []

    def on_message(kind: QtCore.QtMsgType, _: Any, text: str | None) -> None:
        if kind is not QtCore.QtMsgType.QtFatalMsg:
            said.append(" ".join((text or "").split()))
            return
        why = " ".join(said) or " ".join((text or "").split())
        sys.stderr.write(
            visible(
                f"frs: The window cannot be opened: {why} Check DISPLAY or WAYLAND_DISPLAY, and install what is named."
            )
            + "\n"
        )
        end_process(LOST)

    QtCore.qInstallMessageHandler(on_message)
    try:
        application = QtWidgets.QApplication(sys.argv[:1])
    finally:
        QtCore.qInstallMessageHandler(None)
    for line in said:
        sys.stderr.write(visible(line) + "\n")
    return application
