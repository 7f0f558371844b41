"""Learned methods judged over what a lab cannot choose: sets of episodes x training seeds x scenes, resumable throughout.

Three stages, each a pool of workers that does what is missing: attempts until every set is full, a training per draw and
method, an episode per draw, method and scene. Every attempt, training and episode is on disk when it ends, so a run that is
killed loses what its workers were at and nothing else.

    <out>/attempts.jsonl                       every attempt at recording, failures included
    <out>/sets/set-001/<task>/steered/         the episodes of set 1
    <out>/learned/set-001/seed-0/<task>/dsbc/  what training seed 0 made of it
    <out>/results.jsonl                        every judged episode

Example: 4 tasks x 10 sets x 2 seeds are 40 sets, 80 draws per method, and with 10 scenes 800 episodes per method.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frs_core.errors import ConfigError, TrainingError
from frs_core.evaluation.draws import ATTEMPTS, SCENES, Draw, first_attempt
from frs_core.evaluation.methods import find_method, learns_from
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
    """What to compare, over which draws."""

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    draws: tuple[Draw, ...]
    scenes: int
    """Per draw."""
    out: Path
    setup: dict[str, Any]
    """Arguments of SetupSpec."""
    max_chunks: int = 40
    perturb_m: float = 0.0
    """Of the judged episodes; sets are collected from the usual start."""
    learners: dict[str, Any] = field(default_factory=dict)
    """Settings of the learners that are not the default, by learner, as plain values."""

    def __post_init__(self) -> None:
        if not 1 <= self.scenes <= SCENES:
            raise ConfigError(f"{self.scenes} scenes per draw were asked for, needs 1 to {SCENES}. Lower --seeds.")
        if not self.learned:
            raise ConfigError(
                f"Nothing is learned by {', '.join(self.methods)}, so there is nothing to repeat. Add dsbc, or leave "
                f"--repeats out."
            )
        for demonstrations, episodes in self.needs().items():
            if ATTEMPTS * episodes > SCENES:
                kind = "demonstrations" if demonstrations else "steered episodes"
                raise ConfigError(f"{episodes} {kind} per set were asked for, at most {SCENES // ATTEMPTS} fit.")

    @property
    def learned(self) -> tuple[str, ...]:
        """Methods that learn."""
        return tuple(m for m in self.methods if find_method(m).learned)

    @property
    def job(self) -> WorkerJob:
        """What judging workers need."""
        return WorkerJob(
            setup=self.setup,
            rollout={"max_chunks": self.max_chunks, "perturb_m": self.perturb_m},
            learned=str(self.out / "learned"),
        )

    @property
    def recording(self) -> WorkerJob:
        """What recording workers need."""
        return WorkerJob(self.setup, {"max_chunks": self.max_chunks}, work=Work.RECORD, sets=str(self.out / "sets"))

    @property
    def training(self) -> WorkerJob:
        """What training workers need."""
        return WorkerJob(
            self.setup,
            learned=str(self.out / "learned"),
            work=Work.TRAIN,
            sets=str(self.out / "sets"),
            learners=self.learners,
        )

    def needs(self) -> dict[bool, int]:
        """Return the episodes a set must have, by whether they are demonstrations."""
        needs: dict[bool, int] = {}
        for name in self.learned:
            need = learns_from(find_method(name))
            if need is not None:
                needs[need.demonstrations] = max(need.episodes, needs.get(need.demonstrations, 0))
        return needs

    def cells(self) -> list[Cell]:
        """Return all judged episodes: draw by draw, scene by scene, so that methods meet the same ones side by side."""
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
        """Return what must be equal for results to be comparable."""
        return {"setup": self.setup, "rollout": self.job.rollout, "draws": {"steered_by": STEERING}}


@dataclass(frozen=True, slots=True)
class Stage:
    """How far one stage is."""

    name: str
    """'episodes recorded', 'trainings' or 'episodes judged'."""
    done: int
    total: int
    seconds_left: float
    """Of this stage, by its pace so far."""
    last: Result | None = None


OnStage = Callable[[Stage], None]


def run_repeats(
    spec: RepeatSpec, *, workers: int = 2, pool: Pool | None = None, on_stage: OnStage = lambda stage: None
) -> list[Result]:
    """Return the results of all judged episodes; what was done before is not done again.

    Args:
        spec: what to run.
        workers: processes on this machine.
        pool: another way to judge episodes; closed at the end.
        on_stage: told after each attempt, training and episode.
    Raises:
        TrainingError: a set that cannot be filled, or a draw that cannot be trained.
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

    def told(progress: EvalProgress) -> None:
        on_stage(Stage("episodes judged", progress.done, progress.total, progress.seconds_left, progress.last))

    return run_evaluation(spec, spec.out / "results.jsonl", workers=workers, pool=pool, on_progress=told)


@dataclass(slots=True)
class _Set:
    """A set of episodes in the making."""

    episode_set: int
    task: str
    demonstrations: bool
    episodes: int
    """Wanted."""
    scenes: set[int]
    """Of the successes so far."""

    @property
    def have(self) -> int:
        """Successes that count."""
        return min(len(self.scenes), self.episodes)

    @property
    def is_full(self) -> bool:
        """Whether nothing is left to do."""
        return self.have == self.episodes

    def next_attempt(self, failed: set[Cell]) -> Cell | None:
        """Return the first attempt that was neither a success nor a failure so far; None when the set is full.

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
            f"Only {self.have} of {self.episodes} successes in set {self.episode_set} of task '{self.task}' after "
            f"{ATTEMPTS * self.episodes} attempts. Calibrate the plan (`frs policy calibrate`), or choose another task."
        )


def collect_sets(spec: RepeatSpec, *, workers: int, on_stage: OnStage) -> str:
    """Record attempts until every set is full, one at a time per set, and return the generalist's fingerprint.

    Raises:
        TrainingError: a set that cannot be filled, or an attempt that could not be run.
        ConfigError, FingerprintMismatch: the sets were begun under other conditions, or with another generalist.
    """
    sets = [
        _Set(k, task, demonstrations, episodes, _scenes(spec, k, task, demonstrations))
        for k in dict.fromkeys(draw.episode_set for draw in spec.draws)
        for task in spec.tasks
        for demonstrations, episodes in spec.needs().items()
    ]
    path = spec.out / "attempts.jsonl"
    conditions = {"setup": spec.setup, "rollout": spec.recording.rollout}
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
    """Train every draw of every learned method that is not there yet, or was made from something else.

    Raises:
        TrainingError: a draw that cannot be trained.
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
            f"Mend that and run the same command again; what is done is kept."
        )


def _scenes(spec: RepeatSpec, episode_set: int, task: str, demonstrations: bool) -> set[int]:
    return set(successes_by_scene(set_store(spec.recording.sets, episode_set, task, demonstrations=demonstrations)))
