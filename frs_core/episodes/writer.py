"""Keeps an episode on disk while it happens.

Problem: a chunk must be safe before the next fan is offered, and a full disk must not cost a single one. Idea: one synced
journal record per chunk, one rename at the end. Every call takes full effect or raises and leaves what was there, so the
session's writer simply asks again when the operator has freed space.

Example: with the disk full, `chunk(record)` raises `EpisodeError: Chunk 7 … No space left on device. Free space …`; the
journal still ends with chunk 6, and the same call succeeds later.

Runs on the session's writer thread, or inline; one thread at a time.
"""

import contextlib
import errno
import json
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
