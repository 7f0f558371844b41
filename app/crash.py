"""Handle uncaught exceptions: hold, log and report. By default PyQt would abort the process.

Install before importing pyqtgraph, which installs its own hook only if there is none.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType

_log = logging.getLogger("app")


class CrashGuard:
    """Catches uncaught exceptions of every thread.

    `on_crash` is called with one sentence and the details, on the thread that raised.
    """

    def __init__(self) -> None:
        self.on_crash: Callable[[str, str], None] = lambda sentence, details: None
        self.count = 0

    def install(self) -> None:
        """Install the exception hooks of the main thread and of all others."""
        sys.excepthook = self._on_main
        threading.excepthook = lambda args: self._on_main(args.exc_type, args.exc_value, args.exc_traceback)

    def remove(self) -> None:
        """Restore the previous hooks."""
        sys.excepthook = sys.__excepthook__
        threading.excepthook = threading.__excepthook__

    def report(self, error: BaseException) -> None:
        """Report a caught exception like an uncaught one."""
        self._on_main(type(error), error, error.__traceback__)

    def _on_main(self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error or kind(), trace)
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        _log.error("uncaught exception\n%s", details)
        self.count += 1
        try:
            self.on_crash(f"An internal error occurred: {kind.__name__}: {error}.", details)
        except Exception:
            _log.exception("the crash handler failed")
