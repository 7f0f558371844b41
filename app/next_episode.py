"""One key from a success to the next episode: saved, scene reset, started.

    Y -> the label is sent -> the session says that it is on disk -> the next episode is started like with N

A hold in between cancels the start; the session knows whether one came after the press (`EndedEpisode.was_held`), since snapshots
may show an earlier one late. With `auto_next`, in simulation only, a success that the world reports counts down for two
seconds and then does the same; a pick, Back, a label or a hold stays in the episode. On a real robot the start asks as ever.
GUI thread.
"""

from collections.abc import Callable

from app.qt import QtCore
from app.settings import Settings
from app.views.episode_bar import is_episode_open
from app.views.progress_strip import ProgressStrip
from frs_core.events import HoldReason, Outcome, Phase, Snapshot

COUNT_S = 2


class NextEpisode(QtCore.QObject):
    """Follows the session from a success to the next start.

    Args:
        parent: the window.
        strip: shows the countdown.
        settings: `auto_next` is read.
        start: starts an episode, or asks before it does.
        succeed: labels the open episode a success.
        may_count: whether successes may be saved by themselves here.
    """

    def __init__(
        self,
        parent: QtCore.QObject,
        *,
        strip: ProgressStrip,
        settings: Settings,
        start: Callable[[], None],
        succeed: Callable[[], None],
        may_count: Callable[[], bool],
    ) -> None:
        super().__init__(parent)
        self._strip, self._settings = strip, settings
        self._start, self._succeed, self._may_count = start, succeed, may_count
        self._awaited = 0
        """Number of the episode after whose label the next one starts; 0 = none."""
        self._counted = 0
        """Number of the episode whose success was counted down or stayed in."""
        self.seconds_left = 0
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(1000)
        self._timer.timeout.connect(self._on_second)

    def go(self, snapshot: Snapshot | None) -> None:
        """Save the open episode as a success and start the next one; without an open one, start one."""
        self.stay()
        if snapshot is not None and is_episode_open(snapshot):
            self._awaited = snapshot.episode.number
            self._succeed()
        else:
            self._start()

    def stay(self) -> None:
        """Stop the countdown and start nothing."""
        self._awaited = self.seconds_left = 0
        self._timer.stop()
        self._strip.show_countdown(0)

    def follow(self, snapshot: Snapshot) -> None:
        """Start what waits for the label, begin or stop the countdown."""
        number = snapshot.episode.number
        self._strip.show_open(is_episode_open(snapshot))
        if self._awaited and snapshot.ended is not None and snapshot.ended.status.number == self._awaited:
            is_free = snapshot.phase is Phase.HOLD and snapshot.hold_reason is HoldReason.EPISODE_END
            is_success = snapshot.ended.outcome is Outcome.SUCCESS and not snapshot.ended.was_held
            self._awaited = 0
            if is_free and is_success:
                self._start()
            return
        is_done = snapshot.episode.success_seen and (
            snapshot.phase is Phase.CHOOSE
            or (snapshot.phase is Phase.HOLD and snapshot.hold_reason is HoldReason.SUCCESS_SEEN)
        )
        if self.seconds_left and not is_done:
            self.stay()
        elif not snapshot.episode.success_seen and self._counted == number:
            # It was taken back.
            self._counted = 0
        elif is_done and self._counted != number and self._settings.auto_next and self._may_count():
            self._counted, self.seconds_left = number, COUNT_S
            self._strip.show_countdown(COUNT_S)
            self._timer.start()

    def _on_second(self) -> None:
        self.seconds_left -= 1
        if self.seconds_left > 0:
            self._strip.show_countdown(self.seconds_left)
            return
        self._timer.stop()
        self._strip.show_countdown(0)
        self.counted_down()

    def counted_down(self) -> None:
        """Save the success that was counted down, and start the next episode."""
        self._awaited = self._counted
        self._succeed()
