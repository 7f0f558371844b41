"""The episode that runs and its records, from the start that waits to the label on disk.

A record is handed to the `WriteQueue`, which loses none. An episode that is labelled stays until its label is on disk.

Used on the session's thread.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from frs_core import events as ev
from frs_core.episodes.records import EpisodeMeta, LastState, Recorder
from frs_core.events import Outcome
from frs_core.robot.observation import Observation
from frs_core.runtime.workers import Answer
from frs_core.session.running import RunningChunk, RunningEpisode
from frs_core.session.writing import WriteJob, WriteQueue


@dataclass(frozen=True, slots=True)
class WaitingStart:
    """A start that waits for world, policy or disk."""

    order: ev.StartEpisode
    epoch: int
    """Hold epoch it was asked for in."""
    since: float


class EpisodeKeeper:
    """Owns the running episode and the queue of its records."""

    def __init__(
        self, queue: WriteQueue | None, *, remembers_ended: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep nothing yet.

        Args:
            queue: in front of the recorder; None records nothing.
            remembers_ended: keep labelled episodes in `ended` until somebody takes them.
            clock: seconds, monotonic.
        """
        self.queue, self._remembers_ended, self._clock = queue, remembers_ended, clock
        self.episode: RunningEpisode | None = None
        self.closing: ev.EndEpisode | None = None
        """The label that is being written."""
        self.was_held = False
        """A hold came after that label was asked for."""
        self._is_thrown_away = False
        self.waiting: WaitingStart | None = None
        self.ended: list[RunningEpisode] = []
        """Labelled episodes that nobody has taken note of yet."""
        self.last: ev.EndedEpisode | None = None
        """How the last episode ended."""
        self.chunk_limit: tuple[int, Outcome] | None = None
        """After this many chunks the episode ends with that outcome."""

    @property
    def is_written(self) -> bool:
        """Everything so far is on disk."""
        return self.queue is None or self.queue.is_idle

    @property
    def is_recording(self) -> bool:
        """The running episode is recorded."""
        return self.episode is not None and self.episode.is_recording

    @property
    def has_unlabelled(self) -> bool:
        """Recorded chunks wait for a label."""
        return self.episode is not None and bool(self.episode.line) and self.episode.is_recording

    @property
    def backlog(self) -> str | None:
        """A sentence when the queue has no room for more; None while it has."""
        return self.queue.backlog if self.queue is not None else None

    # --- start -------------------------------------------------------------------------------------------------------

    def wait(self, order: ev.StartEpisode, epoch: int) -> None:
        """Let a start wait; a later one takes its place."""
        self.waiting = WaitingStart(order, epoch, self._clock())

    def call_off(self) -> bool:
        """Drop the start that waits; tell whether there was one."""
        return self.take_waiting() is not None

    def take_waiting(self) -> WaitingStart | None:
        """Return the start that waits, once."""
        waiting, self.waiting = self.waiting, None
        return waiting

    def begin(self, order: ev.StartEpisode, observation: Observation, *, number: int, meta: EpisodeMeta) -> None:
        """Open the episode whose first observation has just arrived."""
        self.was_held = False
        self.episode = RunningEpisode(
            order,
            number,
            observation.instruction,
            is_recording=self.queue is not None and not order.unrecorded,
            trail=[observation.p_tcp.copy()],
        )
        self._write("begin", lambda r: r.begin(meta))

    # --- chunks ------------------------------------------------------------------------------------------------------

    def keep(self, chunk: RunningChunk) -> None:
        """Put a chunk of at least one row on the main line, and have it written."""
        episode = self.episode
        assert episode is not None
        parent = episode.parent
        index = episode.push(chunk.candidate.label, chunk.state, steps=len(chunk.steps))
        if episode.is_recording:
            record = chunk.record(index=index, parent=parent)
            self._write("chunk", lambda r: r.chunk(record))

    def undo(self) -> None:
        """Take the last chunk off the main line."""
        assert self.episode is not None
        undone = self.episode.pop()
        self._write("undo", lambda r: r.undo(undone.index))

    def end_by_limit(self) -> ev.EndEpisode | None:
        """Return how the episode ends because it has as many chunks as it may have."""
        if self.episode is None:
            return None
        own = self.episode.order.most_chunks
        limit = (own, Outcome.FAILURE) if own else self.chunk_limit
        return ev.EndEpisode(limit[1]) if limit and len(self.episode.line) >= limit[0] else None

    # --- end ---------------------------------------------------------------------------------------------------------

    def drop(self) -> None:
        """Discard the running episode, if there is one, to make room for another."""
        self._write("end", lambda r: r.end(Outcome.DISCARDED))
        self.episode = None

    def label(self, command: ev.EndEpisode, *, last: LastState | None = None) -> bool:
        """Have the label written, and what was seen last where it is known; True where nothing has to be."""
        self.closing, self._is_thrown_away = command, False
        if self.queue is None or not self.is_recording:
            return True
        self.queue.drop("end")
        self.queue.retry()

        def end(recorder: Recorder) -> None:
            if last is not None:
                recorder.last(last)
            recorder.end(command.outcome, command.note)

        self._write("end", end)
        return False

    def throw_away(self, command: ev.EndEpisode) -> bool:
        """Leave an episode that the disk refuses, without waiting for the disk; False where the disk refuses nothing."""
        if command.outcome is not Outcome.DISCARDED or self.queue is None or not self.queue.is_stuck:
            return False
        self.queue.abandon()
        self.closing, self._is_thrown_away = command, True
        return True

    def is_labelled_by(self, job: WriteJob, answer: Answer) -> bool:
        """Take note of what the recorder has done; tell whether the episode's label is on disk now."""
        if answer.error is not None:
            if self.closing is not None and self.queue is not None:
                # The operator says again how it ends once there is room; until then the episode is open.
                self.queue.drop("end")
                self.closing = None
            return False
        if job.name == "begin" and isinstance(answer.value, str) and self.episode is not None:
            self.episode.name = answer.value
        return job.name == "end" and self.closing is not None

    def close(self) -> None:
        """Forget the episode that is labelled and kept."""
        assert self.closing is not None
        assert self.episode is not None
        self.episode.outcome = self.closing.outcome
        self.last = ev.EndedEpisode(
            self.episode.status(),
            self.closing.outcome,
            undone=self.episode.next_index - len(self.episode.line),
            is_unfinished=self._is_thrown_away,
            was_held=self.was_held,
        )
        if self._remembers_ended:
            self.ended.append(self.episode)
        self.episode = self.closing = None

    def abandon(self) -> None:
        """Leave the open episode unfinished on disk, to be recovered."""
        if self.queue is not None and self.is_recording:
            self.queue.abandon()
        self.episode = self.closing = self.waiting = None

    # --- disk --------------------------------------------------------------------------------------------------------

    def poll(self) -> list[tuple[WriteJob, Answer]]:
        """Return the finished or failed jobs since the last call."""
        return self.queue.poll() if self.queue is not None else []

    def retry(self) -> None:
        """Write again what the disk refused."""
        if self.queue is not None:
            self.queue.retry()

    def overdue(self) -> str | None:
        """Return a sentence about a disk that does not answer."""
        return self.queue.overdue() if self.queue is not None else None

    def _write(self, name: str, call: Callable[[Recorder], str | None]) -> None:
        if self.queue is not None and self.is_recording:
            self.queue.add(name, call)
