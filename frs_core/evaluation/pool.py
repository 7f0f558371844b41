"""Run cells in parallel with a pool of spawned processes on this machine; `ray_pool` does the same on a cluster.

Each worker gets one cell at a time over its own pipe. A worker that dies or exceeds the time limit of a cell is replaced; its
cell is retried once, then reported as an error. Every wait has a time limit.
"""

import multiprocessing
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol, runtime_checkable

from frs_core.errors import FrsError, PolicyTimeout, WorldError
from frs_core.evaluation.results import Cell, Result
from frs_core.evaluation.serve import serve
from frs_core.evaluation.worker import Ready, WorkerJob

NEAR = 100
"""Cells, from the front of the queue, among which a worker looks for one of the task it ran last."""


def take_near(waiting: deque[Cell], last: Cell | None) -> Cell:
    """Take the cell that a worker runs next out of a queue that is not empty.

    That is the first of the nearest cells with the task and draw of the worker's last one, else the first of all: another task costs
    LIBERO five times the next state of the same one, and the bound keeps an evaluation that is still running balanced over tasks.

    Args:
        waiting: cells in the order of the evaluation.
        last: what the worker ran before; None = nothing.
    """
    near = (i for i, c in enumerate(islice(waiting, NEAR)) if last and (c.task, c.draw) == (last.task, last.draw))
    index = next(near, 0)
    cell = waiting[index]
    del waiting[index]
    return cell


@runtime_checkable
class Pool(Protocol):
    """Something that runs cells, in any order; their results do not depend on it."""

    def ready(self) -> Ready:
        """Return the facts of the first worker that has started. Raises if it cannot start."""
        ...

    def run(self, cells: Iterable[Cell]) -> Iterator[Result]:
        """Yield a result per cell, in order of completion."""
        ...

    def close(self) -> None:
        """End all workers; safe to call twice."""
        ...


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    is_ready: bool = False
    cell: Cell | None = None
    last: Cell | None = None
    deadline: float = field(default=float("inf"))


class ProcessPool:
    """Workers on this machine."""

    def __init__(
        self, job: WorkerJob, *, workers: int, start_timeout_s: float = 180.0, cell_timeout_s: float = 600.0
    ) -> None:
        """Start the workers.

        Args:
            job: what each of them loads.
            workers: how many; one core each.
            start_timeout_s: longest time to load.
            cell_timeout_s: longest time for one episode.
        """
        self._job, self._start_timeout_s, self._cell_timeout_s = job, start_timeout_s, cell_timeout_s
        self._context = multiprocessing.get_context("spawn")
        self._workers = [self._spawn() for _ in range(max(1, workers))]
        self._facts: Ready | None = None

    def ready(self) -> Ready:
        """Return the facts of the first worker that has started.

        Raises:
            FrsError: world or policy cannot be loaded.
        """
        while self._facts is None:
            self._listen()
        return self._facts

    def run(self, cells: Iterable[Cell]) -> Iterator[Result]:
        """Yield a result per cell, in order of completion."""
        waiting = deque(cells)
        tries: dict[Cell, int] = {}
        while waiting or any(w.cell for w in self._workers):
            for worker in self._workers:
                if waiting and worker.is_ready and worker.cell is None:
                    self._give(worker, take_near(waiting, worker.last), tries)
            finished, lost = self._listen()
            yield from finished
            for cell, why in lost:
                if tries[cell] < 2:
                    waiting.append(cell)
                else:
                    yield Result.failed(cell, why)

    def close(self) -> None:
        """End all workers; safe to call twice."""
        for worker in self._workers:
            if worker.process.is_alive() and worker.cell is None and worker.is_ready:
                try:
                    worker.connection.send(None)
                except OSError:
                    continue
        until = time.monotonic() + 5.0
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()) if worker.is_ready and not worker.cell else 0.0)
            self._end(worker)
        self._workers = []

    def _spawn(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(self._job, theirs), name="frs-evaluation", daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours, deadline=time.monotonic() + self._start_timeout_s)

    def _give(self, worker: _Worker, cell: Cell, tries: dict[Cell, int]) -> None:
        tries[cell] = tries.get(cell, 0) + 1
        worker.cell, worker.last, worker.deadline = cell, cell, time.monotonic() + self._cell_timeout_s
        try:
            worker.connection.send(cell)
        except OSError:
            worker.deadline = 0.0

    def _listen(self) -> tuple[list[Result], list[tuple[Cell, str]]]:
        """Wait up to a second, then return finished results, and lost cells with the reason."""
        finished: list[Result] = []
        lost: list[tuple[Cell, str]] = []
        by_connection = {w.connection: w for w in self._workers}
        for connection in wait(list(by_connection), timeout=1.0):
            worker = by_connection[connection]  # pyright: ignore[reportArgumentType]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                worker.process.join(3.0)  # Its end is known a moment later than the pipe's.
                lost += self._replace(worker, "The evaluation worker died")
                continue
            if isinstance(message, FrsError):
                raise message
            if isinstance(message, Ready):
                worker.is_ready, worker.deadline, self._facts = True, float("inf"), self._facts or message
            else:
                worker.cell, worker.deadline = None, float("inf")
                finished.append(message)
        for worker in list(self._workers):
            if time.monotonic() > worker.deadline:
                lost += self._replace(worker, f"The episode took longer than {self._cell_timeout_s:g} s")
        return finished, lost

    def _replace(self, worker: _Worker, why: str) -> list[tuple[Cell, str]]:
        """Replace a broken worker by a new one; return its cell with the reason."""
        was_ready, code = worker.is_ready, worker.process.exitcode
        self._end(worker)
        if not was_ready:
            if code is None:
                raise PolicyTimeout(
                    f"An evaluation worker was not ready after {self._start_timeout_s:g} s. Use fewer workers, or raise the limit."
                )
            raise WorldError(
                f"An evaluation worker exited while loading (exit code {code}). Try with one worker and read its output."
            )
        self._workers[self._workers.index(worker)] = self._spawn()
        return [(worker.cell, why)] if worker.cell else []

    @staticmethod
    def _end(worker: _Worker) -> None:
        if worker.process.is_alive():
            worker.process.terminate()
            worker.process.join(3.0)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join(3.0)
        worker.connection.close()
