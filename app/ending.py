"""How the cockpit ends: every way out holds the robot, leaves the open episode to be recovered, and has its own exit status.

Problem: an operator closes the window, but a process is also ended by a signal, by its terminal, by a program that destroys the
window, or by a display that goes away, upon which Qt calls C's `exit` in the middle of things. Idea: one `Ending` takes the first
cause, holds at once on whatever thread hears of it, and asks the window to close. Signals are heard by a thread of their own, so
a window that is stuck is ended all the same; C's `exit` is heard by a handler that runs before the libraries take themselves down.

Example: SIGTERM -> hold, window closed, session closed, exit status 143. The display dies -> hold, session closed, status 3.
Without Qt, so that the session can start before it is loaded; `app.window_watch` is the window's side. Any thread.
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
"""Exit status when the window was destroyed or its display went away."""
BY_SIGNAL = 128
"""Plus the signal's number, as shells have it."""
PATIENCE_S = 20.0
"""Longest time for the window to close after a signal; its threads are given 5 to 10 s. After it the process ends without."""
END_S = 45.0
"""Longest time for everything after the window: session, world and workers are given 25 s at most. After it the process ends whatever
hangs, and says what every thread was at."""
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_log = logging.getLogger("app")


class Ending:
    """Ends one run of the cockpit in good order; made on the main thread before there is a session."""

    def __init__(self) -> None:
        self.status = 0
        """Exit status so far; 0 = the operator closed the window."""
        self.reason = ""
        """The first cause, a sentence without its full stop; empty = none yet, or the operator."""
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._session: Any = None
        self._is_over = False
        self._ask: Callable[[], None] | None = None
        self._has_left = threading.Event()
        self._former: dict[int, Any] = {}
        self._ears: tuple[socket.socket, socket.socket] | None = None
        self._disarm: Callable[[], None] = lambda: None

    # --- beginning ------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Hear signals from here on. One that the parent process had ignored (nohup) stays ignored."""
        _start_tracker()
        ours, theirs = self._ears = socket.socketpair()
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, _ignore)
        self._thread = threading.Thread(target=self._hear, args=(ours,), name="app-signals", daemon=True)
        self._thread.start()

    def keep(self, session: Any) -> None:
        """Take the session that is to be held and closed."""
        self._session = session

    def watch(self, ask: Callable[[], None]) -> None:
        """From here on there is a window.

        Args:
            ask: asks it to close, from any thread.
        """
        self._ask = ask
        self.arm()

    def arm(self) -> None:
        """Hear C's `exit` before every library loaded so far; call again once a large one has come."""
        self._disarm()
        self._disarm = _at_c_exit(self._on_c_exit)

    # --- the end --------------------------------------------------------------------------------------

    def begin(self, reason: str, status: int) -> None:
        """Hold the robot and have the window closed; any thread. Only the first cause counts.

        Args:
            reason: a sentence without its full stop.
            status: exit status.
        """
        if self._note(reason, status) and self._ask is not None:
            self._ask()

    def left(self) -> None:
        """The window is closed: nothing that happens to it is a cause from here on."""
        with self._lock:
            self._is_over = True
        self._has_left.set()
        self._disarm()
        self._disarm = lambda: None

    def finish(self) -> None:
        """Close the session, then give the signals back; safe to call twice."""
        self.left()
        with self._insisting():
            self._close_session()
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former = {}
        if self._ears is not None:
            signal.set_wakeup_fd(-1)
            ours, theirs = self._ears
            # The thread that reads finds the end of what it reads.
            theirs.close()
            self._thread.join(PATIENCE_S)
            ours.close()
            self._ears = None

    def leave(self, status: int) -> NoReturn:
        """End the process, with everything closed: the interpreter's own end would take seconds to pull apart a toolkit, a tensor
        library and whatever thread hangs in them, and each has crashed there."""
        hanging = [t.name for t in threading.enumerate() if t.name.startswith(("frs-", "app-"))]
        if hanging:
            _log.warning("Still busy at the end and left behind: %s.", ", ".join(hanging))
        with self._insisting():
            _end_process(status)

    def _note(self, reason: str, status: int) -> bool:
        with self._lock:
            if self.reason or self._is_over:
                return False
            self.reason, self.status = reason, status
        _log.warning(
            "%s: the robot holds, an open episode stays on disk, and the cockpit ends with %d.", reason, status
        )
        if self._session is not None:
            self._session.send(RequestHold(HoldReason.OPERATOR, reason))
        return True

    def _hear(self, ear: socket.socket) -> None:
        """Runs on its own thread until the ears are closed."""
        while heard := ear.recv(1):
            number = signal.Signals(heard[0])
            self.begin(f"{number.name} was received", BY_SIGNAL + number)
            if self._ask is None and not self._is_over:
                self._end_now()
            if not self._has_left.wait(PATIENCE_S):
                _log.error("The window did not close within %g s; the cockpit ends without it.", PATIENCE_S)
                self._end_now()

    def _on_c_exit(self) -> None:
        self._note("The connection to the display broke", LOST)
        self._end_now()

    def _end_now(self) -> None:
        with self._insisting():
            try:
                self._close_session()
            finally:
                _end_process(self.status)

    @contextlib.contextmanager
    def _insisting(self) -> Generator[None, None, None]:
        """End the process if what is done inside takes longer than `END_S`."""

        def end() -> None:
            os.write(2, f"The cockpit did not end within {END_S:g} s; its threads were at:\n".encode())
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
    """The thread that reads the wake-up socket has heard it; Python only wants a handler."""


def _start_tracker() -> None:
    """Start Python's keeper of shared memory deaf to SIGHUP, as it is to SIGINT and SIGTERM: a terminal that closes tells the
    whole group, and what frees the memory of a killed cockpit must not go first."""
    if not hasattr(signal, "SIGHUP"):
        return
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, former)


def _at_c_exit(call: Callable[[], None]) -> Callable[[], None]:
    """Have the C library call a function first when something calls its `exit`; return what takes that back.

    The interpreter's own end goes through `exit` as well and must not find the function there.
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
        # Calls what is registered for this owner and forgets it.
        take_back(ctypes.byref(owner))
        kept.clear()

    kept = [thunk, owner]
    return undo


def _end_process(status: int) -> NoReturn:
    """End at once, children too; a world's process ends by itself, with a hold, when its session is gone."""
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
        # A terminal that is gone takes its output with it.
        _log.debug("Output is lost: %s", error)
