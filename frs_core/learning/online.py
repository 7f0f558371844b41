"""Online learning: in every round the learner drives some episodes, and is then updated from them.

All episodes of a round are driven by the same actor and learned from in the order of their scenes, so the result does not
depend on how many actors drive at a time. At intervals the learner is evaluated without exploration on scenes reserved for
that; the best version is the result.

Example: 100 episodes of at most 40 chunks on scenes 40,000 to 40,099 in rounds of 5, after an initial version from ten recorded ones,
evaluated on scenes 60,000 to 60,019 at 0, 50 and 100. Runs in the trainer's process.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from frs_core.errors import FingerprintMismatch
from frs_core.learning.base import Arena, OnlineLearner, Trained
from frs_core.learning.practice_log import Point, PracticeLog
from frs_core.learning.progress import OnProgress, Progress, ignore_progress
from frs_core.learning.request import Practice, TrainRequest
from frs_core.learning.table import TrainingTable, join


@dataclass(frozen=True, slots=True)
class Practised:
    """What a practice left."""

    trained: Trained
    """The last version, not the best."""
    curve: tuple[Point, ...]
    own: tuple[TrainingTable, ...]
    """Its rounds."""
    seconds: float
    """Of all runs together."""


def practise(
    learner: OnlineLearner[Any],
    arena: Arena,
    request: TrainRequest,
    *,
    prior: TrainingTable | None,
    log: PracticeLog,
    on_progress: OnProgress = ignore_progress,
    on_point: Callable[[Point], None] = lambda point: None,
) -> Practised:
    """Return what was learned; what a log holds already is not done again.

    Args:
        learner: not begun.
        arena: where it acts; its owner closes it.
        request: settings and practice.
        prior: recorded episodes to start from; None = nothing.
        log: keeps every episode and, after each round, the learner.
        on_progress: called after each episode; False stops, what was practised stays in the log.
        on_point: called after each look at how well it does.
    Raises:
        TrainingError: the prior is none it can use, the loss diverges, or the disk refused.
        FingerprintMismatch: the prior is of another generalist.
        FrsError: whatever held an episode.
    """
    practice, spec = request.practice or Practice(), arena.policy.spec
    if prior is not None and prior.fingerprint != spec.fingerprint:
        raise FingerprintMismatch(
            f"The episodes were recorded with policy {prior.fingerprint[:12]}, '{spec.name}' is {spec.fingerprint[:12]}. "
            f"Practise with the policy they were recorded with, or record others."
        )
    clock = _Clock(log.seconds, practice)
    learner.begin(arena.policy, request.settings, prior=prior)
    if log.state is not None:
        learner.restore(log.state, log.rounds)
    was_stopped = False
    while True:
        is_over = log.episodes >= practice.episodes or clock.is_over or was_stopped
        if _is_due(log, practice, is_over=is_over) and not was_stopped:
            trained = learner.actor(explores=False, name=request.shown_name)
            point = _judged(arena, trained, log, practice, clock)
            log.keep_version(point, trained, learner.state(), clock.seconds)
            on_point(point)
        if is_over:
            break
        episodes, was_stopped = _drive(learner, arena, log, practice, clock, on_progress)
        if episodes:
            clock.loss = learner.learn(join(episodes))
            log.keep_round(episodes, learner.state(), clock.seconds)
    trained = learner.actor(explores=False, name=request.shown_name)
    return Practised(replace(trained, was_cancelled=was_stopped), log.curve, log.rounds, clock.seconds)


def _drive(
    learner: OnlineLearner[Any],
    arena: Arena,
    log: PracticeLog,
    practice: Practice,
    clock: "_Clock",
    on_progress: OnProgress,
) -> tuple[Sequence[TrainingTable], bool]:
    """Return a round's episodes in the order of their scenes, none where it was stopped in between, and whether it was."""
    first = practice.first_seed + log.episodes
    seeds = range(first, first + min(practice.round_episodes, practice.episodes - log.episodes))
    driven = {seed: table for seed in seeds if (table := log.driven(seed)) is not None}
    missing = [seed for seed in seeds if seed not in driven]
    for seed, table in arena.drive(learner.actor(explores=True), missing) if missing else ():
        log.keep_episode(seed, table)
        driven[seed] = table
        if on_progress(clock.report(log.episodes + len(driven))) is False:
            return [driven[s] for s in seeds] if len(driven) == len(seeds) else (), True
    for seed, table in arena.settled(driven).items():
        if table is not driven[seed]:
            log.keep_episode(seed, table)
            driven[seed] = table
    return [driven[seed] for seed in seeds], False


def _judged(arena: Arena, trained: Trained, log: PracticeLog, practice: Practice, clock: "_Clock") -> Point:
    """Evaluate the learner on the evaluation scenes, if there are any."""
    first, count = practice.first_judged_seed, practice.judged_scenes
    tables = [t for _, t in arena.drive(trained, range(first, first + count))] if count else []
    since = log.curve[-1].episodes if log.curve else 0
    own = [end.succeeded for table in log.rounds for end in table.ends][since:]
    return Point(
        episodes=log.episodes,
        successes=sum(bool(table.terminal.any()) for table in tables),
        scenes=len(tables),
        chunks=sum(table.rows for table in tables) / max(1, len(tables)),
        own_successes=sum(own),
        own_episodes=len(own),
        minutes=clock.seconds / 60.0,
    )


def _is_due(log: PracticeLog, practice: Practice, *, is_over: bool) -> bool:
    """Tell whether the present version is to be judged: at the beginning, every so often, and at the end."""
    if not practice.judge_every or (log.curve and log.curve[-1].episodes == log.episodes):
        return False
    last = log.curve[-1].episodes if log.curve else -practice.judge_every
    return is_over or log.episodes - last >= practice.judge_every


class _Clock:
    """Seconds over all runs, and how many are left."""

    def __init__(self, before: float, practice: Practice) -> None:
        self._before, self._began, self._practice = before, time.monotonic(), practice
        self._first: int | None = None
        self.loss = float("nan")

    @property
    def seconds(self) -> float:
        """Practised so far, former runs included."""
        return self._before + time.monotonic() - self._began

    @property
    def is_over(self) -> bool:
        """No minute is left."""
        return 0.0 < self._practice.minutes * 60.0 <= self.seconds

    def report(self, done: int) -> Progress:
        """Return the progress after a number of episodes."""
        practice = self._practice
        if self._first is None:
            self._first = done - 1
        left = (time.monotonic() - self._began) / (done - self._first) * (practice.episodes - done)
        if practice.minutes:
            left = min(left, practice.minutes * 60.0 - self.seconds)
        return Progress(done, practice.episodes, self.loss, float("nan"), max(0.0, left), "practising")
