"""An evaluation worker: owns one world and one policy, runs the episodes it is given. Free of torch until it starts.

Every worker computes on one thread, so that n workers use n cores and results do not depend on how many there are.
"""

import os
import signal
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frs_core.errors import FrsError
from frs_core.evaluation.results import Cell, Result

if TYPE_CHECKING:
    from frs_core.evaluation.rollout import MethodRunner
    from frs_core.evaluation.setup import Bench


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """What every worker of one evaluation needs to know; plain values."""

    setup: dict[str, Any]
    """Arguments of SetupSpec."""
    rollout: dict[str, Any] = field(default_factory=dict)
    """Arguments of RolloutSettings."""
    learned: str = ""
    """Root of trained policies."""
    films: str = ""
    """Folder for films of the episodes; empty = none."""
    film_seeds: tuple[int, ...] | None = None
    """Scenes that are filmed; None = all."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker can take episodes."""

    policy_fingerprint: str


class Runner:
    """Runs cells one after the other in the present process."""

    def __init__(self, job: WorkerJob) -> None:
        """Load world and policy.

        Raises:
            FrsError: they cannot be loaded or do not fit.
        """
        import torch

        from frs_core.evaluation.rollout import RolloutSettings
        from frs_core.evaluation.setup import SetupSpec, open_bench

        torch.set_num_threads(1)
        self._job = job
        self._bench: Bench = open_bench(SetupSpec(**job.setup))
        self._settings = RolloutSettings(**job.rollout)
        self._methods: dict[tuple[str, str], tuple[MethodRunner, str]] = {}
        self.ready = Ready(self._bench.policy.spec.fingerprint)

    def facts(self) -> Ready:
        """Return what this worker loaded."""
        return self.ready

    def run(self, cell: Cell) -> Result:
        """Return how one episode went; what goes wrong in it becomes a result with an error."""
        from frs_core.evaluation.rollout import steered_chunks

        try:
            runner, trained = self._runner(cell)
            film = self._film(cell)
            outcome = runner.run(task=cell.task, seed=cell.seed, show=film.add if film else None)
            if film:
                film.close()
        except FrsError as error:
            return Result(cell.method, cell.task, cell.seed, False, error=str(error))
        except Exception as error:
            where = traceback.format_exc(limit=-2).replace("\n", " | ")
            return Result(cell.method, cell.task, cell.seed, False, error=f"{type(error).__name__}: {error} | {where}")
        return Result(
            cell.method,
            cell.task,
            cell.seed,
            outcome.success,
            steps=outcome.steps,
            chunks=outcome.chunks,
            steered_chunks=steered_chunks(outcome),
            seconds=round(outcome.seconds, 3),
            trained=trained,
        )

    def close(self) -> None:
        """Free world and policy."""
        self._bench.close()

    def _runner(self, cell: Cell) -> "tuple[MethodRunner, str]":
        from frs_core.evaluation.methods import find_method
        from frs_core.evaluation.rollout import MethodRunner
        from frs_core.evaluation.trained import trained_hash, trained_path

        key = (cell.method, cell.task)
        if key not in self._methods:
            method = find_method(cell.method)
            folder = trained_path(method, self._job.learned, cell.task)
            runner = MethodRunner(method, self._bench, learned=folder, settings=self._settings)
            self._methods[key] = (runner, trained_hash(folder))
        return self._methods[key]

    def _film(self, cell: Cell) -> "Any":
        job = self._job
        if not job.films or (job.film_seeds is not None and cell.seed not in job.film_seeds):
            return None
        from frs_core.evaluation.film import Film

        name = f"{cell.task}_{cell.method}_{cell.seed}.mp4".replace("/", "-")
        cameras = self._bench.world.spec.cameras
        return Film(Path(self._job.films) / name, cameras, fps=self._bench.world.spec.control_hz / 2)


def serve(job: WorkerJob, connection: Connection) -> None:
    """Run cells from a pipe until told to stop (None) or the pipe closes; runs in the worker's process."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Ctrl+C in a terminal reaches the whole group; the owner ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        runner = Runner(job)
    except FrsError as error:
        connection.send(error)
        return
    connection.send(runner.ready)
    try:
        while (cell := connection.recv()) is not None:
            connection.send(runner.run(cell))
    except (EOFError, BrokenPipeError):
        return
    finally:
        runner.close()
