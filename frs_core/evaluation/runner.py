"""Run an evaluation: methods x tasks x seeds, in parallel and resumable.

The seed is the outermost loop, so that an interrupted run has covered all methods and tasks about equally. A cell with a
result in the file (without an error, and of the same trained policy) is not run again.

Example: 11 methods x 6 tasks x 50 seeds are 3300 cells; at 4 s each and 2 workers, 1.8 hours.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from frs_core.errors import ConfigError, WeightsMissing
from frs_core.evaluation.draws import Draw
from frs_core.evaluation.methods import Actor, find_method
from frs_core.evaluation.pool import Pool, ProcessPool
from frs_core.evaluation.results import Cell, Result, ResultFile
from frs_core.evaluation.trained import trained_hash, trained_path
from frs_core.evaluation.worker import WorkerJob


@runtime_checkable
class Evaluation(Protocol):
    """The episodes to run and their conditions."""

    @property
    def job(self) -> WorkerJob:
        """World, policy, limits, trained policies."""
        ...

    def cells(self) -> list[Cell]:
        """Return all episodes, in the order they are run."""
        ...

    def conditions(self) -> dict[str, Any]:
        """Return the conditions under which results are comparable."""
        ...


@dataclass(frozen=True, slots=True)
class EvalSpec:
    """Methods, tasks and seeds to compare."""

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    job: WorkerJob
    """World, policy, limits, trained policies; its `tasks` become those above."""

    def __post_init__(self) -> None:
        """Let no worker start whose world lacks a task, or the operator that a method needs."""
        steered = any(find_method(name).actor is Actor.OPERATOR for name in self.methods)
        object.__setattr__(self, "job", replace(self.job, tasks=self.tasks, has_operator=steered))

    def cells(self) -> list[Cell]:
        """Return all episodes, seed outermost."""
        return [Cell(m, t, s) for s in self.seeds for t in self.tasks for m in self.methods]

    def conditions(self) -> dict[str, Any]:
        """Return the conditions under which results are comparable."""
        return self.job.conditions


@dataclass(frozen=True, slots=True)
class EvalProgress:
    """Progress of an evaluation."""

    done: int
    total: int
    reused: int
    """How many of `done` were already in the file."""
    seconds_left: float
    last: Result | None


def run_evaluation(
    spec: Evaluation,
    out: Path,
    *,
    workers: int = 1,
    pool: Pool | None = None,
    on_progress: Callable[[EvalProgress], bool | None] | None = None,
) -> list[Result]:
    """Run the missing cells and return all results, in the order of the spec.

    Args:
        spec: what to run.
        out: result file (JSONL); started or resumed.
        workers: processes on this machine, when no pool is given.
        pool: used instead of processes; closed at the end.
        on_progress: called after each cell; returning False stops (finished results stay in the file).
    Raises:
        ConfigError: unknown method or task, or the file was made under other conditions, or with another vision-language model.
        WeightsMissing: the trained policy of a method is missing.
        FingerprintMismatch: the file was made with another generalist.
        FrsError: world or policy cannot be loaded.
    """
    cells = spec.cells()
    for name in dict.fromkeys(cell.method for cell in cells):
        find_method(name)
    pool = pool or ProcessPool(spec.job, workers=workers, cell_timeout_s=cell_timeout_s(spec.job))
    try:
        # First: an unknown task has no trained policy either, and training one would not help.
        fingerprint = pool.ready().policy_fingerprint
        trained = _trained(cells, spec.job.learned)
        file = ResultFile(out, spec.conditions(), fingerprint)
        try:
            _refuse_other_model(cells, file, spec.job)
            missing = [c for c in cells if not _is_done(file.results.get(c), trained[c.method, c.task, c.draw])]
            reused, began = len(cells) - len(missing), time.monotonic()
            for number, result in enumerate(pool.run(missing), start=1):
                file.add(result)
                left = (time.monotonic() - began) / number * (len(missing) - number)
                report = EvalProgress(reused + number, len(cells), reused, left, result)
                if on_progress is not None and on_progress(report) is False:
                    break
            return [file.results[c] for c in cells if c in file.results]
        finally:
            file.close()
    finally:
        pool.close()


def cell_timeout_s(job: WorkerJob) -> float:
    """Return the longest time for one episode, seconds: ten minutes, and what a model may take for its picks."""
    model = job.reasoner()
    picking = 0.0 if model is None else float(job.rollout.get("max_chunks", 40)) * model.answers.longest_wait_s
    return 600.0 + picking


def _refuse_other_model(cells: list[Cell], file: ResultFile, job: WorkerJob) -> None:
    """Raise ConfigError where a file has results of a method with another model than it is to resume with."""
    model = job.reasoner()
    if model is None:
        return
    ours, methods = model.answers.endpoint.name, {c.method for c in cells}
    for found in file.results.values():
        if found.method in methods and found.spent is not None and found.spent.model != ours:
            raise ConfigError(
                f"'{file.path}' holds results of '{found.method}' with {found.spent.model}, this one is {ours}. Choose another --out."
            )


def _trained(cells: list[Cell], learned: str) -> dict[tuple[str, str, Draw], str]:
    """Return (method, task, draw) -> hash of the trained policy; empty for methods without learning."""
    hashes: dict[tuple[str, str, Draw], str] = {}
    for name, task, draw in dict.fromkeys((c.method, c.task, c.draw) for c in cells):
        folder = trained_path(find_method(name), learned, task, draw)
        hashes[name, task, draw] = trained_hash(folder)
        if folder is not None and not hashes[name, task, draw]:
            raise WeightsMissing(
                f"Method '{name}' has no trained policy for task '{task}': nothing at '{folder}'. Train it, or leave "
                f"the method out."
            )
    return hashes


def _is_done(result: Result | None, trained: str) -> bool:
    return result is not None and not result.error and result.trained == trained
