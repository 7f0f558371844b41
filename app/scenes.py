"""Which scene comes next: the one after all that were recorded of a task, so that ten today and ten tomorrow are twenty scenes.

Read once at the start, in the background; counted on from there. GUI thread, but for the reading.
"""

from collections.abc import Mapping
from pathlib import Path

from frs_core.episodes import EpisodeStore


def recorded_scenes(root: Path, world: str) -> dict[str, int]:
    """Return, for every recorded task of a world, the number after its highest scene.

    Args:
        root: of the recordings.
        world: as episodes name it.
    Raises:
        EpisodeError: the folder cannot be read.
    """
    following: dict[str, int] = {}
    for info in EpisodeStore(root).list():
        if info.task and info.world == world and not info.problem:
            following[info.task] = max(following.get(info.task, 0), info.seed + 1)
    return following


class Scenes:
    """The next scene of each task."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def learn(self, recorded: Mapping[str, int]) -> None:
        """Take over what was recorded; a task that has gone further since stays where it is."""
        for task, scene in recorded.items():
            self._next[task] = max(self._next.get(task, 0), scene)

    def of(self, task: str | None) -> int:
        """Return the next scene of a task."""
        return self._next.get(task or "", 0)

    def started(self, task: str | None, scene: int) -> None:
        """Count on from a scene that was started."""
        self._next[task or ""] = scene + 1
