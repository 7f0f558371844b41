"""Choose the next scene of a task: the one after all recorded scenes, so that new episodes use new scenes.

The recorded scenes are read once at the start, in the background, and counted up from there. GUI thread, except for reading.
"""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

from app.qt import QtCore, Signal
from app.workers import Job
from frs_core.episodes import EpisodeStore
from frs_core.worlds.base import WorldSpec

_log = logging.getLogger(__name__)


def recorded_scenes(root: Path, world: str) -> dict[str, int]:
    """Return task -> next free scene number, for every recorded task of a world.

    Args:
        root: of the recordings.
        world: its name in the episodes.
    Raises:
        EpisodeError: the folder cannot be read.
    """
    following: dict[str, int] = {}
    for info in EpisodeStore(root).list():
        if info.task and info.world == world:
            following[info.task] = max(following.get(info.task, 0), info.seed + 1)
    return following


class Scenes:
    """Next scene of each task."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def learn(self, recorded: Mapping[str, int]) -> None:
        """Update from the recordings; a task whose counter is already higher keeps it."""
        for task, scene in recorded.items():
            self._next[task] = max(self._next.get(task, 0), scene)

    def of(self, task: str | None) -> int:
        """Return the next scene of a task."""
        return self._next.get(task or "", 0)

    def started(self, task: str | None, scene: int) -> None:
        """Continue after a scene that was started."""
        self._next[task or ""] = scene + 1


class RecordedScenes(QtCore.QObject):
    """Finds out in the background, once, which scenes have been recorded with a world."""

    found = Signal(object)
    """Task -> next free scene number."""

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._job: Job | None = None

    def look(self, root: Path | None, world: WorldSpec | None) -> None:
        """Look once both are known; only the first such call reads.

        Args:
            root: of the recordings; None = nothing is recorded.
            world: None before it has started.
        """
        if root is None or world is None or self._job is not None:
            return
        job = self._job = Job(lambda _tell: recorded_scenes(root, world.name), parent=self)
        job.finished.connect(self.found)
        job.failed.connect(lambda error: _log.warning("recorded scenes: %s", error))
        job.start()

    def shut(self) -> None:
        """Wait for the reading without reporting it."""
        with contextlib.suppress(RuntimeError):  # The job has deleted itself.
            if self._job is not None:
                self._job.close(5.0)
