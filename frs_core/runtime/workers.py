"""A thread that does jobs in order, and a substitute without a thread that does them at once.

A job is submitted with a ticket; its answer (value or error) is collected later by `poll`, on the caller's thread. The
queue is bounded. Whoever asks decides by ticket whether an answer is still wanted, so a hung job costs a thread, never the
caller. `InlineWorker` has the same interface and runs the job inside `submit`: evaluation and tests use it.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from frs_core.errors import FrsError


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What became of a job."""

    ticket: int
    value: object
    """None when it failed."""
    error: Exception | None
    seconds: float
    """How long the job ran."""


@runtime_checkable
class WorkQueue(Protocol):
    """What the session needs from a worker."""

    def submit(self, ticket: int, job: Callable[[], object]) -> None:
        """Have a job done.

        Raises:
            WorkerBusy: the queue is full.
        """

    def poll(self) -> list[Answer]:
        """Return the answers since the last call; never waits."""
        ...

    def close(self, timeout_s: float = 2.0, *, finishes: bool = False) -> bool:
        """Stop after the present job, or after all that wait; tell whether the thread ended in time."""
        ...


class WorkerBusy(FrsError, RuntimeError):
    """A worker's queue is full: its thread hangs or is too slow."""


def run_job(ticket: int, job: Callable[[], object]) -> Answer:
    """Return the answer of a job done here."""
    started = time.perf_counter()
    try:
        value, error = job(), None
    except Exception as raised:
        # The answer carries the error to the thread that asked, which reports it.
        value, error = None, raised
    return Answer(ticket, value, error, time.perf_counter() - started)


class InlineWorker:
    """Does each job at once, on the caller's thread."""

    def __init__(self) -> None:
        """Start without answers."""
        self._answers: list[Answer] = []

    def submit(self, ticket: int, job: Callable[[], object]) -> None:
        """Do the job."""
        self._answers.append(run_job(ticket, job))

    def poll(self) -> list[Answer]:
        """Return the answers since the last call."""
        answers, self._answers = self._answers, []
        return answers

    def close(self, timeout_s: float = 2.0, *, finishes: bool = False) -> bool:
        """Nothing to stop."""
        return True


class ThreadWorker:
    """Does jobs in order on one daemon thread."""

    def __init__(self, name: str, *, capacity: int = 8, on_answer: Callable[[], None] | None = None) -> None:
        """Start the thread.

        Args:
            name: of the thread.
            capacity: jobs that may wait.
            on_answer: called on the worker's thread after each job, to wake whoever polls.
        """
        self._jobs: queue.Queue[tuple[int, Callable[[], object]] | None] = queue.Queue(capacity)
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._on_answer = on_answer
        self._is_stopping = threading.Event()
        # A daemon, because a job that hangs inside a driver or a GPU call must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, ticket: int, job: Callable[[], object]) -> None:
        """Queue the job."""
        try:
            self._jobs.put_nowait((ticket, job))
        except queue.Full:
            raise WorkerBusy(
                f"The '{self._thread.name}' worker has {self._jobs.qsize()} jobs waiting and finishes none. "
                f"Reconnect, or restart the program."
            ) from None

    def poll(self) -> list[Answer]:
        """Return the answers since the last call."""
        answers: list[Answer] = []
        while not self._answers.empty():
            answers.append(self._answers.get_nowait())
        return answers

    def close(self, timeout_s: float = 2.0, *, finishes: bool = False) -> bool:
        """Stop after the present job; tell whether the thread ended in time.

        Args:
            timeout_s: longest wait.
            finishes: do the jobs that wait first, instead of dropping them.
        """
        if not finishes:
            self._is_stopping.set()
        # With a full queue the thread sees the event before it takes the next job.
        with contextlib.suppress(queue.Full):
            self._jobs.put_nowait(None)
        self._thread.join(timeout_s)
        self._is_stopping.set()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            item = self._jobs.get()
            if item is None or self._is_stopping.is_set():
                return
            self._answers.put(run_job(*item))
            if self._on_answer is not None:
                self._on_answer()
