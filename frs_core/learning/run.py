"""Load, train, save: one request from start to finish, in whatever process it is called."""

import time
from dataclasses import replace
from typing import Any

from frs_core.learning.advice import advise
from frs_core.learning.base import Acts, Need, OnlineLearner, Trained
from frs_core.learning.doubts import measure
from frs_core.learning.gate import gated
from frs_core.learning.online import practise
from frs_core.learning.practice_log import PracticeLog
from frs_core.learning.progress import OnProgress, Progress, TrainResult, ignore_progress
from frs_core.learning.registry import find_learner
from frs_core.learning.request import Practice, TrainRequest
from frs_core.learning.sources import find_arena, find_source
from frs_core.learning.table import TrainingTable


def run_request(request: TrainRequest, on_progress: OnProgress = ignore_progress) -> TrainResult:
    """Return the result of a training; its policy is saved at `request.out`.

    Args:
        request: what to train.
        on_progress: called as it goes; False stops and keeps the best so far.
    Raises:
        TrainingError, ConfigError, FingerprintMismatch, EpisodeError: what was got, what was expected, and the fix.
    """
    began = time.monotonic()
    nan = float("nan")
    row = find_learner(request.kind)
    request = replace(request, settings=row.checked(request.settings))
    on_progress(Progress(0, 1, nan, nan, nan, "loading"))
    learner = row.load()
    is_practising = isinstance(learner, OnlineLearner) and request.practice is not None
    if isinstance(learner, OnlineLearner) and is_practising:
        trained, tables = _practised(learner, request, on_progress)
    else:
        table = find_source(request.source)(request, on_progress)
        trained = learner.train(table, request.settings, name=request.shown_name, on_progress=on_progress)
        tables = (table,)
        if row.acts is Acts.NOISE:
            trained = replace(trained, doubts=measure(table, spread=trained.spread))
    verdict = None
    if request.gate is not None:
        trained, verdict = gated(learner, tables[0], request.settings, trained, request.gate, on_progress=on_progress)
    is_kept = verdict is None or verdict.is_used
    path = trained.save(request.out, overwrite=request.overwrite) if is_kept else request.out
    return TrainResult(
        path=path,
        kind=request.kind,
        name=request.shown_name,
        scores=trained.scores,
        steps=trained.steps,
        seconds=time.monotonic() - began,
        chunks=sum(table.rows for table in tables),
        episodes=sum(len(set(table.episode.tolist())) for table in tables),
        was_cancelled=trained.was_cancelled,
        verdict=verdict,
        notes=() if is_practising else _notes(tables[0], imitates=Need.REWARDS not in row.needs),
    )


def _practised(
    learner: OnlineLearner[Any], request: TrainRequest, on_progress: OnProgress
) -> tuple[Trained, tuple[TrainingTable, ...]]:
    """Return what an online learner learned, and every episode it was learned from; kept in memory only."""
    practice = request.practice or Practice()
    has_prior = practice.prior and learner.spec.starts_from_recordings
    prior = find_source(request.source)(request, on_progress) if has_prior else None
    arena = find_arena(request.arena)(request)
    try:
        log = PracticeLog(None, request, prior)
        practised = practise(learner, arena, request, prior=prior, log=log, on_progress=on_progress)
    finally:
        arena.close()
    best = None if log.best is None or practised.trained.was_cancelled else log.version(log.best)
    trained = best if isinstance(best, Trained) else practised.trained
    return trained, practised.own if prior is None else (prior, *practised.own)


def _notes(table: TrainingTable, *, imitates: bool) -> tuple[str, ...]:
    notes: list[str] = []
    episodes = len(set(table.episode.tolist()))
    if episodes < 3:
        notes.append(
            f"Only {episodes} episode(s): none could be held out, so it is not known when learning turns to remembering"
        )
    labels = table.provenance.get("labels")
    if isinstance(labels, dict) and labels["kept"] < labels["chunks"]:
        dropped = labels["chunks"] - labels["kept"]
        notes.append(
            f"{dropped} of {labels['chunks']} demonstrated chunks were dropped: the policy cannot regenerate them"
        )
    if table.deferred_share > 0.7:
        notes.append(
            f"{table.deferred_share:.0%} of the chunks were left to the policy, so there is little steering to learn"
        )
    # The advice is about episodes that shall be imitated; failures among them would be called odd.
    return (*notes, *(advise(table).sentences if imitates else ()))
