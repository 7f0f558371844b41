"""The only bridge between the session's threads and Qt.

Problem: snapshots arrive on the session's thread, perhaps faster than the screen; widgets live on the GUI thread. Idea: one slot,
newest wins; a queued signal wakes the GUI only when the last wake-up was served. Images may wait for a moment, a fan, a phase
or a pick never does. Commands go the other way by `send`, which dates acts by the press behind them. A timer sends the heartbeat, so a stalled GUI is noticed by the
session's watchdog. `Job` runs one slow function and reports back, a `Relay` sees to it that no report reaches a page that is closed,
and `later` that no timer does.

Example: bridge.snapshot_arrived.connect(window.take); bridge.send(Resume()).
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from app.press_times import PressTimes
from app.qt import QtCore, Signal, Slot
from frs_core.events import Act, Heartbeat, SessionCommand, Snapshot

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

    def latest(self) -> Snapshot | None:
        """Return the newest snapshot, from any thread."""
        ...

    def close(self) -> None:
        """Hold, finish writing and stop every thread and process."""
        ...


def later(owner: QtCore.QObject, ms: int, act: Callable[[], None]) -> None:
    """Call once after a while, unless the owner is gone by then: the timer is the owner's own and ends with it."""
    timer = QtCore.QTimer(owner)
    timer.setSingleShot(True)
    timer.timeout.connect(act)
    timer.timeout.connect(timer.deleteLater)
    timer.start(ms)


class Relay(QtCore.QObject):
    """Brings what a worker's thread has to say to the GUI thread, and drops it once nobody is left to hear it.

    A signal emitted on another thread waits in Qt's queue, and would reach a page that was closed or deleted meanwhile. Here it
    waits as an event of the relay itself: it dies with the relay, and after `hush` it is dropped.
    """

    _told = Signal(str, object)

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._is_hushed = False
        self._told.connect(self._on_told, QtCore.Qt.ConnectionType.QueuedConnection)  # pyright: ignore[reportCallIssue]

    def tell(self, name: str, *payload: object) -> None:
        """Have one of the relay's own signals emitted on the GUI thread; any thread."""
        try:
            self._told.emit(name, payload)
        except RuntimeError:
            # The relay was deleted with its page while the work ran; nobody is left to tell.
            return

    def hush(self) -> None:
        """Emit nothing from here on, not even what waits already."""
        self._is_hushed = True

    # Only a real slot makes Qt drop what is queued for a relay that is deleted.
    @Slot(str, object)
    def _on_told(self, name: str, payload: tuple[object, ...]) -> None:
        if not self._is_hushed:
            getattr(self, name).emit(*payload)


class SessionBridge(Relay):
    """Carries snapshots to the GUI thread and commands away from it.

    The window adopts it: one that is destroyed beats no more, and its session holds.

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
        self.presses = PressTimes(self)
        self._lock = threading.Lock()
        self._slot: Snapshot | None = None
        self._known: Snapshot | None = None
        self._is_waking = self._is_urgent = False
        self._shown_at = 0.0
        self._woken.connect(self._on_woken)
        self._later = QtCore.QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._deliver)
        self._heart = QtCore.QTimer(self)
        self._heart.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._heart.timeout.connect(self._beat)
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to listen and to beat; what happened before is shown too, for it may be the last thing for long."""
        self._unsubscribe = self.port.subscribe(self._on_snapshot)
        former = self.port.latest()
        with self._lock:
            # A newer one may have come since.
            is_wanted = former is not None and self._slot is None and not self._is_waking
            if is_wanted:
                self._slot, self._is_waking = former, True
        if is_wanted:
            self.tell("_woken")
        self._heart.start(HEARTBEAT_MS)
        self.presses.start()

    def stop(self) -> None:
        """Stop listening; the session itself is closed by its owner."""
        self._heart.stop()
        self._later.stop()
        self.presses.stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def send(self, command: SessionCommand) -> None:
        """Queue a command for the session; one that it cannot take is told, never lost in silence.

        An act is as old as the press that is being handled.
        """
        if isinstance(command, Act):
            command = self.presses.dated(command)
        if not self.port.send(command) and not isinstance(command, Heartbeat):
            self.command_lost.emit(command)

    def _beat(self) -> None:
        self.send(Heartbeat())

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        """Runs on the session's thread."""
        with self._lock:
            is_urgent = self._known is None or _differs(snapshot, self._known)
            self._slot, self._known = snapshot, snapshot
            self._is_urgent |= is_urgent
            if self._is_waking and not is_urgent:
                return
            self._is_waking = True
        self.tell("_woken")

    def _on_woken(self) -> None:
        wait = MIN_INTERVAL_S - (time.monotonic() - self._shown_at)
        if wait > 0 and not self._is_urgent:
            self._later.start(int(wait * 1000) + 1)
        else:
            self._deliver()

    def _deliver(self) -> None:
        with self._lock:
            snapshot, self._slot, self._is_waking, self._is_urgent = self._slot, None, False, False
        if snapshot is None:
            return
        self._shown_at = time.monotonic()
        if self._unsubscribe is not None:
            self.snapshot_arrived.emit(snapshot)


def _differs(snapshot: Snapshot, former: Snapshot) -> bool:
    """Whether there is more to show than time that went by and another image."""
    return (
        snapshot.phase is not former.phase
        or snapshot.fan is not former.fan
        or snapshot.is_fan_stale != former.is_fan_stale
        or snapshot.picked != former.picked
    )


class Job(Relay):
    """Runs a slow function on its own thread and reports on the GUI thread; deletes itself after its report.

    Args:
        work: called with a progress callback taking one object.
        parent: the page that hears it; nothing reaches a deleted one.
    """

    progressed = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    """The exception."""

    def __init__(self, work: Callable[[Callable[[object], None]], Any], parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self._thread = threading.Thread(target=self._run, name="app-job", daemon=True)
        self._is_over = False
        self.finished.connect(self._on_over)
        self.failed.connect(self._on_over)

    def start(self) -> "Job":
        """Begin; returns itself."""
        self._thread.start()
        return self

    @property
    def is_running(self) -> bool:
        """Whether its end has not been reported yet."""
        return not self._is_over

    def close(self, timeout_s: float) -> bool:
        """Report nothing any more and wait for the end; False when that takes longer."""
        self.hush()
        self._is_over = True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @Slot()
    def _on_over(self) -> None:
        self._is_over = True
        self.deleteLater()

    def _run(self) -> None:
        try:
            result = self._work(lambda report: self.tell("progressed", report))
        except Exception as error:  # Handed to the GUI thread, which shows it.
            self.tell("failed", error)
        else:
            self.tell("finished", result)
