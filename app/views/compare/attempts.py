"""Attempts of a blinded comparison in Drive: who drives is drawn, hidden, and changes between attempts.

They are started, followed and run on as attempts of a practice are (`practise.attempts`): a person starts each on a robot, under the same
checklist and holds; where the world sets its scenes and says how it went, one start begins a run of them. The policy of each slot is put
into the fan before its attempt, or removed from it where the generalist drives alone; pacing is continuous, so both go on without a person. What
came of an attempt is appended to the comparison at once. GUI thread.

Example: 20 slots of two policies are 20 starts and 20 labels; the strip says "Attempt 7 of 20", and never which policy it was.
"""

from collections.abc import Callable
from pathlib import Path

from app.facts import Facts
from app.qt import QtCore, Signal
from app.views.episode_bar import is_episode_open
from app.views.practise.attempts import Attempts, Step
from app.workers import later
from frs_core.counts import counted
from frs_core.errors import FrsError
from frs_core.evaluation.blind import Blind
from frs_core.evaluation.blind_report import pooled
from frs_core.evaluation.monitor import Wanted
from frs_core.evaluation.practice_job import PracticeNews, Stage
from frs_core.events import (
    Driver,
    HoldReason,
    Outcome,
    Pacing,
    RequestHold,
    SessionCommand,
    SetDriver,
    SetHelp,
    SetPacing,
    Snapshot,
)
from frs_core.learning import Practice


class BlindAttempts(Attempts):
    """What a comparison and Drive have to do with each other.

    Args:
        facts: of this run.
        send: where session commands go.
        take_note: returns the note to the attempt that has just ended.
    """

    failed = Signal(str)
    """What keeps the comparison from continuing."""
    completed = Signal()
    """Every attempt is done."""
    stopped = Signal()

    def __init__(
        self,
        facts: Facts,
        send: Callable[[SessionCommand], object],
        parent: QtCore.QObject,
        *,
        take_note: Callable[[], str],
    ) -> None:
        super().__init__(facts, send, parent)
        self._take_note = take_note
        self.blind: Blind | None = None
        self._begun, self._asked = "", 0
        self._tried = ""
        self._former_pacing, self._asked_for_help = Pacing.GATED, False
        self._is_leaving = False

    # --- a comparison -------------------------------------------------------------------------------------

    def compare(self, blind: Blind) -> None:
        """Follow a comparison that has an attempt left."""
        self.blind, self._begun, self._is_leaving = blind, "", False
        if self._snapshot is not None:
            self._former_pacing, self._asked_for_help = self._snapshot.pacing, self._snapshot.asks_for_help
        self._facts.blinding.is_on = True
        # A round is a block: nothing is learned between them.
        limits = Practice(max_chunks=blind.plan.max_chunks, round_episodes=len(blind.plan.arms))
        self._follow(self, blind.plan.task, limits)
        self.ask_again()

    def ask_again(self) -> None:
        """Want the next attempt, after whatever has changed in the comparison."""
        blind = self.blind
        if blind is None or self._job is None or self._step is Step.OPEN:
            return
        self._tried = "\n".join(words for words in (pooled(blind), blind.sentence) if words)
        self._asked += 1
        slot = blind.next_slot
        if slot is None:
            self.completed.emit()
            return
        arm = blind.arm_of(slot)
        wanted = Wanted(Path(arm.path) if arm.path else None, blind.plan.scene(slot), self._asked)
        attempts = tuple(a.is_success for a in blind.counted)
        self.hear(PracticeNews(Stage.WAITING, attempts=attempts, wanted=wanted))

    def ended(self, name: str) -> None:
        """Hear that an attempt has ended; what came of it is told by the session."""

    def cancel(self) -> None:
        """Stop, unless an attempt has begun meanwhile; that one is finished first."""
        later(self, 0, lambda: None if self._step is Step.OPEN else self.stopped.emit())

    def end(self) -> None:
        """Return control to the person; who drove last is hidden until the session is as it was before."""
        if self._job is None:
            return
        self._is_leaving = True
        self._send(SetPacing(self._former_pacing))
        self._send(SetHelp(self._asked_for_help))
        super().end()

    def take(self, snapshot: Snapshot) -> None:
        """Follow the session, as it is."""
        super().take(snapshot)
        if self._job is None:
            if self._is_leaving and self._is_back(snapshot):
                self._is_leaving = self._facts.blinding.is_on = False
        elif self._step is Step.OPEN and self._name and self._name != self._begun and self.blind is not None:
            self._begun = self._name
            self._keep(lambda blind: blind.began(self._begun))

    def _is_back(self, snapshot: Snapshot) -> bool:
        is_unloaded = (snapshot.noise_policy or None) == self._former or (
            snapshot.unloaded is not None and snapshot.unloaded[0] == self._former
        )
        is_given = snapshot.driver is Driver.PERSON and snapshot.pacing is self._former_pacing
        return is_given and is_unloaded and not is_episode_open(snapshot)

    # --- an attempt ---------------------------------------------------------------------------------------

    def _hand_over(self, wanted: Wanted) -> None:
        self._send(SetPacing(Pacing.CONTINUOUS))
        # Only a learned policy calls, which would tell who drives, and steering would compare nothing.
        self._send(SetHelp(False))
        # Without a noise policy nobody picks, and the generalist's own candidate is taken.
        self._send(SetDriver(Driver.PERSON if wanted.actor is None else Driver.LEARNED))

    def _hold_at_end(self) -> None:
        self._send(RequestHold(HoldReason.COMPARISON_ENDED))

    def _note_label(self, snapshot: Snapshot) -> None:
        """Keep what came of the attempt that has just ended, and want the next one."""
        ended, name = snapshot.ended, self._name
        is_known = ended is not None and ended.status.number == self._number
        outcome = ended.outcome if ended is not None and is_known else Outcome.FAILURE
        excluded = ""
        if ended is None or not is_known:
            excluded = "it ended without a label"
        elif outcome is not Outcome.DISCARDED and not ended.is_kept:
            excluded = "it was not recorded"
        status = ended.status if ended is not None and is_known else None
        note = self._take_note()
        self._keep(
            lambda blind: blind.ended(
                outcome,
                episode=name,
                chunks=status.chunks if status is not None else 0,
                steps=status.steps if status is not None else 0,
                note=note,
                excluded=excluded,
            )
        )
        if self._job is None or self.blind is None:
            return
        attempt = self.blind.state.attempts[-1]
        if not attempt.excluded:
            self.labelled.emit(name, outcome, attempt.number)
        later(self, 0, self.ask_again)

    def _keep(self, change: Callable[[Blind], object]) -> None:
        """Change the comparison on disk; where that fails, end it."""
        assert self.blind is not None
        try:
            change(self.blind)
        except FrsError as error:
            self.failed.emit(str(error))

    # --- words --------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether an attempt is under way."""
        return self._step in (Step.STARTED, Step.OPEN)

    @property
    def why_not_start(self) -> str:
        """Why no attempt can start now, as a sentence without full stop; empty when one can."""
        if self._is_stopping:
            return "The comparison is stopping"
        if self._step is Step.OPEN:
            return "An attempt is under way"
        if self._news is None or self._step is Step.REPORTED:
            return "The next attempt can start in a moment"
        if self._load_problem:
            # What could not be loaded is not said: it is who drives next.
            return "A policy of the comparison could not be loaded; Start retries"
        return "" if self._is_loaded else "The next attempt can start in a moment"

    @property
    def sentence(self) -> str:
        """What a person is to know or do, in one line."""
        blind = self.blind
        if self._job is None or blind is None:
            return ""
        done = len(blind.counted)
        attempt = f"Attempt {min(done + 1, blind.plan.slots)} of {blind.plan.slots} at {self._shown_task}"
        if self._step is Step.OPEN:
            if why := self._run.paused:
                return f"{attempt} is paused ({why[0].lower()}{why[1:]}); Resume continues it and the attempts after it"
            return f"{attempt}: {self._under_way}"
        if reason := self.why_not_start:
            return f"{attempt}. {reason}"
        if self._run.paused:
            return f"The run of attempts is paused; Start continues with attempt {done + 1} of {blind.plan.slots}"
        if self._run.is_on:
            return f"{attempt}: it starts automatically; Hold pauses the run"
        if self.runs_on:
            return f"{attempt}: start it; the attempts after it start automatically"
        return f"{attempt}: reset the scene, then start it"

    @property
    def tried(self) -> str:
        """How all attempts went so far, whoever drove."""
        return self._tried

    @property
    def _under_way(self) -> str:
        episode = self._snapshot.episode if self._snapshot is not None else None
        chunks = episode.chunks if episode is not None else 0
        label = (
            "the world labels it, and the next one starts automatically"
            if self._run.is_on
            else "label it when the outcome is clear"
        )
        return f"{chunks} of at most {counted(self._limits.max_chunks, 'chunk')}; {label}"
