"""End the cockpit: every cause holds the robot, keeps the open episode recoverable, and has its own exit status.

Problem: the process ends not only when the operator closes the window, but also by a signal, by its terminal, by a program that
destroys the window, or by the loss of the display, after which Qt calls C's `exit` at any point. Idea: one `Ending` takes the
first cause, holds at once on the thread that detects it, and asks the window to close. A separate thread handles signals, so that
a blocked window can be ended too; C's `exit` is caught by a handler that runs before the libraries are torn down.

Example: SIGTERM -> hold, window closed, session closed, exit status 143. The display is lost -> hold, session closed, status 3.
Does not import Qt, so that the session can start before Qt is loaded; `app.window_watch` is the window's part. Any thread.
"""

import contextlib
import ctypes
import faulthandler
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, NoReturn

from frs_core.events import HoldReason, RequestHold

LOST = 3
"""Exit status when the window was destroyed or the display was lost."""
BY_SIGNAL = 128
"""Added to the signal's number, as shells do."""
PATIENCE_S = 20.0
"""Longest time for the window to close after a signal (its threads take 5 to 10 s); then the process ends without it."""
END_S = 45.0
"""Longest time for closing everything else (session, world and workers take 25 s at most); then the process ends anyway and prints
the stack of every thread."""
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_log = logging.getLogger("app")


class Ending:
    """Ends one run of the cockpit; created on the main thread before the session."""

    def __init__(self) -> None:
        self.status = 0
        """Exit status so far; 0 = the operator closed the window."""
        self.reason = ""
        """The first cause, a sentence without full stop; empty = none yet, or the operator closed the window."""
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._session: Any = None
        self._is_over = False
        self._ask: Callable[[], None] | None = None
        self._has_left = threading.Event()
        self._former: dict[int, Any] = {}
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._disarm: Callable[[], None] = lambda: None

    # --- beginning ------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Start handling signals. A signal that the parent process ignored (nohup) stays ignored."""
        _start_tracker()
        ours, theirs = self._sockets = socket.socketpair()
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, _ignore)
        self._thread = threading.Thread(target=self._handle_signals, args=(ours,), name="app-signals", daemon=True)
        self._thread.start()

    def keep(self, session: Any) -> None:
        """Set the session to hold and close."""
        self._session = session

    def watch(self, ask: Callable[[], None]) -> None:
        """Set how to close the window.

        Args:
            ask: asks the window to close; callable from any thread.
        """
        self._ask = ask
        self.arm()

    def arm(self) -> None:
        """Catch C's `exit` before the handlers of all libraries loaded so far; call again after loading a large one."""
        self._disarm()
        self._disarm = _at_c_exit(self._on_c_exit)

    # --- the end --------------------------------------------------------------------------------------

    def begin(self, reason: str, status: int) -> None:
        """Hold the robot and ask the window to close; any thread. Only the first cause counts.

        Args:
            reason: a sentence without full stop.
            status: exit status.
        """
        if self._note(reason, status) and self._ask is not None:
            self._ask()

    def left(self) -> None:
        """Note that the window has closed: ignore what happens to it afterwards."""
        with self._lock:
            self._is_over = True
        self._has_left.set()
        self._disarm()
        self._disarm = lambda: None

    def finish(self) -> None:
        """Close the session, then restore the signal handlers; safe to call twice."""
        self.left()
        with self._insisting():
            self._close_session()
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former = {}
        if self._sockets is not None:
            signal.set_wakeup_fd(-1)
            ours, theirs = self._sockets
            # Ends the reading thread.
            theirs.close()
            self._thread.join(PATIENCE_S)
            ours.close()
            self._sockets = None

    def leave(self, status: int) -> NoReturn:
        """End the process once everything is closed, without the interpreter's own shutdown: it takes seconds to unload Qt and the
        tensor library, and has crashed in both."""
        hanging = [t.name for t in threading.enumerate() if t.name.startswith(("frs-", "app-"))]
        if hanging:
            _log.warning("Threads still running at the end: %s.", ", ".join(hanging))
        with self._insisting():
            end_process(status)

    def _note(self, reason: str, status: int) -> bool:
        with self._lock:
            if self.reason or self._is_over:
                return False
            self.reason, self.status = reason, status
        _log.warning(
            "%s: the robot holds, an open episode stays on disk, and the cockpit exits with %d.", reason, status
        )
        if self._session is not None:
            self._session.send(RequestHold(HoldReason.CLOSING, reason))
        return True

    def _handle_signals(self, source: socket.socket) -> None:
        """Runs on its own thread until the sockets are closed."""
        while received := source.recv(1):
            number = signal.Signals(received[0])
            self.begin(f"{number.name} was received", BY_SIGNAL + number)
            if self._ask is None and not self._is_over:
                self._end_now()
            if not self._has_left.wait(PATIENCE_S):
                _log.error("The window did not close within %g s; the cockpit exits without it.", PATIENCE_S)
                self._end_now()

    def _on_c_exit(self) -> None:
        self._note("The connection to the display broke", LOST)
        self._end_now()

    def _end_now(self) -> None:
        with self._insisting():
            try:
                self._close_session()
            finally:
                end_process(self.status)

    @contextlib.contextmanager
    def _insisting(self) -> Generator[None, None, None]:
        """End the process if the body takes longer than `END_S`."""

        def end() -> None:
            os.write(2, f"The cockpit did not end within {END_S:g} s. Stacks of its threads:\n".encode())
            faulthandler.dump_traceback(file=2, all_threads=True)
            os._exit(self.status or 1)

        timer = threading.Timer(END_S, end)
        timer.name, timer.daemon = "frs-insist", True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _close_session(self) -> None:
        with self._closing:
            session, self._session = self._session, None
            if session is not None:
                session.close()


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the thread that reads the wake-up socket handles the signal, but Python needs a handler."""


def _start_tracker() -> None:
    """Start Python's resource tracker with SIGHUP ignored, as it ignores SIGINT and SIGTERM: a closing terminal signals the whole
    process group, and the tracker must live longer than the cockpit to free its shared memory."""
    if not hasattr(signal, "SIGHUP"):
        return
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, former)


def _at_c_exit(call: Callable[[], None]) -> Callable[[], None]:
    """Register a function that C's `exit` calls first; return a function that unregisters it.

    The interpreter's own shutdown calls `exit` as well, so it must be unregistered before.
    """
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None)
    owner = ctypes.create_string_buffer(1)
    is_wanted = True

    def on_exit(_argument: object) -> None:
        if is_wanted:
            call()

    thunk = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(on_exit)
    register, take_back = getattr(libc, "__cxa_atexit"), getattr(libc, "__cxa_finalize")
    register(thunk, None, ctypes.byref(owner))

    def undo() -> None:
        nonlocal is_wanted
        is_wanted = False
        # Calls and unregisters the functions of this owner.
        take_back(ctypes.byref(owner))
        kept.clear()

    kept = [thunk, owner]
    return undo


def end_process(status: int) -> NoReturn:
    """End the process and its children at once; a world's process holds and ends by itself when its session is gone."""
    for child in multiprocessing.active_children():
        if not child.name.startswith("frs-world-"):
            child.terminate()
            child.join(1.0)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    os._exit(status)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except (OSError, ValueError, AttributeError) as error:
        # The terminal has been closed.
        _log.debug("Output is lost: %s", error)
