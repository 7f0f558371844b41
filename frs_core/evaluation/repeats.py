"""Evaluate learned methods over sets of episodes, training seeds and scenes. Runs can be resumed at any point.

Three stages, each a pool of workers that does what is missing: record attempts until every set is full, train every draw of
every method, run an episode per draw, method and scene. Each attempt, training and episode is written to disk when it ends,
so a killed run loses only the unfinished ones.

    <out>/attempts.jsonl                       every attempt at recording, failures included
    <out>/sets/set-001/<task>/steered/         the episodes of set 1
    <out>/learned/set-001/seed-0/<task>/dsbc/  the policy trained on set 1 with seed 0
    <out>/results.jsonl                        every test episode

Example: 4 tasks x 10 sets x 2 seeds make 40 sets, 80 draws per method, and with 10 scenes 800 episodes per method.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frs_core.counts import counted
from frs_core.errors import ConfigError, TrainingError
from frs_core.evaluation.draws import ATTEMPTS, SCENES, Draw, first_attempt
from frs_core.evaluation.methods import Actor, find_method, learns_from
from frs_core.evaluation.pool import Pool, ProcessPool
from frs_core.evaluation.prepare import (
    DEMONSTRATION,
    STEERING,
    is_trained,
    set_store,
    successes_by_scene,
    train_request,
)
from frs_core.evaluation.results import Cell, Result, ResultFile, check_conditions
from frs_core.evaluation.runner import EvalProgress, run_evaluation
from frs_core.evaluation.worker import Work, WorkerJob

TRAINING_LIMIT_S = 3600.0
"""Longest time for one training; offline DSBC recovers noises for minutes."""


@dataclass(frozen=True, slots=True)
class RepeatSpec:
    """Settings of an evaluation over draws."""

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    draws: tuple[Draw, ...]
    scenes: int
    """Per draw."""
    out: Path
    setup: dict[str, Any]
    """Of `SetupSpec.to_json`."""
    max_chunks: int = 40
    perturb_m: float = 0.0
    """Disturbance of the test episodes; sets are collected from the normal start."""
    learners: dict[str, Any] = field(default_factory=dict)
    """Learner id -> settings that differ from the defaults, as plain values."""
    vlm: dict[str, str] = field(default_factory=dict)
    """The model of `frs-vlm` (`WorkerJob.vlm`); empty = none."""

    def __post_init__(self) -> None:
        if not 1 <= self.scenes <= SCENES:
            raise ConfigError(f"{self.scenes} scenes per draw were requested, needs 1 to {SCENES}. Lower --seeds.")
        if not self.learned:
            raise ConfigError(
                f"None of the methods {', '.join(self.methods)} learns, so there is nothing to repeat. Add dsbc, or leave "
                f"--repeats out."
            )
        for demonstrations, episodes in self.needs().items():
            if ATTEMPTS * episodes > SCENES:
                kind = "demonstrations" if demonstrations else "steered episodes"
                raise ConfigError(f"{episodes} {kind} per set were requested, at most {SCENES // ATTEMPTS} fit.")

    @property
    def learned(self) -> tuple[str, ...]:
        """Methods that learn."""
        return tuple(m for m in self.methods if find_method(m).learned)

    @property
    def job(self) -> WorkerJob:
        """Job of the workers that run test episodes."""
        return WorkerJob(
            setup=self.setup,
            tasks=self.tasks,
            has_operator=any(find_method(name).actor is Actor.OPERATOR for name in self.methods),
            rollout={"max_chunks": self.max_chunks, "perturb_m": self.perturb_m},
            learned=str(self.out / "learned"),
            vlm=self.vlm,
        )

    @property
    def recording(self) -> WorkerJob:
        """Job of the workers that record episodes."""
        return WorkerJob(
            self.setup,
            {"max_chunks": self.max_chunks},
            tasks=self.tasks,
            has_operator=False in self.needs(),  # Steered episodes are among those to record.
            work=Work.RECORD,
            sets=str(self.out / "sets"),
        )

    @property
    def training(self) -> WorkerJob:
        """Job of the workers that train."""
        return WorkerJob(
            self.setup,
            tasks=self.tasks,
            learned=str(self.out / "learned"),
            work=Work.TRAIN,
            sets=str(self.out / "sets"),
            learners=self.learners,
        )

    def needs(self) -> dict[bool, int]:
        """Return {whether demonstrations: number of episodes that a set must have}."""
        needs: dict[bool, int] = {}
        for name in self.learned:
            need = learns_from(find_method(name))
            if need is not None:
                needs[need.demonstrations] = max(need.episodes, needs.get(need.demonstrations, 0))
        return needs

    def cells(self) -> list[Cell]:
        """Return all test episodes, ordered by draw and scene, so that all methods run on a scene before the next one."""
        return [
            Cell(method, task, scene, draw.episode_set, draw.train_seed)
            for draw in self.draws
            for scene in draw.scenes(self.scenes)
            for task in self.tasks
            for method in self.methods
        ]

    def trainings(self) -> list[Cell]:
        """Return all trainings, draw by draw."""
        return [
            Cell(method, task, 0, draw.episode_set, draw.train_seed)
            for draw in self.draws
            for task in self.tasks
            for method in self.learned
        ]

    def conditions(self) -> dict[str, Any]:
        """Return the conditions under which results are comparable."""
        return {**self.job.conditions, "draws": {"steered_by": STEERING}}


@dataclass(frozen=True, slots=True)
class Stage:
    """Progress of one stage."""

    name: str
    """'episodes recorded', 'trainings' or 'episodes tested'."""
    done: int
    total: int
    seconds_left: float
    """Estimate for this stage."""
    last: Result | None = None


OnStage = Callable[[Stage], None]


def run_repeats(
    spec: RepeatSpec, *, workers: int = 2, pool: Pool | None = None, on_stage: OnStage = lambda stage: None
) -> list[Result]:
    """Run what is missing and return the results of all test episodes.

    Args:
        spec: what to run.
        workers: processes on this machine.
        pool: used for the test episodes instead of processes; closed at the end.
        on_stage: called after each attempt, training and episode.
    Raises:
        TrainingError: a set cannot be filled, or a draw cannot be trained.
        ConfigError, FingerprintMismatch: `out` holds results of other conditions or of another generalist.
        FrsError: world or policy cannot be loaded.
    """
    try:
        fingerprint = collect_sets(spec, workers=workers, on_stage=on_stage)
        train_draws(spec, fingerprint, workers=workers, on_stage=on_stage)
    except BaseException:
        if pool is not None:
            pool.close()
        raise

    def report(progress: EvalProgress) -> None:
        on_stage(Stage("episodes tested", progress.done, progress.total, progress.seconds_left, progress.last))

    return run_evaluation(spec, spec.out / "results.jsonl", workers=workers, pool=pool, on_progress=report)


@dataclass(slots=True)
class _Set:
    """A set of episodes that is being collected."""

    episode_set: int
    task: str
    demonstrations: bool
    episodes: int
    """Required number."""
    scenes: set[int]
    """Scenes of the successes so far."""

    @property
    def have(self) -> int:
        """Number of successes, at most the required number."""
        return min(len(self.scenes), self.episodes)

    @property
    def is_full(self) -> bool:
        """Whether it has all its episodes."""
        return self.have == self.episodes

    def next_attempt(self, failed: set[Cell]) -> Cell | None:
        """Return the first attempt that was not made yet; None if the set is full.

        Raises:
            TrainingError: too many failed.
        """
        if self.is_full:
            return None
        method = DEMONSTRATION if self.demonstrations else STEERING
        first = first_attempt(self.episode_set, demonstrations=self.demonstrations)
        for scene in range(first, first + ATTEMPTS * self.episodes):
            cell = Cell(method, self.task, scene, self.episode_set)
            if scene not in self.scenes and cell not in failed:
                return cell
        raise TrainingError(
            f"Only {self.have} of {counted(self.episodes, 'success', 'successes')} in set {self.episode_set} of task '{self.task}' after "
            f"{counted(ATTEMPTS * self.episodes, 'attempt')}. Calibrate the plan (`frs policy calibrate`), or choose another task."
        )


def collect_sets(spec: RepeatSpec, *, workers: int, on_stage: OnStage) -> str:
    """Record attempts until every set is full, one at a time per set; return the generalist's fingerprint.

    Raises:
        TrainingError: a set cannot be filled, or an attempt could not be run.
        ConfigError, FingerprintMismatch: the sets were begun under other conditions, or with another generalist.
    """
    sets = [
        _Set(k, task, demonstrations, episodes, _scenes(spec, k, task, demonstrations))
        for k in dict.fromkeys(draw.episode_set for draw in spec.draws)
        for task in spec.tasks
        for demonstrations, episodes in spec.needs().items()
    ]
    path = spec.out / "attempts.jsonl"
    conditions = spec.recording.conditions
    fingerprint = check_conditions(path, conditions)
    if fingerprint and all(s.is_full for s in sets):
        return fingerprint
    pool = ProcessPool(spec.recording, workers=workers)
    try:
        fingerprint = pool.ready().policy_fingerprint
        ledger = ResultFile(path, conditions, fingerprint)
        try:
            _fill(sets, pool, ledger, on_stage)
        finally:
            ledger.close()
    finally:
        pool.close()
    return fingerprint


def _fill(sets: list[_Set], pool: Pool, ledger: ResultFile, on_stage: OnStage) -> None:
    failed = {c for c, result in ledger.results.items() if not (result.success or result.error)}
    by_key = {(s.episode_set, s.task, s.demonstrations): s for s in sets}
    total, began = sum(s.episodes for s in sets), time.monotonic()
    before = sum(s.have for s in sets)
    while attempts := [cell for s in sets if (cell := s.next_attempt(failed)) is not None]:
        for result in pool.run(attempts):
            ledger.add(result)
            _refuse_error(result, f"The attempt at scene {result.seed}")
            own = by_key[result.episode_set, result.task, result.method == DEMONSTRATION]
            if result.success:
                own.scenes.add(result.seed)
            else:
                failed.add(result.cell)
            done = sum(s.have for s in sets)
            pace = (time.monotonic() - began) / max(1, done - before)
            on_stage(Stage("episodes recorded", done, total, pace * (total - done), result))


def train_draws(spec: RepeatSpec, fingerprint: str, *, workers: int, on_stage: OnStage) -> None:
    """Train every draw of every learned method, except those already trained from the same request.

    Raises:
        TrainingError: a draw cannot be trained.
    """
    job, cells = spec.training, spec.trainings()
    missing = [c for c in cells if not is_trained(train_request(job, c, fingerprint))]
    if not missing:
        return
    pool = ProcessPool(job, workers=workers, cell_timeout_s=TRAINING_LIMIT_S)
    began, kept = time.monotonic(), len(cells) - len(missing)
    try:
        for number, result in enumerate(pool.run(missing), start=1):
            _refuse_error(result, f"Training '{result.method}', seed {result.train_seed},")
            left = (time.monotonic() - began) / number * (len(missing) - number)
            on_stage(Stage("trainings", kept + number, len(cells), left, result))
    finally:
        pool.close()


def _refuse_error(result: Result, what: str) -> None:
    if result.error:
        raise TrainingError(
            f"{what} of set {result.episode_set} of task '{result.task}' could not be run: {result.error} "
            f"Fix the cause and run the same command again; finished work is kept."
        )


def _scenes(spec: RepeatSpec, episode_set: int, task: str, demonstrations: bool) -> set[int]:
    return set(successes_by_scene(set_store(spec.recording.sets, episode_set, task, demonstrations=demonstrations)))
