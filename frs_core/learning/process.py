"""Train in a process of its own, so that neither the fan nor the picture stutters.

The owner starts a `TrainJob`, asks it now and then (`poll`, from a timer) or waits, and may cancel, which keeps the best
weights so far. The job ends on its own time limit: first it is asked to stop, then ended by force. Talk goes through one
bounded queue; a report that finds it full is dropped, the result never is.

Example: `job = TrainJob(request); job.start()`, then every 100 ms `for report in job.poll(): draw(report)`.
This module runs on the owner's thread and never imports torch; `_child` runs in the trainer's process.
"""

import contextlib
import enum
import multiprocessing
import os
import queue
import signal
import time
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

from frs_core.errors import FrsError, TrainingError
from frs_core.learning.progress import Progress, TrainResult
from frs_core.learning.request import TrainRequest

QUEUE_SIZE = 256
GRACE_S = 10.0
"""How long a job past its limit, or cancelled, may take to keep its best weights. Guess; a save takes 0.1 s."""


class JobState(enum.Enum):
    """Where a job stands."""

    NEW = "new"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class TrainJob:
    """One training in one process."""

    def __init__(self, request: TrainRequest, *, timeout_s: float = 900.0) -> None:
        """Prepare a job; nothing runs yet.

        Args:
            request: what to train.
            timeout_s: after this it is told to stop and keep the best.
        """
        self.request = request
        self.state = JobState.NEW
        self.result: TrainResult | None = None
        self.error: FrsError | None = None
        context = multiprocessing.get_context("spawn")
        self._queue = context.Queue(QUEUE_SIZE)
        self._cancel = context.Event()
        self._process: BaseProcess = context.Process(
            target=_child, args=(request, self._queue, self._cancel), name="frs-trainer", daemon=True
        )
        self._timeout_s = timeout_s
        self._deadline = float("inf")
        self._stop_by = float("inf")

    def start(self) -> None:
        """Start the process."""
        self._process.start()
        self.state = JobState.RUNNING
        self._deadline = time.monotonic() + self._timeout_s

    def cancel(self) -> None:
        """Ask it to stop and save the best so far; the result still arrives through `poll`."""
        self._cancel.set()
        self._stop_by = min(self._stop_by, time.monotonic() + GRACE_S)

    def poll(self) -> tuple[Progress, ...]:
        """Return the reports since the last call, without waiting; `state`, `result` and `error` are up to date after."""
        reports: list[Progress] = []
        while self.state is JobState.RUNNING:
            self._check_time()
            try:
                message = self._queue.get_nowait()
            except queue.Empty:
                self._check_alive()
                break
            if isinstance(message, Progress):
                reports.append(message)
            else:
                self._finish(message)
        return tuple(reports)

    def wait(self, timeout_s: float | None = None) -> TrainResult:
        """Return the result when it is there.

        Args:
            timeout_s: most time to wait here; None = until the job's own limit.
        Raises:
            TrainingError: still running after `timeout_s`, or the job failed (its own error is raised as it was).
        """
        until = time.monotonic() + (timeout_s if timeout_s is not None else self._timeout_s + 2 * GRACE_S)
        while self.state is JobState.RUNNING and time.monotonic() < until:
            self._check_time()
            try:
                message = self._queue.get(timeout=0.2)
            except queue.Empty:
                self._check_alive()
                continue
            if not isinstance(message, Progress):
                self._finish(message)
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise TrainingError(
                f"Training '{self.request.shown_name}' is {self.state.value} after {timeout_s} s. Start it, wait longer, or cancel."
            )
        return self.result

    def close(self) -> None:
        """End the process if it still runs, and free the queue; safe to call twice."""
        if self._process.pid is not None and self._process.is_alive():
            self._process.terminate()
        if self._process.pid is not None:
            self._process.join(5.0)
        if self.state is JobState.RUNNING:
            self._fail("was closed before it ended")
        self._queue.close()
        self._queue.cancel_join_thread()

    def _finish(self, message: TrainResult | FrsError) -> None:
        if isinstance(message, TrainResult):
            self.state, self.result, self.error = JobState.DONE, message, None
        else:
            self.state, self.error = JobState.FAILED, message
        self._process.join(GRACE_S)

    def _fail(self, what: str) -> None:
        self.state = JobState.FAILED
        self.error = TrainingError(f"Training '{self.request.shown_name}' {what}. Nothing was saved; start it again.")

    def _check_time(self) -> None:
        """Ask a job past its limit to stop; end one that was asked and did not."""
        now = time.monotonic()
        if now > self._deadline and self._stop_by == float("inf"):
            self.cancel()
        if now > self._stop_by and self._process.is_alive():
            self._process.terminate()
            self._process.join(5.0)
            self._fail(f"did not stop within {GRACE_S:g} s of being asked to and was ended")

    def _check_alive(self) -> None:
        """Hear the last words of a process that has ended."""
        if self.state is not JobState.RUNNING or self._process.is_alive():
            return
        # The last message may still be on its way out of the pipe.
        with contextlib.suppress(queue.Empty):
            message = self._queue.get(timeout=1.0)
            while isinstance(message, Progress):
                message = self._queue.get(timeout=1.0)
            self._finish(message)
            return
        self._fail(f"ended without a word (exit code {self._process.exitcode})")


def _child(request: TrainRequest, messages: "Queue[Progress | TrainResult | FrsError]", cancel: Event) -> None:
    """Run one request and tell how it went."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Ctrl+C in a terminal reaches the whole group; stopping is the owner's decision (it cancels and keeps the best).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from frs_core.learning.run import run_request

    def on_progress(progress: Progress) -> bool:
        with contextlib.suppress(queue.Full):
            messages.put_nowait(progress)
        return not cancel.is_set()

    try:
        outcome: TrainResult | FrsError = run_request(request, on_progress)
    except FrsError as error:
        outcome = error
    except Exception as error:
        outcome = TrainingError(f"Training failed: {type(error).__name__}: {error}. This is a bug; please report it.")
    messages.put(outcome, timeout=GRACE_S)
