"""Builds the pages of the other layouts ahead, while the robot rests before an episode, so that opening one never stalls the window.

Problem: a page takes 100 to 200 ms of processor time to load and build; the first look at Review during an episode would stop the images
for so long. Idea: after the first fan, while nothing moves and no episode is open, one page is built per turn. One that is opened before
is built then, as ever. GUI thread.
"""

from collections.abc import Callable, Sequence

from app.qt import QtCore
from frs_core.events import Phase, Snapshot

TURN_MS = 400
"""Delay between two pages, in which the window paints and answers."""


class Ahead(QtCore.QObject):
    """Builds what is left to build.

    Args:
        parent: owns it.
        build: functions that build one page each; calling one again must be cheap.
        seen: the newest snapshot.
    """

    def __init__(
        self,
        parent: QtCore.QObject,
        *,
        build: Sequence[Callable[[], object]],
        seen: Callable[[], Snapshot | None],
    ) -> None:
        super().__init__(parent)
        self._left, self._seen = list(build), seen
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._take_turn)

    @property
    def is_done(self) -> bool:
        """Whether everything has been built."""
        return not self._left

    def start(self) -> None:
        """Begin with the first turn after a while."""
        self._timer.start(TURN_MS)

    def stop(self) -> None:
        """Build nothing more ahead."""
        self._timer.stop()

    def _take_turn(self) -> None:
        if may_build(self._seen()):
            self._left.pop(0)()
        if not self._left:
            self._timer.stop()


def may_build(now: Snapshot | None) -> bool:
    """Return whether a moment without paints would be missed by nobody."""
    return (
        now is not None
        and now.phase is Phase.HOLD
        and now.fan is not None
        and not now.is_fan_pending
        and not now.episode.number
    )
