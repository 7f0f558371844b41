"""The learned policy learns on: after each success the next version is trained in a process of its own, and one key goes back.

    success on disk -> which episodes (a thread) -> TrainJob: train, compare -> used: loaded before the next episode; else it stays as it is

Nothing of an open episode changes, and nothing here holds the robot: what goes wrong is a message. On a real robot it is off until it is
switched on in this run. GUI thread.
"""

from collections.abc import Callable
from pathlib import Path

from app.facts import Facts
from app.names import policy_name
from app.qt import QtCore, Signal
from app.settings import Settings
from app.workers import Job
from frs_core.counts import counted
from frs_core.episodes import EpisodeStore
from frs_core.events import LoadNoisePolicy, Outcome, SessionCommand, Snapshot
from frs_core.learning import (
    JobState,
    Next,
    TrainJob,
    TrainRequest,
    TrainResult,
    next_version,
    version_before,
    version_number,
)

POLL_MS = 250
WAIT_S = 5.0
"""For a thread that reads the disk, when the window closes."""


class Versions(QtCore.QObject):
    """Trains versions from successes, and puts them into the fan or back.

    Args:
        parent: the window.
        facts: of this run.
        settings: the switch is remembered for simulation.
        send: where session commands go.
        say: shows a message (text, tone).
        is_taken: whether a practice or a comparison decides who drives.
    """

    changed = Signal()
    """The switch or the sentence."""

    def __init__(
        self,
        parent: QtCore.QObject,
        *,
        facts: Facts,
        settings: Settings,
        send: Callable[[SessionCommand], object],
        say: Callable[[str, str], object],
        is_taken: Callable[[], bool],
    ) -> None:
        super().__init__(parent)
        self._facts, self._settings, self._send, self._say, self._is_taken = facts, settings, send, say, is_taken
        self.sentence = ""
        """What became of the last success, or what is being done."""
        self.in_use: Path | None = None
        """Folder of the noise policy in the fan."""
        self._next: Path | None = None
        """The version that takes its place before the next episode."""
        self._is_asked_for = False
        self._job: TrainJob | None = None
        self._reading: Job | None = None
        self._has_more = False
        """A success came while the last one was being learned from."""
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._poll)
        self.handlers: dict[str, Callable[[], None]] = {"learned.learn_on": self.toggle, "learned.back": self.go_back}

    # --- the switch -----------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether successes are learned from; on a real robot only where that was asked for in this run."""
        return self._settings.learns_on if self._facts.is_simulated else self._is_asked_for

    def toggle(self) -> None:
        """Learn from successes, or no longer."""
        self._switch(not self.is_on)
        self._tell(
            "The learned policy learns on from each success"
            if self.is_on
            else "The learned policy no longer learns from successes",
            "info",
        )

    def _switch(self, is_on: bool) -> None:
        if self._facts.is_simulated:
            self._settings.learns_on = is_on
        self._is_asked_for = is_on
        if not is_on:
            self._stop()

    # --- a success ------------------------------------------------------------------------------------

    def follow(self, former: Snapshot | None, snapshot: Snapshot) -> None:
        """Learn from an episode that has just been saved as a success."""
        path = snapshot.noise_policy
        self.in_use = Path(path) if path else None
        if self._next is not None and self.in_use == self._next:
            self._next = None
        ended = snapshot.ended
        is_new = ended is not None and (former is None or former.ended != ended)
        if is_new and ended is not None and ended.outcome is Outcome.SUCCESS and ended.is_kept and ended.status.chunks:
            self.learn()

    def learn(self) -> None:
        """Have the next version trained, if there is something to learn and nobody else decides who drives."""
        root, in_use = self._facts.root, self._next or self.in_use
        if not self.is_on or root is None or in_use is None or self._is_taken():
            return
        if self._reading is not None or self._job is not None:
            self._has_more = True
            return
        self._reading = Job(lambda _tell: next_version(in_use, EpisodeStore(root).list(), root=root), self)
        self._reading.finished.connect(self._on_read)
        self._reading.failed.connect(self._on_failed)
        self._reading.start()

    def _on_read(self, found: Next) -> None:
        self._reading = None
        if found.request is not None and self.is_on:
            self._train(found.request)
        elif found.why_not:
            self._show(found.why_not)

    def _train(self, request: TrainRequest) -> None:
        self._job = TrainJob(request)
        try:
            self._job.start()
        except OSError as error:
            self._on_failed(error)
            return
        self._timer.start(POLL_MS)
        self._show(f"Learning version {version_number(request.out)} from {counted(len(request.episodes), 'episode')}")

    def _poll(self) -> None:
        job = self._job
        if job is None:
            return
        job.poll()
        if job.state is JobState.DONE and job.result is not None:
            self._end()
            self._on_trained(job.request, job.result)
        elif job.state is JobState.FAILED:
            self._on_failed(job.error)
        if self._job is None and self._has_more:
            self._has_more = False
            self.learn()

    def _on_trained(self, request: TrainRequest, result: TrainResult) -> None:
        verdict, number = result.verdict, version_number(request.out)
        learned = f"Version {number} learned from {counted(result.episodes, 'episode')}"
        assert verdict is not None
        assert request.gate is not None
        if not verdict.is_used:
            self._tell(f"{learned} and is not used: {verdict.sentence}", "info")
        elif request.gate.former != (self._next or self.in_use) or self._is_taken():
            self._tell(f"{learned}; another policy is in the fan by now. Use it in Train", "info")
        else:
            self._next = result.path
            self._send(LoadNoisePolicy(str(result.path), waits=True))
            self._tell(f"{learned}: in use from the next episode, {verdict.sentence}", "good")

    def _on_failed(self, error: object) -> None:
        self._reading = None
        self._end()
        self._tell(f"The next version was not learned. {error}", "warn")

    # --- going back -----------------------------------------------------------------------------------

    def go_back(self) -> None:
        """Put the version before into the fan from the next chunk on, and learn no more until that is switched on again."""
        present = self._next or self.in_use
        if self._is_taken():
            self._say("A practice or a comparison decides who drives; stop it first", "warn")
        elif present is None:
            self._say("No learned policy is in the fan, so there is none to go back from", "warn")
        elif self._reading is None or not self._reading.is_running:
            self._reading = Job(lambda _tell: (present, version_before(present)), self)
            self._reading.finished.connect(self._on_before)
            self._reading.failed.connect(self._on_no_way_back)
            self._reading.start()

    def _on_before(self, found: tuple[Path, Path | None]) -> None:
        self._reading = None
        present, before = found
        if before is None:
            self._say(f"'{policy_name(present)}' took no other version's place, or that one is gone", "warn")
            return
        is_waiting = self._next is not None
        was_on = self.is_on
        self._switch(False)
        self._next = None
        self._send(LoadNoisePolicy(str(before), waits=is_waiting))
        when = "stays in use" if is_waiting else "is in use from the next chunk"
        self._tell(
            f"Version {version_number(before)} {when}"
            + (". Learning from successes is switched off" if was_on else ""),
            "good",
        )

    def _on_no_way_back(self, error: object) -> None:
        self._reading = None
        self._say(str(error), "warn")

    # --- end ------------------------------------------------------------------------------------------

    def shut(self) -> None:
        """Stop training and reading."""
        self._stop()
        if self._reading is not None:
            self._reading.close(WAIT_S)

    def _stop(self) -> None:
        self._has_more = False
        self._end()

    def _end(self) -> None:
        self._timer.stop()
        if self._job is not None:
            self._job.close()
            self._job = None

    def _tell(self, text: str, tone: str) -> None:
        self._say(text, tone)
        self._show(text)

    def _show(self, text: str) -> None:
        self.sentence = text
        self.changed.emit()
