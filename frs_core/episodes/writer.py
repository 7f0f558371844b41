"""Keeps an episode on disk while it happens.

Problem: a chunk must be safe before the next fan is offered, and a full disk must not cost a single one. Idea: one synced
journal record per chunk, one rename at the end. Every call takes full effect or raises and leaves what was there, so the
session's writer simply asks again when the operator has freed space.

Example: with the disk full, `chunk(record)` raises `EpisodeError: Chunk 7 … No space left on device. Free space …`; the
journal still ends with chunk 6, and the same call succeeds later.

Runs on the session's writer thread, or inline; one thread at a time.
"""

import errno
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from frs_core.counts import counted
from frs_core.episodes.assembly import commit
from frs_core.episodes.encoding import ChunkEncoder, FrameState, meta_to_json
from frs_core.episodes.journal import JournalFile, JournalGone, frame_record, read_journal
from frs_core.episodes.layout import Unconfirmed, check_part, journal_path
from frs_core.episodes.records import ChunkRecord, EpisodeMeta, LastState, Recorder
from frs_core.episodes.store import EpisodeStore
from frs_core.errors import EpisodeCorrupt, EpisodeError, EpisodeUnconfirmed, EpisodeUnwritten
from frs_core.events import Outcome
from frs_core.runtime.foreign import MALFORMED


@dataclass(slots=True)
class _Open:
    """The episode being recorded."""

    name: str
    journal: JournalFile
    encoder: ChunkEncoder
    frames: FrameState
    count: int = 0
    undone: frozenset[int] = frozenset()
    is_committed: bool = False
    """It lies in the store; only the disk's word for it is missing."""


class JournalRecorder(Recorder):
    """Records into a store, synchronously; used by one thread at a time."""

    def __init__(self, store: EpisodeStore, *, is_all_or_nothing: bool = False) -> None:
        """Record into a store, whose lock is taken while an episode is open.

        Args:
            store: where to record.
            is_all_or_nothing: the caller drops an episode that cannot be written whole, as an import does; errors say so.
        """
        self._store, self._is_all_or_nothing = store, is_all_or_nothing
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
            for camera in meta.cameras:
                check_part(camera)
            begin = frame_record({"kind": "begin", "name": name, "meta": facts})
        except (TypeError, ValueError) as error:
            raise EpisodeError(
                f"The facts of the episode cannot be stored: {error}. Give finite, plain values."
            ) from error
        self._store.acquire()
        try:
            journal = JournalFile(self._store.root, journal_path(self._store.root, name))
            try:
                journal.append(begin)
            except OSError:
                journal.remove()
                raise
        except OSError as error:
            self._store.release()
            raise self._refused(f"Episode '{name}' could not be begun", error) from error
        self._open = _Open(name, journal, ChunkEncoder(meta), FrameState())
        return name

    def chunk(self, record: ChunkRecord) -> None:
        """Journal one chunk; it survives a crash once this returns.

        Raises:
            EpisodeError: nothing of this chunk was kept; the call may be repeated.
        """
        episode = self._require_running()
        if record.index != episode.count or not -1 <= record.parent < record.index:
            raise EpisodeError(
                f"Chunk {record.index} with parent {record.parent} came when chunk {episode.count} was due. "
                f"Number chunks from 0 and let each follow an earlier one."
            )
        encoded, frames = episode.encoder.encode(record, episode.frames)
        self._append(episode, encoded, f"Chunk {record.index} of episode '{episode.name}' could not be written")
        episode.frames, episode.count = frames, episode.count + 1

    def last(self, state: LastState) -> None:
        """Journal what was seen after the last chunk. Raises EpisodeError."""
        episode = self._require()
        if episode.is_committed:
            return
        record = {"kind": "last", "after": episode.count - 1, "features": np.asarray(state.features)}
        record |= {"labels": list(state.labels), "noises": np.asarray(state.noises)}
        self._append(episode, record, f"The last state of episode '{episode.name}' could not be written")

    def undo(self, index: int) -> None:
        """Mark a chunk as a branch not taken. Raises EpisodeError."""
        episode = self._require_running()
        if not 0 <= index < episode.count or index in episode.undone:
            raise EpisodeError(
                f"Chunk {index} cannot be taken back: the episode has {counted(episode.count, 'chunk')}, taken back {sorted(episode.undone)}."
            )
        self._append(episode, {"kind": "undo", "index": index}, f"Going back from chunk {index} could not be written")
        episode.undone |= {index}

    def end(self, outcome: Outcome, note: str = "") -> None:
        """Commit the open episode; discarded ones go to the bin, empty ones leave nothing.

        Raises:
            EpisodeUnconfirmed: committed, but a power cut could still take it; the episode stays open for this call alone,
                which may be repeated (with another label, too).
            EpisodeError: not committed; the episode stays open, its journal stays, and the call may be repeated.
        """
        episode = self._require()
        if episode.count:
            self._commit(episode, outcome, note)
        episode.journal.remove()
        self._close()

    def abort(self) -> None:
        """Leave the open episode unfinished on disk, to be recovered; nothing when none is open."""
        if self._open is not None:
            self._open.journal.close()
            self._close()

    def drop(self) -> None:
        """Throw the open episode away and leave nothing of it; nothing when none is open, or when it is committed."""
        if self._open is not None and not self._open.is_committed:
            self._open.journal.remove()
        self.abort()

    def _commit(self, episode: _Open, outcome: Outcome, note: str) -> None:
        what = f"Episode '{episode.name}' could not be committed"
        self._append(episode, {"kind": "end", "outcome": outcome.value, "note": note}, what)
        content = read_journal(episode.journal.path)
        whole = sum(r["kind"] == "chunk" for r in content.records)
        if whole != episode.count:
            raise EpisodeCorrupt(
                f"{what}: its journal gives back {whole} of {counted(episode.count, 'chunk')} ({content.damage}). Leave the episode "
                f"open, copy '{episode.journal.path}' and recover it with `frs episodes recover`."
            )
        try:
            commit(self._store.root, episode.name, content.records, outcome=outcome, note=note, was_recovered=False)
        except Unconfirmed as error:
            episode.is_committed = True
            raise EpisodeUnconfirmed(
                f"Episode '{episode.name}' is committed, but the disk did not confirm it ({error.strerror}), so a power cut "
                f"could still take it; its journal stays until then. Check the disk and end it again."
            ) from error
        except OSError as error:
            raise self._refused(what, error) from error
        except MALFORMED as error:
            if isinstance(error, EpisodeError):
                raise
            raise EpisodeError(
                f"{what}: {type(error).__name__} {error}. Its journal '{episode.journal.path}' stays; keep it and report it."
            ) from error

    def _append(self, episode: _Open, record: dict[str, Any], what: str) -> None:
        try:
            episode.journal.append(frame_record(record))
        except OSError as error:
            raise self._refused(what, error) from error
        except (TypeError, ValueError) as error:
            raise EpisodeError(f"{what}: {error}. Give plain values and numeric arrays.") from error

    def _require(self) -> _Open:
        if self._open is None:
            raise EpisodeError("No episode is open. Call begin first.")
        return self._open

    def _require_running(self) -> _Open:
        episode = self._require()
        if episode.is_committed:
            raise EpisodeError(f"Episode '{episode.name}' is committed already. End it again, then begin another.")
        return episode

    def _close(self) -> None:
        self._open = None
        self._store.release()

    def _refused(self, what: str, error: OSError) -> EpisodeError:
        if isinstance(error, JournalGone):
            return EpisodeUnwritten(
                f"{what}: {error.strerror}, so nothing of this episode would be found again. Its folder was moved or deleted "
                f"while recording: put it back and try again, or leave the episode."
            )
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "Free space on the disk" if is_full else "Check the disk and the folder's permissions"
        if error.errno == errno.EFBIG:
            fix = "Record on a disk that takes larger files, or raise `ulimit -f`,"
        kept = "nothing of this episode is kept" if self._is_all_or_nothing else "what was recorded before is safe"
        return EpisodeUnwritten(f"{what}: {error.strerror or error}. {fix} and try again; {kept}.")
