"""Choose the next scene of a task: the one after all recorded scenes, so that new episodes use new scenes.

The recorded scenes are read once at the start, in the background, and counted up from there. GUI thread, except for reading.
"""

from collections.abc import Mapping
from pathlib import Path

from frs_core.episodes import EpisodeStore


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
        if info.task and info.world == world and not info.problem:
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
