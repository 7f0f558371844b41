"""The learned policy learns on: after each success the next version is trained in a process of its own, and one key goes back.

    success on disk -> which episodes -> TrainJob: train, compare -> used: loaded before the next episode; else it stays as it is
                       `- a thread, which waits for the trainer's process -'

Nothing of an open episode changes, and nothing here moves the robot. What goes wrong is a message. On a real robot it is off until it
is switched on in this run; it learns there between episodes only, and no episode starts meanwhile. `frs_core.learning` is loaded when there
is something to learn, after the window is shown. GUI thread.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.facts import Facts
from app.names import policy_name
from app.qt import QtCore, Signal
from app.settings import Settings
from app.workers import Job
from frs_core.counts import counted
from frs_core.episodes import EpisodeStore
from frs_core.events import LoadNoisePolicy, Outcome, SessionCommand, Snapshot

if TYPE_CHECKING:
    from frs_core.learning import Progress, TrainRequest, TrainResult

POLL_S = 0.25
WAIT_S = 10.0
"""For the threads, when the window closes: the disk, and the end of the trainer's process."""


class Versions(QtCore.QObject):
    """Trains versions from successes, and puts them into the fan or back.

    Args:
        parent: the window.
        facts: of this run.
        settings: the switch is remembered for simulation.
        send: where session commands go.
        say: shows a message (text, tone).
        is_taken: whether a practice or a comparison decides who drives.
        cap: returns the key of the switch.
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
        cap: Callable[[], str],
    ) -> None:
        super().__init__(parent)
        self._facts, self._settings, self._send, self._say, self._is_taken = facts, settings, send, say, is_taken
        self._cap = cap
        self.sentence = ""
        """What became of the last success, or what is being done."""
        self.in_use: Path | None = None
        """Folder of the noise policy in the fan."""
        self._next: Path | None = None
        """The version that takes its place before the next episode."""
        self._is_open = False
        """Whether an episode is open."""
        self._is_asked_for = False
        self._learning: Job | None = None
        self._stopping = threading.Event()
        """Ends the learning that is under way."""
        self._request: TrainRequest | None = None
        """What is being learned; None = nothing, or that is still being read."""
        self._has_more = False
        """A success came while it could not be learned from."""
        self._going_back: Job | None = None
        self.handlers: dict[str, Callable[[], None]] = {"learned.learn_on": self.toggle, "learned.back": self.go_back}

    # --- the switch -----------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether successes are learned from; on a real robot only where that was asked for in this run."""
        return self._settings.learns_on if self._facts.is_simulated else self._is_asked_for

    @property
    def is_learning(self) -> bool:
        """Whether the next version is being trained or compared."""
        return self._learning is not None

    @property
    def why_not_start(self) -> str:
        """Return why no episode may start now, without full stop; empty in simulation, and where nothing is being learned."""
        if self._facts.is_simulated or not self.is_learning:
            return ""
        return "The next version is being learned, and a real robot stays where it is meanwhile; start when that is done, or switch it off in Train"

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
        """Learn from an episode that has just been saved as a success, and see what is in the fan."""
        self._is_open = snapshot.episode.number != 0
        self._see_fan(snapshot)
        ended = snapshot.ended
        if ended is not None and (former is None or former.ended != ended):
            is_success = ended.outcome is Outcome.SUCCESS and ended.is_kept and ended.status.chunks > 0
            self._has_more |= is_success
        if self._has_more:
            self.learn()

    def _see_fan(self, snapshot: Snapshot) -> None:
        before, self.in_use = self.in_use, Path(snapshot.noise_policy) if snapshot.noise_policy else None
        if self.in_use is not None and self.in_use != before:
            self._say(f"★ {policy_name(self.in_use)} is in the fan", "good")
        waiting = self._next
        if waiting is None:
            return
        if self.in_use == waiting:
            self._next = None
        elif snapshot.unloaded is not None and Path(snapshot.unloaded[0]) == waiting:
            # Why it could not be loaded is a notice of the session.
            from frs_core.learning import version_number

            self._next = None
            self._show(f"Version {version_number(waiting)} could not be loaded; the one before stays in use")
        elif self.in_use != before:
            self._next = None

    def note_replaced(self) -> None:
        """Note that the operator puts another policy into the fan, or none: the version that waits is not used."""
        self._next = None

    def learn(self) -> None:
        """Have the next version trained, if there is something to learn and nobody else decides who drives."""
        root, in_use = self._facts.root, self._next or self.in_use
        if not self.is_on or root is None or in_use is None or self._is_taken():
            self._has_more = False
            return
        # On a real robot it waits until no episode is open.
        self._has_more = self._learning is not None or (self._is_open and not self._facts.is_simulated)
        if self._has_more:
            return
        stopping = self._stopping = threading.Event()
        self._learning = Job(lambda tell: _learn(in_use, root, stopping=stopping, tell=tell), self)
        self._learning.progressed.connect(self._on_progress)
        self._learning.finished.connect(self._on_finished)
        self._learning.failed.connect(self._on_failed)
        self._learning.start()

    def _on_progress(self, news: "TrainRequest | Progress") -> None:
        from frs_core.learning import Progress, TrainRequest, version_number

        if isinstance(news, TrainRequest):
            self._request = news
        request = self._request
        if request is None or self._stopping.is_set():
            return
        learned = f"Version {version_number(request.out)}, from {counted(len(request.episodes), 'episode')}"
        self._show(f"{learned}: {news.stage if isinstance(news, Progress) else 'loading'}")

    def _on_finished(self, found: "TrainResult | str") -> None:
        from frs_core.learning import TrainResult

        request = self._end()
        if self._stopping.is_set():
            pass
        elif isinstance(found, TrainResult) and request is not None:
            self._on_trained(request, found)
        elif isinstance(found, str) and found and found != self.sentence:
            # Once, not after each success.
            self._tell(found, "info")
        self._go_on()

    def _on_trained(self, request: "TrainRequest", result: "TrainResult") -> None:
        from frs_core.learning import version_number

        verdict, number = result.verdict, version_number(request.out)
        learned = f"Version {number} learned from {counted(result.episodes, 'episode')}"
        assert verdict is not None
        assert request.gate is not None
        if not verdict.is_used:
            self._tell(f"{learned} and is not used: {verdict.sentence}", "info")
        elif self._is_taken() or request.gate.former != (self._next or self.in_use):
            self._tell(f"{learned} but is not used: another policy is in the fan by now. Use it in Train", "info")
        else:
            self._next = result.path
            self._send(LoadNoisePolicy(str(result.path), waits=True))
            self._tell(f"{learned}: in use from the next episode, {verdict.sentence}", "good")

    def _on_failed(self, error: object) -> None:
        self._end()
        if not self._stopping.is_set():
            self._tell(f"The next version was not learned. {error}", "warn")
        self._go_on()

    def _end(self) -> "TrainRequest | None":
        self._learning = None
        request, self._request = self._request, None
        return request

    def _go_on(self) -> None:
        if self._has_more:
            self.learn()

    # --- going back -----------------------------------------------------------------------------------

    def go_back(self) -> None:
        """Put the version before into the fan from the next chunk on, and learn no more until that is switched on again."""
        present = self._next or self.in_use
        if self._is_taken():
            self._say("A practice or a comparison decides who drives; stop it first", "warn")
        elif present is None:
            self._say("No learned policy is in the fan, so there is none to go back from", "warn")
        elif self._going_back is None:
            self._going_back = Job(lambda _tell: _before(present), self)
            self._going_back.finished.connect(self._on_before)
            self._going_back.failed.connect(self._on_no_way_back)
            self._going_back.start()

    def _on_before(self, found: tuple[Path, Path | None]) -> None:
        self._going_back = None
        present, before = found
        if before is None:
            self._say(f"'{policy_name(present)}' took no other version's place, or that one is gone", "warn")
            return
        from frs_core.learning import version_number

        was_on, is_waiting = self.is_on, self._next is not None
        self._switch(False)
        self._next = None
        self._send(LoadNoisePolicy(str(before), waits=is_waiting))
        when = "stays in use" if is_waiting else "is in use from the next chunk"
        off = ". Learning from successes is switched off" if was_on else ""
        on = f"; {self._cap()} switches it on" if was_on and self._cap() else ""
        self._tell(f"Version {version_number(before)} {when}{off}{on}", "good")

    def _on_no_way_back(self, error: object) -> None:
        self._going_back = None
        self._say(str(error), "warn")

    # --- end ------------------------------------------------------------------------------------------

    def shut(self) -> None:
        """Stop learning and reading."""
        self._stop()
        for job in (self._learning, self._going_back):
            if job is not None:
                job.close(WAIT_S)

    def _stop(self) -> None:
        self._has_more = False
        self._stopping.set()

    def _tell(self, text: str, tone: str) -> None:
        self._say(text, tone)
        self._show(text)

    def _show(self, text: str) -> None:
        self.sentence = text
        self.changed.emit()


def _before(present: Path) -> tuple[Path, Path | None]:
    """Return a version and the one whose place it took, if there is one."""
    from frs_core.learning import version_before

    return present, version_before(present)


def _learn(
    in_use: Path, root: Path, *, stopping: threading.Event, tell: Callable[[object], None]
) -> "TrainResult | str":
    """Return the next version and how it compares, or why there is none; on a thread of its own.

    Args:
        in_use: folder of the version in use.
        root: of the episodes.
        stopping: ends it.
        tell: is given the request, then progress.
    """
    from frs_core.learning import JobState, TrainJob, next_version

    found = next_version(in_use, EpisodeStore(root).list(), root=root)
    if found.request is None or stopping.is_set():
        return found.why_not
    tell(found.request)
    job = TrainJob(found.request)
    try:
        job.start()
        while job.state is JobState.RUNNING and not stopping.wait(POLL_S):
            for progress in job.poll():
                tell(progress)
    finally:
        job.close()
    if stopping.is_set():
        return ""
    if job.error is not None:
        raise job.error
    assert job.result is not None
    return job.result
