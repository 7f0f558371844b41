"""What happens when our own code raises: hold, log, tell. PyQt would abort the process instead.

Install before pyqtgraph is imported, which installs a hook of its own only where it finds none.
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
        """Take over the hooks of the main thread and of all others."""
        sys.excepthook = self._on_main
        threading.excepthook = lambda args: self._on_main(args.exc_type, args.exc_value, args.exc_traceback)

    def remove(self) -> None:
        """Give the hooks back."""
        sys.excepthook = sys.__excepthook__
        threading.excepthook = threading.__excepthook__

    def report(self, error: BaseException) -> None:
        """Treat an exception that was caught like one that was not."""
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
