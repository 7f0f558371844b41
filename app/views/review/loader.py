"""Opens episodes and decodes their frames off the GUI thread; the latest request wins.

Problem: scrubbing requests hundreds of frames a second, of which only the last one matters. Idea: one thread and one slot for
the latest request; decoded frames of the last positions are cached, and the next ones are decoded ahead when idle.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from app.qt import QtCore, Signal
from app.views.review.record import Record
from app.workers import Relay
from frs_core.episodes import EpisodeInfo
from frs_core.errors import FrsError
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.steering.candidates import Fan

CACHE = 90
"""Number of cached positions: 90 x 3 cameras x 150 kB = 40 MB at 224 pixels."""
AHEAD = 12


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """Everything shown at one position."""

    record: Record
    position: int
    frames: dict[str, CameraFrame]
    observation: Observation
    fan: Fan


class Loader(Relay):
    """One worker thread for the open episode."""

    opened = Signal(object)
    """A Record."""
    moment_ready = Signal(object)
    """A Moment."""
    failed = Signal(str)

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._condition = threading.Condition()
        self._wanted_info: EpisodeInfo | None = None
        self._wanted_position: int | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def open(self, info: EpisodeInfo) -> None:
        """Open an episode and show its first frame."""
        self._wish(info=info, position=0)

    def seek(self, position: int) -> None:
        """Show a position; replaces an earlier request that was not served yet."""
        self._wish(position=position)

    def close(self) -> None:
        """Stop the thread; no more reports follow."""
        self.hush()
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(5.0)
            self._thread = None

    def _wish(self, *, position: int, info: EpisodeInfo | None = None) -> None:
        with self._condition:
            if self._is_closed:
                return
            if info is not None:
                self._wanted_info = info
            self._wanted_position = position
            self._condition.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="app-review", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        record: Record | None = None
        cache: OrderedDict[int, Moment] = OrderedDict()
        ahead = last = -1
        while True:
            with self._condition:
                while not self._is_closed and self._wanted_info is None and self._wanted_position is None:
                    if record is not None and 0 <= ahead < record.length and ahead not in cache:
                        break
                    self._condition.wait(timeout=5.0)
                if self._is_closed:
                    return
                info, position = self._wanted_info, self._wanted_position
                self._wanted_info = self._wanted_position = None
            try:
                if info is not None:
                    record = Record(info)
                    cache.clear()
                    self.tell("opened", record)
                if record is None:
                    continue
                if position is not None:
                    position = max(0, min(position, record.length - 1))
                    self.tell("moment_ready", self._moment(record, position, cache))
                    last = position
                    ahead = position + 1
                elif ahead <= last + AHEAD:
                    self._moment(record, ahead, cache)
                    ahead += 1
                else:
                    ahead = -1
            except Exception as error:  # A damaged file can raise anything; the thread continues.
                ahead = -1
                is_gone = record is not None and not record.path.exists()
                if info is not None or is_gone:
                    record = None
                if is_gone and info is None:
                    # The episode was moved to the bin while it was open.
                    continue
                known = isinstance(error, (FrsError, OSError))
                self.tell(
                    "failed", str(error) if known else f"The episode cannot be read: {type(error).__name__}: {error}"
                )

    def _moment(self, record: Record, position: int, cache: "OrderedDict[int, Moment]") -> Moment:
        if position in cache:
            cache.move_to_end(position)
            return cache[position]
        moment = Moment(
            record,
            position,
            record.frames(position),
            record.observation(position),
            record.fan(record.mark_at(position).index),
        )
        cache[position] = moment
        if len(cache) > CACHE:
            cache.popitem(last=False)
        return moment
