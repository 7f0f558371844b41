"""What is painted between two snapshots: the mark on the picked curve while the robot moves, and ages while no snapshot arrives. GUI thread."""

import time
from collections.abc import Callable

from app.qt import Qt, QtCore, QtWidgets
from frs_core.events import Phase, Snapshot

AGE_MS = 250
"""Interval at which image ages are updated while no snapshot arrives."""
PULSE_MS = 30
"""Delay between paints while the robot moves: ages and the mark on the picked curve advance between snapshots. Together with the
time of a paint this gives 30 frames per second."""


class Repaints(QtCore.QObject):
    """Two timers: one follows each paint while the robot moves, the other looks for snapshots that do not arrive.

    Args:
        window: nothing follows a paint while it is hidden.
        seen: returns the newest snapshot.
        painted: called with the time of each paint while the robot moves, monotonic seconds.
        show_time: updates what changes with time alone; returns whether it is shown.
        show_again: shows a snapshot again, with its present ages.
    """

    def __init__(
        self,
        window: QtWidgets.QWidget,
        *,
        seen: Callable[[], Snapshot | None],
        painted: Callable[[float], object],
        show_time: Callable[[Snapshot], bool],
        show_again: Callable[[Snapshot], object],
    ) -> None:
        super().__init__(window)
        self._window, self._seen, self._painted = window, seen, painted
        self._show_time, self._show_again = show_time, show_again
        self._taken_at = 0.0
        self.ager = QtCore.QTimer(self)
        self.ager.timeout.connect(self._on_age)
        self.pulse = QtCore.QTimer(self)
        self.pulse.setTimerType(Qt.TimerType.PreciseTimer)
        self.pulse.timeout.connect(self._on_pulse)

    def start(self) -> None:
        """Begin to look for snapshots that do not arrive."""
        self.ager.start(AGE_MS)

    def stop(self) -> None:
        """Paint nothing more."""
        self.pulse.stop()
        self.ager.stop()

    def note_taken(self) -> None:
        """A snapshot has arrived."""
        self._taken_at = time.monotonic()

    def on_cameras_painted(self) -> None:
        """Schedule the next paint while the robot moves."""
        snapshot = self._seen()
        is_moving = snapshot is not None and snapshot.phase is Phase.MOVING and self._window.isVisible()
        if is_moving:
            self._painted(time.monotonic())
        self.pulse.start(PULSE_MS) if is_moving else self.pulse.stop()

    def _on_pulse(self) -> None:
        snapshot = self._seen()
        if snapshot is None or not self._show_time(snapshot):
            self.pulse.stop()

    def _on_age(self) -> None:
        snapshot = self._seen()
        if snapshot is not None and time.monotonic() - self._taken_at > AGE_MS / 1000:
            self._show_again(snapshot)
