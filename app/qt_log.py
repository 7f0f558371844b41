"""Log what Qt itself reports, such as a painter that cannot paint: it goes to standard error otherwise, where nobody looks.

GUI thread, but Qt may report from any.
"""

import logging

from app.qt import QtCore

_log = logging.getLogger("app.qt")
_QUIET = ("qt.multimedia", "PulseAudio", "QSoundEffect")
"""What begins so is for the log alone: a machine without audio is no fault."""
_LEVELS = {
    QtCore.QtMsgType.QtDebugMsg: logging.DEBUG,
    QtCore.QtMsgType.QtInfoMsg: logging.INFO,
    QtCore.QtMsgType.QtWarningMsg: logging.WARNING,
    QtCore.QtMsgType.QtCriticalMsg: logging.ERROR,
    QtCore.QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def keep_messages() -> None:
    """Log Qt's messages, as warnings and errors of the program are logged."""
    _log.setLevel(logging.INFO)
    QtCore.qInstallMessageHandler(_on_message)


def leave_messages() -> None:
    """Let Qt print its messages again; before the interpreter ends."""
    QtCore.qInstallMessageHandler(None)


def _on_message(kind: QtCore.QtMsgType, context: QtCore.QMessageLogContext, text: str | None) -> None:
    category = context.category or "default"
    is_quiet = category.startswith(_QUIET) or (text or "").startswith(_QUIET)
    _log.log(logging.INFO if is_quiet else _LEVELS[kind], "%s: %s", category, text)
