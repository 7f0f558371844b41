"""Train in a process of its own, so that neither the fan nor the cameras stutter.

The owner starts a `TrainJob`, asks it now and then (`poll`, from a timer) or waits, and may cancel, which keeps the best
weights so far. The job ends on its own time limit: first it is asked to stop, then ended by force. Talk goes through one
bounded queue; a report that finds it full is dropped, the result never is.

Example: `job = TrainJob(request); job.start()`, then every 100 ms `for report in job.poll(): draw(report)`.
This module runs on the owner's thread and never imports torch; `_trainer` runs in the trainer's process. `ProcessJob` is the part
that other work in a process shares (`evaluation.practice_job`).
"""

import contextlib
import enum
import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any, Generic, TypeVar

from frs_core.errors import FrsError, TrainingError, why_left_out
from frs_core.learning.progress import Progress, TrainResult
from frs_core.learning.request import TrainRequest
from frs_core.runtime.owner import owned

QUEUE_SIZE = 256
GRACE_S = 10.0
"""How long a job past its limit, or cancelled, may take to keep its best weights. Guess; a save takes 0.1 s."""


class JobState(enum.Enum):
    """Where a job stands."""

    NEW = "new"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


News = TypeVar("News")
Done = TypeVar("Done")


class ProcessJob(Generic[News, Done]):
    """Work in a process of its own that reports progress, can be asked to stop, and always reports its end."""

    state = JobState.NEW
    result: Done | None = None
    error: FrsError | None = None

    def __init__(
        self,
        work: Callable[..., None],
        arguments: tuple[object, ...],
        *,
        done: type[Done],
        what: str,
        consolation: str,
        timeout_s: float,
        grace_s: float,
        has_children: bool = False,
    ) -> None:
        """Prepare a job; nothing runs yet.

        Args:
            work: called in the process with the arguments, the queue of messages, and an event that is set to stop it.
            arguments: of the work.
            done: type of its last message; an FrsError is a last message too, all others are news.
            what: subject of errors.
            consolation: what is left, and what to do, when the process ends without a last message.
            timeout_s: after this it is asked to stop.
            grace_s: how long it may take to stop before it is ended.
            has_children: whether it starts processes itself.
        """
        context = multiprocessing.get_context("spawn")
        self._queue = context.Queue(QUEUE_SIZE)
        self._cancel = context.Event()
        self._process: BaseProcess = context.Process(
            target=owned,
            args=(work, *arguments, self._queue, self._cancel),
            name=f"frs-{work.__name__.strip('_')}",
            daemon=not has_children,
        )
        self._done, self._what, self._consolation = done, what, consolation
        self._timeout_s, self._grace_s = timeout_s, grace_s
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
        self._stop_by = min(self._stop_by, time.monotonic() + self._grace_s)

    def poll(self) -> tuple[News, ...]:
        """Return the news since the last call, without waiting; `state`, `result` and `error` are up to date after."""
        news: list[News] = []
        while self.state is JobState.RUNNING:
            self._check_time()
            try:
                message = self._queue.get_nowait()
            except queue.Empty:
                self._check_alive()
                break
            if not self._finishes(message):
                news.append(message)
        return tuple(news)

    def wait(self, timeout_s: float | None = None) -> Done:
        """Return the result when it is there.

        Args:
            timeout_s: most time to wait here; None = until the job's own limit.
        Raises:
            TrainingError: still running after `timeout_s`, or the job failed (its own error is raised as it was).
        """
        until = time.monotonic() + (timeout_s if timeout_s is not None else self._timeout_s + 2 * self._grace_s)
        while self.state is JobState.RUNNING and time.monotonic() < until:
            self._check_time()
            try:
                message = self._queue.get(timeout=0.2)
            except queue.Empty:
                self._check_alive()
                continue
            if self._finishes(message):
                # Its last word is said and all is saved, yet a process takes up to a second to end. Whoever polls does not wait for that.
                self._process.join(self._grace_s)
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise TrainingError(
                f"{self._what} is {self.state.value} after {timeout_s} s. Start it, wait longer, or cancel."
            )
        return self.result

    def close(self) -> None:
        """End the work if it still goes on, and free the queue; safe to call twice. A process that has told its end goes by itself."""
        if self.state is JobState.RUNNING:
            self._end()
            self._process.join(5.0)
            self._fail("was closed before it ended")
        self._queue.close()
        self._queue.cancel_join_thread()

    def _finishes(self, message: Any) -> bool:
        """Take a last message; False where it is news."""
        if isinstance(message, self._done):
            self.state, self.result, self.error = JobState.DONE, message, None
        elif isinstance(message, FrsError):
            self.state, self.error = JobState.FAILED, message
        else:
            return False
        return True

    def _fail(self, what: str) -> None:
        self.state = JobState.FAILED
        self.error = TrainingError(f"{self._what} {what}. {self._consolation}")

    def _end(self) -> None:
        if self._process.pid is not None and self._process.is_alive():
            self._process.terminate()
            self._process.join(5.0)
        if self._process.pid is not None and self._process.is_alive():
            self._process.kill()

    def _check_time(self) -> None:
        """Ask a job past its limit to stop; end one that was asked and did not."""
        now = time.monotonic()
        if now > self._deadline and self._stop_by == float("inf"):
            self.cancel()
        if now > self._stop_by and self._process.is_alive():
            self._end()
            self._fail(f"did not stop within {self._grace_s:g} s of being asked to and was ended")

    def _check_alive(self) -> None:
        """Hear the last words of a process that has ended."""
        if self.state is not JobState.RUNNING or self._process.is_alive():
            return
        # The last message may still be on its way out of the pipe.
        with contextlib.suppress(queue.Empty):
            while not self._finishes(self._queue.get(timeout=1.0)):
                pass
            return
        self._fail(f"ended without a word ({_exit_in_words(self._process.exitcode)})")


def _exit_in_words(code: int | None) -> str:
    """Return how a process ended, e.g. 'exit code 3'."""
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"{name}; the system does that when memory runs out" if name == "SIGKILL" else name


class TrainJob(ProcessJob[Progress, TrainResult]):
    """One training in one process."""

    def __init__(self, request: TrainRequest, *, timeout_s: float = 900.0) -> None:
        """Prepare a job; nothing runs yet.

        Args:
            request: what to train.
            timeout_s: after this it is asked to stop and keep the best.
        """
        super().__init__(
            _trainer,
            (request,),
            done=TrainResult,
            what=f"Training '{request.shown_name}'",
            consolation="Nothing was saved; start it again.",
            timeout_s=timeout_s,
            grace_s=GRACE_S,
        )
        self.request = request


def _trainer(request: TrainRequest, messages: "Queue[Progress | TrainResult | FrsError]", cancel: Event) -> None:
    """Run one request and report the result."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Ctrl+C in a terminal reaches the whole group; stopping is the owner's decision (it cancels and keeps the best).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if request.is_background:
        os.nice(19)
        # A GPU knows no priorities, and the fan may be computed on it.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def on_progress(progress: Progress) -> bool:
        with contextlib.suppress(queue.Full):
            messages.put_nowait(progress)
        return not cancel.is_set()

    try:
        from frs_core.learning.run import run_request

        outcome: TrainResult | FrsError = run_request(request, on_progress)
    except FrsError as error:
        outcome = error
    except ModuleNotFoundError as error:
        missing = why_left_out(error.name) or f"Install the package of '{error.name}', which is missing."
        outcome = TrainingError(f"Training cannot begin. {missing}")
    except Exception as error:
        outcome = TrainingError(f"Training failed: {type(error).__name__}: {error}. This is a bug; please report it.")
    messages.put(outcome, timeout=GRACE_S)
