"""The only bridge between the session's threads and Qt.

Problem: snapshots arrive on the session's thread, possibly faster than the screen refreshes; widgets belong to the GUI thread.
Idea: keep only the newest snapshot; a queued signal wakes the GUI, at most one at a time. New images may be delayed briefly; a new
fan, phase or pick is never delayed. `send` passes commands to the session and dates acts by the press that caused them. A timer
sends the heartbeat, so that the session's watchdog notices a blocked GUI. `Job` runs one slow function and reports back; `Relay`
and `later` ensure that no report or timer reaches a closed page.

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
"""Snapshots closer together than this are merged: 40 paints per second exceed every camera's frame rate."""


class SessionPort(Protocol):
    """What the cockpit needs from a session, live or replayed."""

    def send(self, command: SessionCommand) -> bool:
        """Queue a command without waiting; return False if the queue is full."""
        ...

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with every snapshot, on the session's thread; the returned function unsubscribes."""
        ...

    def latest(self) -> Snapshot | None:
        """Return the newest snapshot, from any thread."""
        ...

    def close(self) -> None:
        """Hold, finish writing and stop every thread and process."""
        ...


def later(owner: QtCore.QObject, ms: int, act: Callable[[], None]) -> None:
    """Call a function once after a delay, unless the owner has been deleted: the timer belongs to the owner."""
    timer = QtCore.QTimer(owner)
    timer.setSingleShot(True)
    timer.timeout.connect(act)
    timer.timeout.connect(timer.deleteLater)
    timer.start(ms)


class Relay(QtCore.QObject):
    """Emits signals of worker threads on the GUI thread, and drops them after `hush` or when it is deleted.

    A signal emitted on another thread waits in Qt's queue and could reach a page that has been closed meanwhile. The relay
    queues it as an event of its own, which Qt deletes together with the relay.
    """

    _told = Signal(str, object)

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._is_hushed = False
        self._told.connect(self._on_told, QtCore.Qt.ConnectionType.QueuedConnection)  # pyright: ignore[reportCallIssue]

    def tell(self, name: str, *payload: object) -> None:
        """Emit one of the relay's own signals on the GUI thread; callable from any thread."""
        try:
            self._told.emit(name, payload)
        except RuntimeError:
            # The relay was deleted with its page while the work ran.
            return

    def hush(self) -> None:
        """Emit nothing from now on, not even queued signals."""
        self._is_hushed = True

    # Qt drops queued calls to a deleted relay only if this is a real slot.
    @Slot(str, object)
    def _on_told(self, name: str, payload: tuple[object, ...]) -> None:
        if not self._is_hushed:
            getattr(self, name).emit(*payload)


class SessionBridge(Relay):
    """Carries snapshots to the GUI thread and commands away from it.

    The window owns it: when the window is destroyed the heartbeat stops, and the session holds.

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
        """Subscribe and start the heartbeat; the latest snapshot is delivered too, because the next one may come much later."""
        self._unsubscribe = self.port.subscribe(self._on_snapshot)
        former = self.port.latest()
        with self._lock:
            # A newer one may have arrived meanwhile.
            is_wanted = former is not None and self._slot is None and not self._is_waking
            if is_wanted:
                self._slot, self._is_waking = former, True
        if is_wanted:
            self.tell("_woken")
        self._heart.start(HEARTBEAT_MS)
        self.presses.start()

    def stop(self) -> None:
        """Unsubscribe; the session itself is closed by its owner."""
        self._heart.stop()
        self._later.stop()
        self.presses.stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def send(self, command: SessionCommand) -> None:
        """Queue a command for the session; emits `command_lost` if the queue is full.

        An act gets the time of the press that is being handled.
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
    """Whether more than the time and the images has changed."""
    return (
        snapshot.phase is not former.phase
        or snapshot.fan is not former.fan
        or snapshot.is_fan_stale != former.is_fan_stale
        or snapshot.picked != former.picked
    )


class Job(Relay):
    """Runs a slow function on its own thread and reports on the GUI thread; then deletes itself.

    Args:
        work: called with a progress callback taking one object.
        parent: the page that receives the reports.
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
        """Start the thread; returns itself."""
        self._thread.start()
        return self

    @property
    def is_running(self) -> bool:
        """Whether it has not finished yet."""
        return not self._is_over

    def close(self, timeout_s: float) -> bool:
        """Stop reporting and wait for the end; return False if that takes longer than the timeout."""
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
        except Exception as error:  # Reported on the GUI thread.
            self.tell("failed", error)
        else:
            self.tell("finished", result)


class Rereader(QtCore.QObject):
    """Reads a list off the GUI thread; asked again during a read, it reads once more afterwards, and only that result counts.

    Args:
        parent: the view that shows the list.
    """

    done = Signal(object)
    """What was read."""
    failed = Signal(str)

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self._next: Callable[[], Any] | None = None

    def read(self, work: Callable[[], Any]) -> None:
        """Have something read, at once or after the read that is under way."""
        if self._job is not None and self._job.is_running:
            self._next = work
            return
        self._next = None
        self._job = Job(lambda _report: work(), self)
        self._job.finished.connect(self._on_read)
        self._job.failed.connect(self._on_failed)
        self._job.start()

    def _on_read(self, result: object) -> None:
        if not self._goes_on():
            self.done.emit(result)

    def _on_failed(self, error: object) -> None:
        self.failed.emit(str(error))
        self._goes_on()

    def _goes_on(self) -> bool:
        """Read once more where that was asked for meanwhile; tell whether it was."""
        if self._next is None:
            return False
        self.read(self._next)
        return True
