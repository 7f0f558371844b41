"""Attempts of a practice in Drive: who drives them, whether one can start now, and what came of it.

Problem: on a robot a practice may move nothing by itself, and a person wants to steer. Idea: an attempt is an episode like any other,
driven by the learned candidate. This object puts the practice's present actor into the fan, makes the start that a person's press
sends, follows the episode to its label, and sends its name to the practice. While the practice learns, no episode is open and no start
is made. Hold, limits, label, Back and the keys that steer are those of Drive. Every attempt is a press, but in a world that sets its
scenes itself and says how an attempt went: there one press begins a run of them (`attempt_run`).

Example: the practice wants an attempt on scene 40,003 -> its actor is loaded -> Start -> chunks, one of them steered -> a label -> the
name of the recording goes to the practice, which wants the next attempt.
GUI thread.
"""

from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from app.facts import Facts
from app.names import in_words
from app.qt import QtCore, Signal
from app.views.episode_bar import is_episode_open
from app.views.practise.attempt_run import AttemptRun, was_refused
from frs_core.counts import counted
from frs_core.evaluation.monitor import Wanted
from frs_core.evaluation.practice_job import PracticeJob, PracticeNews, Stage
from frs_core.evaluation.wilson import format_rate
from frs_core.events import (
    Driver,
    HoldReason,
    LoadNoisePolicy,
    Outcome,
    RequestHold,
    SessionCommand,
    SetDriver,
    Snapshot,
    StartEpisode,
)
from frs_core.learning import Practice


class AttemptSource(Protocol):
    """What wants attempts: a practice, or a comparison."""

    def ended(self, name: str) -> None:
        """Hear which recorded episode came of the attempt; empty where none did."""
        ...

    def cancel(self) -> None:
        """Hear that no more are wanted."""
        ...


class Step(Enum):
    """Where an attempt stands."""

    NONE = auto()
    """None is under way."""
    STARTED = auto()
    """A person has pressed Start."""
    OPEN = auto()
    """Its episode is open."""
    REPORTED = auto()
    """It has ended, and the practice knows how."""


class Attempts(QtCore.QObject):
    """What a practice and Drive have to do with each other.

    Args:
        facts: of this run.
        send: where session commands go.
    """

    changed = Signal()
    """Another sentence is to be shown."""
    labelled = Signal(str, object, int)
    """An attempt has ended: name of its recording, its outcome, and which attempt of the practice it was, from 0."""

    def __init__(self, facts: Facts, send: Callable[[SessionCommand], object], parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._facts, self._send = facts, send
        self._job: AttemptSource | None = None
        self._task, self._limits = "", Practice()
        self._news: PracticeNews | None = None
        self._snapshot: Snapshot | None = None
        self._step, self._name, self._steered = Step.NONE, "", 0
        self._number = 0
        """Of the episode that was followed last."""
        self._answered = 0
        """Number of the wanted attempt that was answered last."""
        self._asked_for: str | None = None
        """Path of the noise policy that was last asked into the fan; empty = none of them, None = nothing was asked for yet."""
        self._former: str | None = None
        """What was in the fan before."""
        self._is_stopping = False
        self._run = AttemptRun()
        self._retried: tuple[str, str] | None = None
        """The failure to load an actor after which loading was retried."""

    # --- a practice --------------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether a practice wants its attempts driven here."""
        return self._job is not None

    def why_not_begin(self) -> str:
        """Return why no practice can begin here now; empty when one can."""
        if self._snapshot is not None and is_episode_open(self._snapshot):
            return "An episode is open in Drive; label or discard it first"
        return ""

    def begin(self, job: PracticeJob) -> None:
        """Follow a practice that has just started."""
        self._follow(job, job.request.task or "", job.request.practice or Practice())

    def _follow(self, job: AttemptSource, task: str, limits: Practice) -> None:
        """Follow a source of attempts.

        Args:
            job: has just started.
            task: the world's name of it, or what is said to the policy.
            limits: how long an attempt and a round are.
        """
        self._task, self._limits = task, limits
        self._job, self._news, self._step, self._is_stopping = job, None, Step.NONE, False
        self._answered, self._asked_for = 0, None
        self._run.end()
        self._former = self._snapshot.noise_policy if self._snapshot is not None else None
        self.changed.emit()

    def hear(self, news: PracticeNews) -> None:
        """Process the newest message of the practice."""
        former, self._news = self._news, news
        if self._step is Step.REPORTED and (news.wanted is None or news.wanted.asked != self._answered):
            self._step = Step.NONE
        was_asked = former.wanted.asked if former is not None and former.wanted is not None else 0
        if news.wanted is not None and news.wanted.problem and news.wanted.asked != was_asked:
            self._run.pause("the last attempt does not count")
        self._stop_when_due()
        self._load_actor()
        self._go_on()
        self.changed.emit()

    def stop(self) -> None:
        """Stop the practice once the attempt in progress has ended and counts."""
        self._is_stopping = True
        self._run.end()
        self._stop_when_due()
        self.changed.emit()

    def end(self) -> None:
        """Return control to the person and the fan as it was: the practice has ended. What it had under way holds."""
        if self._job is None:
            return
        self._job = None
        self._run.end()
        if self._step in (Step.STARTED, Step.OPEN):
            # In continuous pacing the policy's own candidate would be next, which nobody has asked to drive.
            self._hold_at_end()
        self._send(SetDriver(Driver.PERSON))
        self._send(LoadNoisePolicy(self._former))
        self.changed.emit()

    def _hold_at_end(self) -> None:
        self._send(RequestHold(HoldReason.PRACTICE_ENDED))

    def shut(self) -> None:
        """Tell the practice nothing more: the window closes."""
        self._job = None

    # --- an attempt --------------------------------------------------------------------------------------

    @property
    def why_not_start(self) -> str:
        """Why no attempt can start now, as a sentence without full stop; empty when one can."""
        news = self._news
        if self._is_stopping:
            return "The practice is stopping"
        if self._step is Step.OPEN:
            return "An attempt is under way"
        if self._step is Step.REPORTED:
            return "The practice is reading the attempt; the next one can start in a moment"
        if news is None or news.stage is Stage.LOADING:
            return "The practice is getting ready; the first attempt can start in a moment"
        if news.wanted is None and news.stage is Stage.WAITING:
            return "The practice learns from this round in a few seconds; until then Undo reverses the last label"
        if news.wanted is None:
            return "The practice is learning from its attempts; nothing moves until it is done"
        if self._load_problem:
            return f"The noise policy could not be loaded ({self._load_problem}); Start retries"
        if not self._is_loaded:
            return "The noise policy is being loaded; the next attempt can start in a moment"
        return ""

    def start(self) -> str:
        """Have the wanted attempt driven, on a person's press; return why not, empty where it starts.

        Where attempts can run on, the others follow by themselves.
        """
        if reason := self.why_not_start:
            return reason
        if self.runs_on:
            self._run.begin()
        self._start()
        return ""

    def pause(self, why: str) -> None:
        """Let no attempt start by itself until a person resumes or starts."""
        self._run.pause(why)
        self.changed.emit()

    def load_again(self) -> bool:
        """Retry loading an actor that could not be loaded, on a person's press; return whether there was one."""
        if not self._load_problem:
            return False
        if self._run.is_on:
            self._run.begin()
        self._asked_for, self._retried = None, self._snapshot.unloaded if self._snapshot is not None else None
        self._load_actor()
        self.changed.emit()
        return True

    @property
    def runs_on(self) -> bool:
        """Whether one press begins a run: the world sets its scenes itself and says how an attempt went. Never on a robot."""
        return self._facts.resets_itself and self._knows_success

    def _go_on(self) -> None:
        """Start the next attempt of a run where it may start."""
        if not self.runs_on or self._step is not Step.NONE or not self._run.may_start(self._snapshot):
            return
        if self._load_problem:
            self._run.pause("the noise policy could not be loaded")
        elif self._job is not None and not self.why_not_start:
            self._start()

    def _start(self) -> None:
        news = self._news
        assert news is not None
        assert news.wanted is not None
        task, words = (self._task, None) if self._facts.tasks else (None, self._task)
        self._step = Step.STARTED
        self._hand_over(news.wanted)
        self._send(StartEpisode(task, news.wanted.scene, words, most_chunks=self._limits.max_chunks))
        self.changed.emit()

    def _hand_over(self, wanted: Wanted) -> None:
        """Let who is wanted drive."""
        self._send(SetDriver(Driver.LEARNED))

    def take(self, snapshot: Snapshot) -> None:
        """Follow the session."""
        former, self._snapshot = self._snapshot, snapshot
        if self._job is None:
            return
        if former is not None and _path(former.noise_policy) == self._asked_for != _path(snapshot.noise_policy):
            # Somebody put another policy into the fan; the next attempt is the practice's again.
            self._asked_for = None
        self._run.take(former, snapshot)
        if self._step is Step.STARTED and self._run.is_on and was_refused(former, snapshot):
            self._step = Step.NONE
            self._run.pause("the start was refused")
        is_open, number = is_episode_open(snapshot), snapshot.episode.number
        if is_open and number != self._number:
            # Every start is an attempt, and a second press may have begun another one in its place.
            self._step, self._number, self._name, self._steered = Step.OPEN, number, "", 0
        elif self._step is Step.OPEN and not is_open:
            self._step = Step.REPORTED
            assert self._news is not None
            self._answered = self._news.wanted.asked if self._news.wanted is not None else 0
            self._job.ended(self._name)
            self._note_label(snapshot)
        if self._step is Step.OPEN:
            self._name = snapshot.episode.name or self._name
            is_new_pick = former is None or former.picked != snapshot.picked or former.picked_by != snapshot.picked_by
            self._steered += is_new_pick and snapshot.picked_by is Driver.PERSON
        self._load_actor()
        self._go_on()
        self.changed.emit()

    def _note_label(self, snapshot: Snapshot) -> None:
        """Say how the attempt that has just ended was labelled, if its recording is kept."""
        ended, news = snapshot.ended, self._news
        if ended is None or news is None or ended.status.number != self._number or not ended.is_kept or not self._name:
            return
        if ended.outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            self.labelled.emit(self._name, ended.outcome, len(news.attempts))

    @property
    def sentence(self) -> str:
        """What a person is to know or do, in one line."""
        job, news = self._job, self._news
        if job is None:
            return ""
        if self._is_stopping and self._step is not Step.OPEN:
            return "Practice is stopping; everything so far is kept"
        if self._step is Step.OPEN:
            if why := self._run.paused:
                return f"{self._attempt} is paused ({_lower(why)}); Resume continues it and the attempts after it"
            return f"{self._attempt}: {self._under_way}"
        if reason := self.why_not_start:
            if self._run.paused and not self._load_problem:
                return f"{self._paused}; {_lower(reason)}"
            if self._run.is_on:
                reason = reason.replace("can start", "starts")
            return reason.replace("The practice", "Practice", 1)
        assert news is not None
        assert news.wanted is not None
        problem = f"{news.wanted.problem}. " if news.wanted.problem else ""
        if self._run.paused:
            if problem:
                return f"{problem}{self._attempt}: Start continues it and the attempts after it"
            return f"{self._paused}; Start continues with attempt {self._done + 1}"
        if self._run.is_on:
            return f"{self._attempt}: it starts automatically; Hold pauses the run"
        ready = f"{problem}{self._attempt}: start it; it drives alone, and a direction steers one chunk"
        return f"{ready}; the attempts after it start automatically" if self.runs_on else ready

    @property
    def _paused(self) -> str:
        return f"The run of attempts is paused ({_lower(self._run.paused)})"

    @property
    def tried(self) -> str:
        """How its attempts went so far."""
        attempts = self._news.attempts if self._news is not None else ()
        return format_rate(sum(attempts), len(attempts)) if attempts else ""

    @property
    def _done(self) -> int:
        return len(self._news.attempts) if self._news is not None else 0

    @property
    def _attempt(self) -> str:
        done = self._done
        size = self._limits.round_episodes
        return f"Attempt {done + 1} at {self._shown_task} ({done % size + 1} of {size} in this round)"

    @property
    def _shown_task(self) -> str:
        return in_words(self._task)

    @property
    def _under_way(self) -> str:
        episode = self._snapshot.episode if self._snapshot is not None else None
        chunks = (
            f"{episode.chunks} of at most {counted(self._limits.max_chunks, 'chunk')}"
            if episode is not None
            else "starting"
        )
        steered = f", {self._steered} steered by you" if self._steered else ""
        label = "it is labelled by the world" if self._knows_success else "label it when the outcome is clear"
        if self._run.is_on:
            label += "; the next one starts automatically, and Hold pauses the run"
        return f"{chunks}{steered}; {label}"

    @property
    def _knows_success(self) -> bool:
        seen = self._snapshot.observation if self._snapshot is not None else None
        return seen is not None and seen.success is not None

    @property
    def _load_problem(self) -> str:
        """Why the actor of the present round could not be loaded; empty where it was, or is still to be."""
        unloaded = self._snapshot.unloaded if self._snapshot is not None else None
        if unloaded is None or unloaded is self._retried or unloaded[0] != self._asked_for or self._is_loaded:
            return ""
        return unloaded[1].partition(". ")[0].rstrip(".")

    @property
    def _is_loaded(self) -> bool:
        wanted = self._news.wanted if self._news is not None else None
        return (
            self._snapshot is not None
            and wanted is not None
            and _path(self._snapshot.noise_policy) == _path(wanted.actor)
        )

    def _load_actor(self) -> None:
        """Ask for the actor of the present round, between attempts."""
        wanted = self._news.wanted if self._news is not None else None
        if self._job is None or wanted is None or self._step is Step.OPEN:
            return
        if self._asked_for != _path(wanted.actor):
            self._asked_for = _path(wanted.actor)
            self._send(LoadNoisePolicy(self._asked_for or None))

    def _stop_when_due(self) -> None:
        """Ask the practice to stop unless an attempt is under way or being read."""
        if self._is_stopping and self._step in (Step.NONE, Step.STARTED) and self._job is not None:
            self._job.cancel()


def _path(policy: Path | str | None) -> str:
    """Return the path of a noise policy as the session names it; empty = none."""
    return str(policy) if policy is not None else ""


def _lower(sentence: str) -> str:
    return f"{sentence[0].lower()}{sentence[1:]}"
