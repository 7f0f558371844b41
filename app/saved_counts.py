"""How many successes of the task are saved, above the 3D view, and the record that noises are rated by. GUI thread."""

from collections.abc import Callable

from app.facts import Facts
from app.qt import QtCore
from app.recorded import Recorded
from app.views.drive import DrivePage
from frs_core.events import Snapshot
from frs_core.worlds import WorldSpec


class SavedCounts(QtCore.QObject):
    """Shows what is recorded for the present world and policy.

    Args:
        parent: the window.
        facts: of this run.
        drive: shows it.
        world: returns the facts of the world, None before it has started.
    """

    def __init__(
        self, parent: QtCore.QObject, *, facts: Facts, drive: DrivePage, world: Callable[[], WorldSpec | None]
    ) -> None:
        super().__init__(parent)
        self._facts, self._drive, self._world = facts, drive, world
        self._now: Snapshot | None = None
        self.recorded = Recorded(self)
        self.recorded.changed.connect(self._show)
        drive.episode.task_chosen.connect(lambda _text: self._show())

    def look(self) -> None:
        """Read the recordings again."""
        world = self._world()
        if world is not None:
            self.recorded.look(self._facts.root, world=world.name, fingerprint=self._facts.fingerprint)

    def follow(self, former: Snapshot | None, now: Snapshot) -> None:
        """Count an episode that has ended, and show the figures of the one that begins."""
        self._now = now
        if now.episode.number != (former.episode.number if former is not None else 0):
            self._show()
        if now.ended is not None and (former is None or former.ended != now.ended):
            self.recorded.add(now.ended)

    def _show(self) -> None:
        now, bar = self._now, self._drive.episode
        running = now.episode if now is not None and now.episode.number else None
        if running is None and not self._facts.tasks and now is not None and now.ended is not None:
            # A world without tasks names none of the next episode before it runs.
            running = now.ended.status
        task = (running.task or running.instruction) if running is not None else bar.chosen_task or ""
        self._drive.progress.show_progress(self._facts.title_of(task), self.recorded.successes(task))
        self._drive.verdicts.use_record(self.recorded.worked)
