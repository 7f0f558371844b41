"""Collect training episodes: steered successes, and demonstrations for the offline variant.

Steering follows the paper's protocol: repeat until N successes are stored, and count the attempts. Failures are kept as failures:
imitation leaves them out, a learner of values learns from them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from frs_core.choosers.base import Chooser
from frs_core.choosers.vlm import VlmChooser
from frs_core.counts import counted
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.records import Recorder
from frs_core.errors import TrainingError
from frs_core.evaluation.demonstrate import record_demonstration
from frs_core.evaluation.methods import find_method
from frs_core.evaluation.rollout import MethodRunner, RolloutSettings
from frs_core.evaluation.setup import Setup
from frs_core.events import Outcome


@dataclass(frozen=True, slots=True)
class Collected:
    """What was collected."""

    names: tuple[str, ...]
    """Names of the stored episodes, in order."""
    seeds: tuple[int, ...]
    """Scene seeds of the successes."""
    attempts: int
    """Number of episodes driven, failures included."""
    seconds: float


OnEpisode = Callable[[int, int, bool], bool | None]
"""Called with (successes so far, attempts so far, whether the last one succeeded); returning False stops."""


def collect_steered(
    setup: Setup,
    store: EpisodeStore,
    *,
    task: str,
    count: int,
    first_seed: int,
    method: str = "frs",
    settings: RolloutSettings | None = None,
    step_images: bool = True,
    most_attempts: int | None = None,
    reasoner: VlmChooser | None = None,
    chooser: Chooser | None = None,
    on_episode: OnEpisode | None = None,
) -> Collected:
    """Drive the scripted operator, a model or another chooser until `count` successes are stored.

    Args:
        setup: world and policy.
        store: where all attempts go.
        task: task name of the world.
        count: number of successes to collect.
        first_seed: seed of the first scene; later attempts count up from it.
        method: how to steer.
        settings: limits.
        step_images: record images of every control step, for review; False records only what learning needs, three times faster.
        most_attempts: give up after this many; None = five per success.
        reasoner: steers in place of the scripted operator; what it recorded of these scenes before counts as driven.
        chooser: steers in place of the scripted operator.
        on_episode: called after each attempt.
    Raises:
        TrainingError: too many attempts failed.
        EpisodeError: the store cannot be written.
        PolicyError: the model gave no pick; the same call resumes.
    """

    driven = _driven(store, task, setup, reasoner) if reasoner else {}

    def drive(recorder: Recorder, seed: int) -> tuple[bool, str]:
        if seed in driven:
            return driven[seed]
        result = runner(recorder).run(task=task, seed=seed)
        return result.success, result.name

    def runner(recorder: Recorder) -> MethodRunner:
        return MethodRunner(
            find_method(method),
            setup,
            settings=settings,
            recorder=recorder,
            step_images=step_images,
            reasoner=reasoner,
            chooser=chooser,
        )

    return _collect(drive, store, task, count, first_seed, most_attempts, on_episode, doing=f"steering ({method})")


def _driven(store: EpisodeStore, task: str, setup: Setup, reasoner: VlmChooser) -> dict[int, tuple[bool, str]]:
    """Return scene -> (success, name) of what a model recorded before."""
    ended = (Outcome.SUCCESS, Outcome.FAILURE)
    own = (task, reasoner.answers.endpoint.name, setup.policy.spec.fingerprint)
    return {
        i.seed: (i.outcome is Outcome.SUCCESS, i.name)
        for i in store.list()
        if (i.task, i.operator, i.fingerprint) == own and i.outcome in ended
    }


def collect_demonstrations(
    setup: Setup,
    store: EpisodeStore,
    *,
    task: str,
    count: int,
    first_seed: int,
    max_steps: int = 320,
    most_attempts: int | None = None,
    on_episode: OnEpisode | None = None,
) -> Collected:
    """Record the world's demonstrator until `count` successes are stored.

    Args:
        setup: world and policy (which sets the size of a chunk).
        store: where successes go.
        task: task name of the world.
        count: number of successes to collect.
        first_seed: seed of the first scene; later attempts count up from it.
        max_steps: control steps before giving up.
        most_attempts: give up after this many; None = five per success.
        on_episode: called after each attempt.
    Raises:
        TrainingError: too many attempts failed.
        ConfigError: the world has no demonstrator.
    """

    def drive(recorder: Recorder, seed: int) -> tuple[bool, str]:
        return record_demonstration(setup, recorder, task=task, seed=seed, max_steps=max_steps)

    return _collect(drive, store, task, count, first_seed, most_attempts, on_episode, doing="demonstrations")


def _collect(
    drive: Callable[[Recorder, int], tuple[bool, str]],
    store: EpisodeStore,
    task: str,
    count: int,
    first_seed: int,
    most_attempts: int | None,
    on_episode: OnEpisode | None,
    *,
    doing: str,
) -> Collected:
    began, most = time.monotonic(), most_attempts or 5 * count
    names: list[str] = []
    seeds: list[int] = []
    attempts = 0
    recorder = JournalRecorder(store)
    try:
        while len(names) < count:
            if attempts == most:
                raise TrainingError(
                    f"Only {len(names)} of {counted(count, 'success', 'successes')} at task '{task}' after {counted(attempts, 'attempt')} by {doing}. "
                    f"The successes are in '{store.root}'. Calibrate the plan (`frs policy calibrate`), or choose another task."
                )
            success, name = drive(recorder, first_seed + attempts)
            attempts += 1
            if success:
                names.append(name)
                seeds.append(first_seed + attempts - 1)
            if on_episode is not None and on_episode(len(names), attempts, success) is False:
                break
    finally:
        recorder.abort()
    return Collected(tuple(names), tuple(seeds), attempts, time.monotonic() - began)


def store_at(root: Path) -> EpisodeStore:
    """Return the episode store in a folder, which is created if needed."""
    root.mkdir(parents=True, exist_ok=True)
    return EpisodeStore(root)
