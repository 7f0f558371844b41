"""Sheds what the window draws before it stutters, and takes it back when the machine has time again.

Problem: on a slow or busy machine a paint takes so long that the image and the mark on the curve jump. Idea: the window measures the time
between its own paints while the robot moves. When most of the last ones were late it gives something up, the least missed first: smaller
display pictures, then caps on the small cameras and a slower 3D view, then display pictures altogether. After a while without late paints it
takes one thing back; if that was too early, it waits longer the next time. GUI thread.

Example: paints every 60 ms for half a second -> level 1, pictures of 0.6 of the size; again -> level 2. 60 paints in 33 ms each -> level 1.
"""

from collections import deque
from dataclasses import dataclass

from app.qt import QtCore, Signal

LATE_S = 0.04
"""An interval between paints that counts as late; the bar of docs/results.md."""
LOOK_AT = 12
"""Paints that are judged together; about 0.4 s."""
LATE_SHARE = 0.5
"""Share of them that were late when something is given up."""
GOOD = 60
"""Paints in a row, none of two neighbours late, after which something is taken back; 2 s of motion."""
MOST_PATIENT = 8
"""Largest multiple of `GOOD` after several attempts that were too early."""
PAUSE_S = 0.5
"""A longer interval is no late paint: nothing moved, or the window was not shown."""


@dataclass(frozen=True, slots=True)
class Shed:
    """What is drawn at one level."""

    display_share: float
    """Side of display pictures, as a share of the size they are shown."""
    is_sparse: bool
    """Whether small cameras show curves without caps."""
    side_s: float
    """Least time between updates of the 3D view and the verdicts, seconds."""


LEVELS = (
    Shed(1.0, is_sparse=False, side_s=0.1),
    Shed(0.6, is_sparse=False, side_s=0.2),
    Shed(0.4, is_sparse=True, side_s=0.4),
    Shed(0.0, is_sparse=True, side_s=1.0),
)


class Load(QtCore.QObject):
    """Judges the window's paints.

    Args:
        parent: owns it.
    """

    changed = Signal(object)
    """The `Shed` of another level."""

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self.level = 0
        self._painted_at = 0.0
        self._intervals: deque[float] = deque(maxlen=LOOK_AT)
        self._good, self._patience, self._since = 0, 1, 0
        self._has_taken_back = False
        """Whether the last change took something back."""

    @property
    def shed(self) -> Shed:
        """What is drawn now."""
        return LEVELS[self.level]

    def painted(self, now_s: float) -> None:
        """Note that the cameras were painted while the robot moves.

        Args:
            now_s: `time.monotonic()` after the paint.
        """
        interval, self._painted_at = now_s - self._painted_at, now_s
        if interval > PAUSE_S:
            self._intervals.clear()
            return
        is_second = bool(self._intervals) and self._intervals[-1] > LATE_S and interval > LATE_S
        self._intervals.append(interval)
        self._since += 1
        self._good = 0 if is_second else self._good + 1
        late = sum(i > LATE_S for i in self._intervals)
        if len(self._intervals) == LOOK_AT and late >= LATE_SHARE * LOOK_AT:
            self._step(+1)
        elif self._good >= GOOD * self._patience:
            self._step(-1)

    def _step(self, by: int) -> None:
        """Go to another level, if there is one, and judge afresh."""
        level = min(max(self.level + by, 0), len(LEVELS) - 1)
        if by > 0 and self._has_taken_back and self._since < 2 * GOOD:
            self._patience = min(2 * self._patience, MOST_PATIENT)
        elif level == self.level == 0:
            self._patience = 1
        self._intervals.clear()
        self._good = self._since = 0
        if level != self.level:
            self.level, self._has_taken_back = level, by < 0
            self.changed.emit(self.shed)
