"""What is recorded for the present world and policy: successes per task, and the noises that worked.

Read in the background at the start and whenever Drive is shown again after edits; in between every saved success is counted up.
GUI thread, except for reading.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from app.qt import QtCore, Signal
from app.workers import Rereader
from frs_core.arrays import Array
from frs_core.episodes import EpisodeStore
from frs_core.episodes.worked import worked_noises
from frs_core.events import EndedEpisode, Outcome

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Result of one scan."""

    successes: Mapping[str, int]
    """By task, or instruction where the world names no tasks; damaged episodes and other policies left out."""
    worked: Float[Array, " n"]
    """Sizes of the noises that worked, ascending."""


def read_recorded(root: Path, *, world: str, fingerprint: str) -> Read:
    """Return what is recorded below a root.

    Raises:
        EpisodeError: the folder cannot be read.
    """
    infos = [i for i in EpisodeStore(root).list() if i.world == world and i.fingerprint == fingerprint]
    won = Counter(i.task or i.instruction for i in infos if i.outcome is Outcome.SUCCESS and i.n_chunks > i.n_undone)
    return Read(dict(won), worked_noises(infos, fingerprint))


class Recorded(QtCore.QObject):
    """Keeps the newest facts about the recordings."""

    changed = Signal()

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._successes: Counter[str] = Counter()
        self.worked: Float[Array, " n"] = np.zeros(0)
        self._reader = Rereader(self)
        self._reader.done.connect(self._on_read)
        self._reader.failed.connect(self._on_failed)
        self._under_way: Callable[[], Read] | None = None

    def successes(self, task: str | None) -> int:
        """Return how many successes of a task are saved."""
        return self._successes[task or ""]

    def look(self, root: Path | None, *, world: str, fingerprint: str) -> None:
        """Read again, where something is recorded and the policy is known."""
        if root is not None and fingerprint:
            self._under_way = lambda: read_recorded(root, world=world, fingerprint=fingerprint)
            self._reader.read(self._under_way)

    def add(self, ended: EndedEpisode) -> None:
        """Count an episode that has just been saved."""
        if ended.outcome is Outcome.SUCCESS and ended.is_kept and ended.status.chunks:
            self._successes[ended.status.task or ended.status.instruction] += 1
            self.changed.emit()
            if self._under_way is not None:
                # What is being read may be from before it was saved.
                self._reader.read(self._under_way)

    def _on_read(self, read: Read) -> None:
        self._under_way = None
        self._successes, self.worked = Counter(read.successes), read.worked
        self.changed.emit()

    def _on_failed(self, text: str) -> None:
        self._under_way = None
        _log.warning("recorded episodes: %s", text)
