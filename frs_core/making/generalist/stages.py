"""Shared by the stages that make the generalist: progress reports, and work in parallel processes that write files."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from frs_core.errors import TrainingError
from frs_core.runtime.owner import owned


@dataclass(frozen=True, slots=True)
class Log:
    """One line of progress."""

    stage: str
    step: int
    """Training steps, or files of a stage that collects."""
    steps: int
    losses: dict[str, float]
    """Means since the last line; empty for stages that collect."""
    seconds_left: float
    """Of this stage, at the pace so far."""


OnLog = Callable[[Log], None]


def in_parallel(
    work: Callable[..., None],
    jobs: Sequence[tuple[object, ...]],
    *,
    stage: str,
    files: list[Path],
    on_log: OnLog,
) -> None:
    """Run one process per job, unless all files are there, and wait for all; they end with this one.

    Args:
        work: a module's function.
        jobs: arguments of each process.
        stage: for progress and the error.
        files: those that the jobs write.
        on_log: called when files are finished.
    Raises:
        TrainingError: a process failed; what it finished is kept.
    """
    first = seen = sum(f.exists() for f in files)
    if first == len(files):
        return
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=owned, args=(work, *job)) for job in jobs]
    for p in processes:
        p.start()
    while alive := [p.sentinel for p in processes if p.is_alive()]:
        wait(alive, timeout=1.0)
        done = sum(f.exists() for f in files)
        if done > seen:
            seen = done
            pace = (time.monotonic() - began) / (done - first)
            on_log(Log(stage, done, len(files), {}, pace * (len(files) - done)))
    if any(p.exitcode for p in processes):
        raise TrainingError(
            f"A process that makes {stage} stopped with codes {[p.exitcode for p in processes]}, expected 0. "
            f"Its error is above; finished files are kept, so run the command again."
        )
