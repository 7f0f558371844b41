"""The only bridge between the session's threads and Qt.

Problem: snapshots arrive on the session's thread, perhaps faster than the screen; widgets live on the GUI thread. Idea: one slot,
newest wins; a queued signal wakes the GUI only when the last wake-up was served. Commands go the other way by `send`. A timer
sends the heartbeat, so a stalled GUI is noticed by the session's watchdog. `Job` runs one slow function and reports back.

Example: bridge.snapshot_arrived.connect(window.take); bridge.send(Resume()).
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from app.qt import QtCore, Signal
from frs_core.events import Heartbeat, SessionCommand, Snapshot

HEARTBEAT_MS = 100
MIN_INTERVAL_S = 0.025
"""Snapshots closer together than this are merged: 40 paints per second are more than any camera gives."""


class SessionPort(Protocol):
    """What the cockpit needs from a session, live or replayed."""

    def send(self, command: SessionCommand) -> bool:
        """Queue a command; returns at once, False when the queue is full."""
        ...

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with every snapshot, on the session's thread; the result ends it."""
        ...

    def close(self) -> None:
        """Hold, finish writing and stop every thread and process."""
        ...


class SessionBridge(QtCore.QObject):
    """Carries snapshots to the GUI thread and commands away from it.

    Args:
        port: the session.
    """

    snapshot_arrived = Signal(object)
    """The newest Snapshot."""
    command_lost = Signal(object)
    """A SessionCommand that the session could not take; the robot holds."""
    _woken = Signal()

    def __init__(self, port: SessionPort) -> None:
        super().__init__()
        self.port = port
        self._lock = threading.Lock()
        self._slot: Snapshot | None = None
        self._is_waking = False
        self._shown_at = 0.0
        self._woken.connect(self._on_woken, QtCore.Qt.ConnectionType.QueuedConnection)  # pyright: ignore[reportCallIssue]
        self._later = QtCore.QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._deliver)
        self._heart = QtCore.QTimer(self)
        self._heart.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._heart.timeout.connect(lambda: self.send(Heartbeat()))
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to listen and to beat."""
        self._unsubscribe = self.port.subscribe(self._on_snapshot)
        self._heart.start(HEARTBEAT_MS)

    def stop(self) -> None:
        """Stop listening; the session itself is closed by its owner."""
        self._heart.stop()
        self._later.stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def send(self, command: SessionCommand) -> None:
        """Queue a command for the session; one that it cannot take is told, never lost in silence."""
        if not self.port.send(command) and not isinstance(command, Heartbeat):
            self.command_lost.emit(command)

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        """Runs on the session's thread."""
        with self._lock:
            self._slot = snapshot
            if self._is_waking:
                return
            self._is_waking = True
        self._woken.emit()

    def _on_woken(self) -> None:
        wait = MIN_INTERVAL_S - (time.monotonic() - self._shown_at)
        if wait > 0:
            self._later.start(int(wait * 1000) + 1)
        else:
            self._deliver()

    def _deliver(self) -> None:
        with self._lock:
            snapshot, self._slot, self._is_waking = self._slot, None, False
        self._shown_at = time.monotonic()
        if snapshot is not None:
            self.snapshot_arrived.emit(snapshot)


class Job(QtCore.QObject):
    """Runs a slow function on its own thread and reports on the GUI thread.

    Args:
        work: called with a progress callback taking one object.
    """

    progressed = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    """The exception."""

    def __init__(self, work: Callable[[Callable[[object], None]], Any], parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self._thread = threading.Thread(target=self._run, name="app-job", daemon=True)

    def start(self) -> "Job":
        """Begin; returns itself."""
        self._thread.start()
        return self

    @property
    def is_running(self) -> bool:
        """Whether the function has not returned yet."""
        return self._thread.is_alive()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; False when it takes longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            result = self._work(self.progressed.emit)
        except Exception as error:  # Handed to the GUI thread, which shows it.
            self._tell(self.failed, error)
        else:
            self._tell(self.finished, result)

    def _tell(self, signal: Any, payload: object) -> None:
        try:
            signal.emit(payload)
        except RuntimeError:
            # The receiver was deleted with its window while the work ran; nobody is left to tell.
            return
