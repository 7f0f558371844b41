"""Hand records to the recorder in order, one at a time, and lose none when the disk fails.

A job stays at the head of the queue until the recorder has done it. When it fails, everything behind it waits, the session
holds with the reason, and `retry` continues the same job: a full disk costs time, not data.

The queue is bounded without dropping anything: motion waits until the queue is empty, and what else would add to it (starting
over, going back) is refused once it has no room. `RESERVE` places are left for what must not be refused: the chunk that has
just moved, and the end of its episode.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from frs_core.episodes.records import Recorder
from frs_core.errors import EpisodeError
from frs_core.runtime.workers import Answer, WorkQueue

CAPACITY = 16
"""Jobs that may wait. A chunk with three cameras holds about 4 MB until it is written."""
RESERVE = 4
TOO_SLOW = "The disk is too slow: {count} records wait to be written, none is lost. Wait, or free the disk, then resume"


@dataclass(frozen=True, slots=True, eq=False)
class WriteJob:
    """One call of the recorder."""

    name: str
    """'begin', 'chunk', 'undo' or 'end'."""
    call: Callable[[Recorder], str | None]


class WriteQueue:
    """The queue of jobs in front of one recorder; used on the session's thread."""

    def __init__(
        self,
        recorder: Recorder,
        worker: WorkQueue,
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with an empty queue.

        Args:
            recorder: called on the worker's thread only.
            worker: the writer.
            timeout_s: longest job before `overdue` says so.
            clock: seconds, monotonic.
        """
        self._timeout_s, self._clock = timeout_s, clock
        self._since = 0.0
        self._recorder, self._worker = recorder, worker
        self._jobs: deque[WriteJob] = deque()
        self._ticket = 0
        self._in_flight: int | None = None

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is being written."""
        return not self._jobs

    @property
    def is_stuck(self) -> bool:
        """The head failed and waits for `retry`."""
        return bool(self._jobs) and self._in_flight is None

    @property
    def backlog(self) -> str | None:
        """A sentence for whoever would add more when there is no room for it; None while there is."""
        return TOO_SLOW.format(count=len(self._jobs)) if len(self._jobs) >= CAPACITY - RESERVE else None

    def add(self, name: str, call: Callable[[Recorder], str | None]) -> None:
        """Put a job at the end of the queue.

        Raises:
            EpisodeError: the queue is full; whoever adds more than one chunk must look at `backlog` first.
        """
        is_stuck = self.is_stuck
        if len(self._jobs) >= CAPACITY:
            raise EpisodeError(TOO_SLOW.format(count=len(self._jobs)))
        self._jobs.append(WriteJob(name, call))
        if not is_stuck:
            self._submit()

    def drop(self, name: str) -> None:
        """Take waiting jobs of a name out of a stuck queue (a failed 'end' that is asked for again)."""
        if self._in_flight is None:
            self._jobs = deque(j for j in self._jobs if j.name != name)

    def retry(self) -> None:
        """Try the head again; nothing when it is under way or the queue is empty."""
        self._submit()

    def overdue(self) -> str | None:
        """Return a sentence about a job that takes too long, once per time-out; it stays in the queue."""
        if self._in_flight is None or self._clock() - self._since <= self._timeout_s:
            return None
        self._since = self._clock()
        return f"The disk has not answered for {self._timeout_s:g} s. Nothing is lost; the chunk is still waiting."

    def abandon(self) -> None:
        """Have what waits written, unless the disk refuses, and leave the open episode as it is on disk, for recovery."""
        waiting = [] if self.is_stuck else list(self._jobs)[self._in_flight is not None :]
        self._jobs.clear()
        self._in_flight = None
        self._ticket += 1
        self._worker.submit(self._ticket, lambda: self._write_and_leave(waiting))

    def _write_and_leave(self, jobs: list[WriteJob]) -> None:
        try:
            for job in jobs:
                job.call(self._recorder)
        finally:
            self._recorder.abort()

    def poll(self) -> list[tuple[WriteJob, Answer]]:
        """Return the finished or failed jobs since the last call, and start the next one."""
        done: list[tuple[WriteJob, Answer]] = []
        for answer in self._worker.poll():
            if answer.ticket != self._in_flight:
                continue
            self._in_flight = None
            done.append((self._jobs[0], answer))
            if answer.error is None:
                self._jobs.popleft()
                self._submit()
        return done

    def _submit(self) -> None:
        if not self._jobs or self._in_flight is not None:
            return
        job, recorder = self._jobs[0], self._recorder
        self._ticket += 1
        self._in_flight, self._since = self._ticket, self._clock()
        self._worker.submit(self._ticket, lambda: job.call(recorder))
