"""Count down before a real robot goes on by itself: continuous pacing, a learned, scripted or model driver.

Problem: one click on *Continuous* while an episode runs moves the arm at once. Idea: on a robot the click begins a countdown that is
shown and can be stopped; what it does is sent only when it has run out, so a hold in between leaves nothing behind. GUI thread.
"""

from collections.abc import Callable

from app.qt import QtCore
from app.views.countdown_strip import CountdownStrip
from frs_core.events import Phase, Snapshot

SWITCH_S = 3
"""Seconds from the click to the switch. Guess; long enough to press Space."""


class Countdown(QtCore.QObject):
    """One countdown at a time.

    Args:
        parent: the window.
        strip: shows it.
    """

    def __init__(self, parent: QtCore.QObject, *, strip: CountdownStrip) -> None:
        super().__init__(parent)
        self._strip = strip
        self._do: Callable[[], None] = lambda: None
        self._what = ""
        self._began: tuple[int, int] = (0, 0)
        """Holds so far and number of the episode when it began."""
        self.seconds_left = 0
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(1000)
        self._timer.timeout.connect(self.on_second)

    def begin(self, what: str, do: Callable[[], None], snapshot: Snapshot) -> None:
        """Begin to count, in place of what was counted before.

        Args:
            what: what will happen, as the beginning of a sentence.
            do: does it.
            snapshot: of now; a later hold or another episode stops the countdown.
        """
        self._what, self._do, self.seconds_left = what, do, SWITCH_S
        self._began = _moment(snapshot)
        self._strip.show_countdown(what, SWITCH_S)
        self._timer.start()

    def stop(self) -> None:
        """Do nothing of it."""
        self.seconds_left = 0
        self._timer.stop()
        self._strip.show_countdown("", 0)

    def follow(self, snapshot: Snapshot) -> None:
        """Stop where the episode does not run on as it did."""
        if self.seconds_left and (not is_running(snapshot) or _moment(snapshot) != self._began):
            self.stop()

    def on_second(self) -> None:
        """Count one second; do it when none is left."""
        self.seconds_left -= 1
        if self.seconds_left > 0:
            self._strip.show_countdown(self._what, self.seconds_left)
            return
        do = self._do
        self.stop()
        do()


def is_running(snapshot: Snapshot) -> bool:
    """Whether a switch would move the arm without another act."""
    return snapshot.phase in (Phase.CHOOSE, Phase.MOVING)


def _moment(snapshot: Snapshot) -> tuple[int, int]:
    return snapshot.counters.get("holds", 0), snapshot.episode.number
