"""Learning by acting: round after round, the learner drives some episodes, sees how they went, and drives a little better.

All episodes of a round are driven by the same actor and learned from in the order of their scenes, so what comes out does not
depend on how many actors drive at a time.

Example: 100 episodes of at most 40 chunks on scenes 40,000 to 40,099 in rounds of 5, after a first guess from ten recorded ones.
Runs in the trainer's process.
"""

import time
from dataclasses import replace

from frs_core.learning.base import Arena, OnlineLearner, Trained
from frs_core.learning.progress import OnProgress, Progress
from frs_core.learning.request import Practice, TrainRequest
from frs_core.learning.table import TrainingTable, join


def practise(
    learner: OnlineLearner,
    arena: Arena,
    request: TrainRequest,
    *,
    prior: TrainingTable | None,
    on_progress: OnProgress,
) -> tuple[Trained, tuple[TrainingTable, ...]]:
    """Return what was learned, and the learner's own episodes.

    Args:
        learner: not begun.
        arena: where it acts; its owner closes it.
        request: settings and practice.
        prior: recorded episodes to start from; None = nothing.
        on_progress: told after each round; False stops and keeps the best so far.
    Raises:
        TrainingError: the loss diverges.
        FrsError: whatever held an episode.
    """
    practice, began = request.practice or Practice(), time.monotonic()
    learner.begin(arena.policy, request.settings, prior=prior)
    episodes: list[TrainingTable] = []
    was_cancelled = False
    while len(episodes) < practice.episodes and not was_cancelled:
        first = practice.first_seed + len(episodes)
        count = min(practice.round_episodes, practice.episodes - len(episodes))
        tables = arena.round(learner.actor(explores=True), range(first, first + count))
        episodes += tables
        loss, done = learner.learn(join(tables)), len(episodes)
        left = (time.monotonic() - began) / done * (practice.episodes - done)
        report = Progress(done, practice.episodes, loss, float("nan"), left, "practising")
        was_cancelled = on_progress(report) is False
    trained = learner.actor(explores=False, name=request.shown_name)
    return replace(trained, was_cancelled=was_cancelled), tuple(episodes)
