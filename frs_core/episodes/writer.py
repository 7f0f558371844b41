"""Keeps episodes on disk while they happen.

Problem: a chunk must be safe before the next fan is offered, the control loop must never wait for a disk, and a full disk
must not cost a single chunk. Idea: `JournalRecorder` does the work, one synced journal record per chunk and one rename at
the end; `ThreadedRecorder` puts any recorder behind a bounded queue and its own thread, keeps what the disk refused, says
so at once, and tries again when asked.

Example: with the disk full in mid-episode `on_problem(EpisodeError("… No space left …"))` is called, the session holds, the
operator frees space, `retry()` writes the chunks that waited, in order.
"""

import contextlib
import errno
import json
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from frs_core.episodes.assembly import commit
from frs_core.episodes.encoding import ChunkEncoder, FrameState, meta_to_json
from frs_core.episodes.journal import JournalFile, frame_record, read_journal
from frs_core.episodes.layout import journal_path
from frs_core.episodes.store import EpisodeStore
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from frs_core.recording import ChunkRecord, EpisodeMeta, Recorder


@dataclass(slots=True)
class _Open:
    """The episode being recorded."""

    name: str
    journal: JournalFile
    encoder: ChunkEncoder
    frames: FrameState
    count: int = 0
    undone: frozenset[int] = frozenset()


class JournalRecorder(Recorder):
    """Records into a store, synchronously; used by one thread at a time."""

    def __init__(self, store: EpisodeStore) -> None:
        """Record into `store`; its lock is taken while an episode is open."""
        self._store = store
        self._open: _Open | None = None

    @property
    def name(self) -> str | None:
        """Name of the open episode."""
        return self._open.name if self._open else None

    def begin(self, meta: EpisodeMeta) -> str:
        """Open an episode and return its name.

        Raises:
            StoreLocked: another program records into this store.
            EpisodeError: the store cannot be written, or an episode is open.
        """
        if self._open is not None:
            raise EpisodeError(f"Episode '{self._open.name}' is still open. End it before beginning another.")
        name = self._store.new_name()
        try:
            facts = meta_to_json(meta)
            json.dumps(facts, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise EpisodeError(
                f"The facts of the episode cannot be stored: {error}. Give finite, plain values."
            ) from error
        self._store.acquire()
        try:
            journal = JournalFile(journal_path(self._store.root, name))
            try:
                journal.append(frame_record({"kind": "begin", "name": name, "meta": facts}))
            except OSError:
                journal.close()
                journal.path.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._store.release()
            raise _refused(f"Episode '{name}' could not be begun", error) from error
        self._open = _Open(name, journal, ChunkEncoder(meta), FrameState())
        return name

    def chunk(self, record: ChunkRecord) -> None:
        """Journal one chunk; it survives a crash once this returns.

        Raises:
            EpisodeError: nothing of this chunk was kept; the call may be repeated.
        """
        episode = self._require()
        if record.index != episode.count or not -1 <= record.parent < record.index:
            raise EpisodeError(
                f"Chunk {record.index} with parent {record.parent} came when chunk {episode.count} was due. "
                f"Number chunks from 0 and let each follow an earlier one."
            )
        encoded, frames = episode.encoder.encode(record, episode.frames)
        self._append(episode, encoded, f"Chunk {record.index} of episode '{episode.name}' could not be written")
        episode.frames, episode.count = frames, episode.count + 1

    def undo(self, index: int) -> None:
        """Mark a chunk as a branch not taken. Raises EpisodeError."""
        episode = self._require()
        if not 0 <= index < episode.count or index in episode.undone:
            raise EpisodeError(
                f"Chunk {index} cannot be undone: the episode has {episode.count} chunks, undone {sorted(episode.undone)}."
            )
        self._append(episode, {"kind": "undo", "index": index}, f"Going back from chunk {index} could not be written")
        episode.undone |= {index}

    def end(self, outcome: Outcome, note: str = "") -> None:
        """Commit the open episode; discarded ones go to the bin, empty ones leave nothing.

        Raises:
            EpisodeError: not committed; the episode stays open, its journal stays, and the call may be repeated.
        """
        episode = self._require()
        what = f"Episode '{episode.name}' could not be committed"
        if episode.count:
            self._append(episode, {"kind": "end", "outcome": outcome.value, "note": note}, what)
            records = read_journal(episode.journal.path).records
            try:
                commit(self._store.root, episode.name, records, outcome=outcome, note=note, was_recovered=False)
            except OSError as error:
                raise _refused(what, error) from error
        episode.journal.close()
        # A journal that cannot be removed is recognised by recovery: its episode is there.
        with contextlib.suppress(OSError):
            episode.journal.path.unlink(missing_ok=True)
        self._close()

    def abort(self) -> None:
        """Leave the open episode unfinished on disk, to be recovered; nothing when none is open."""
        if self._open is not None:
            self._open.journal.close()
            self._close()

    def _append(self, episode: _Open, record: dict[str, Any], what: str) -> None:
        try:
            episode.journal.append(frame_record(record))
        except OSError as error:
            raise _refused(what, error) from error
        except (TypeError, ValueError) as error:
            raise EpisodeError(f"{what}: {error}. Give plain values and numeric arrays.") from error

    def _require(self) -> _Open:
        if self._open is None:
            raise EpisodeError("No episode is open. Call begin first.")
        return self._open

    def _close(self) -> None:
        self._open = None
        self._store.release()


def _refused(what: str, error: OSError) -> EpisodeError:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    fix = "Free space on the disk" if is_full else "Check the disk and the folder's permissions"
    return EpisodeError(f"{what}: {error.strerror or error}. {fix} and try again; what was recorded before is safe.")


_Job = tuple[str, Callable[[], Any], threading.Event | None]


class ThreadedRecorder(Recorder):
    """Runs a recorder on its own thread, so that the caller never waits for the disk.

    `begin` and `end` wait for their result (bounded by `timeout_s`); `chunk` and `undo` return at once. The first call
    that fails stops the queue: nothing is dropped, `problem` tells why, and `retry` goes on.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        on_problem: Callable[[EpisodeError], None] = lambda error: None,
        capacity: int = 16,
        timeout_s: float = 20.0,
    ) -> None:
        """Start the writer thread.

        Args:
            recorder: does the work.
            on_problem: called on the writer thread when a chunk could not be written.
            capacity: jobs that may wait.
            timeout_s: longest wait of `begin`, `end`, `flush`, and of a chunk for a place in the queue, seconds.
        """
        self._recorder, self._on_problem, self._timeout_s = recorder, on_problem, timeout_s
        self._jobs: queue.Queue[_Job | None] = queue.Queue(capacity)
        self._waiting: deque[_Job] = deque()
        self._problem: EpisodeError | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="episode-writer", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> EpisodeError | None:
        """Why writing has stopped; None while all is well."""
        return self._problem

    @property
    def pending(self) -> int:
        """Jobs that are not on disk yet."""
        return self._jobs.unfinished_tasks + len(self._waiting)

    def begin(self, meta: EpisodeMeta) -> str:
        """Open an episode and return its name. Raises EpisodeError."""
        return str(self._call("begin", lambda: self._recorder.begin(meta)))

    def chunk(self, record: ChunkRecord) -> None:
        """Queue one chunk.

        Raises:
            EpisodeError: the queue stayed full; the chunk was not taken.
        """
        self._put(("chunk", lambda: self._recorder.chunk(record), None))

    def undo(self, index: int) -> None:
        """Queue an undo mark. Raises as `chunk`."""
        self._put(("undo", lambda: self._recorder.undo(index), None))

    def end(self, outcome: Outcome, note: str = "") -> None:
        """Write what waits and commit.

        Raises:
            EpisodeError: not committed; call again when the cause is gone.
        """
        self.retry()
        self._call("end", lambda: self._recorder.end(outcome, note))

    def abort(self) -> None:
        """Write what can be written and leave the episode to recovery. Never raises."""
        with contextlib.suppress(EpisodeError):
            self.retry()
        with contextlib.suppress(EpisodeError):
            self._call("abort", self._recorder.abort, is_forced=True)

    def retry(self) -> None:
        """Try again what the disk refused, in order, and wait for it.

        Raises:
            EpisodeError: refused again; still nothing is dropped.
        """
        self._call("retry", lambda: None)

    def close(self) -> None:
        """Abort an open episode and stop the thread; safe to call twice."""
        if self._is_closed:
            return
        self.abort()
        self._is_closed = True
        with contextlib.suppress(queue.Full):
            self._jobs.put(None, timeout=self._timeout_s)
        self._thread.join(self._timeout_s)

    def _put(self, job: _Job) -> None:
        if self._is_closed:
            raise EpisodeError("The recorder is closed. Make another one.")
        try:
            self._jobs.put(job, timeout=self._timeout_s)
        except queue.Full:
            why = f" ({self._problem})" if self._problem else ""
            raise EpisodeError(
                f"The episode writer has {self._jobs.maxsize} chunks waiting and takes no more{why}. Free space on the "
                f"disk, or end the episode."
            ) from None

    def _call(self, name: str, work: Callable[[], Any], *, is_forced: bool = False) -> Any:
        """Run work behind everything queued and return its result; a refusal of earlier work is raised instead."""
        done, result = threading.Event(), []

        def job() -> None:
            if self._waiting and not is_forced:
                result.append(self._problem)
                return
            try:
                result.append(work())
            except EpisodeError as error:
                result.append(error)

        self._put((name, job, done))
        if not done.wait(self._timeout_s):
            raise EpisodeError(
                f"The episode writer did not answer '{name}' within {self._timeout_s:g} s. Check the disk; the journal stays."
            )
        if isinstance(result[0], EpisodeError):
            raise result[0]
        return result[0]

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            _, work, done = job
            try:
                if done is None:
                    self._waiting.append(job)
                    if self._problem is None:
                        self._drain()
                else:
                    # Someone waits for an answer: the moment to try again what was refused.
                    self._drain()
                    work()
            finally:
                self._jobs.task_done()
                if done is not None:
                    done.set()

    def _drain(self) -> None:
        while self._waiting:
            try:
                self._waiting[0][1]()
            except EpisodeError as error:
                is_fresh, self._problem = self._problem is None, error
                if is_fresh:
                    self._on_problem(error)
                return
            self._waiting.popleft()
        self._problem = None
