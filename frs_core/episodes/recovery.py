"""Episodes that a crash left unfinished.

Problem: the program or the computer died during an episode. Idea: the journal holds every finished chunk; recovering is
committing what it holds, as a failure unless the operator had already labelled it. Throwing away moves the recovered
episode to the bin, so even that can be undone.

Example: after kill -9 in the fifth chunk `unfinished(store)` gives one entry with `n_chunks` 4.

Any thread; takes the store's lock, so it never touches what another program is recording.
"""

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from frs_core.episodes.assembly import commit, committed
from frs_core.episodes.index import SOURCE, read_info
from frs_core.episodes.journal import CUT_OFF, JournalContent, read_journal, scan_journal
from frs_core.episodes.layout import (
    JOURNAL_SUFFIX,
    Unconfirmed,
    check_name,
    confirming,
    ensure_folder,
    fsync_path,
    is_name,
    journal_dir,
    journal_path,
    trash_dir,
)
from frs_core.episodes.store import EpisodeStore
from frs_core.errors import EpisodeCorrupt, EpisodeError, EpisodeUnconfirmed
from frs_core.events import Outcome
from frs_core.runtime.foreign import MALFORMED, said


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One journal found."""

    name: str
    path: Path
    n_chunks: int = 0
    n_steps: int = 0
    task: str | None = None
    instruction: str = ""
    outcome: Outcome | None = None
    """What the operator had said already, when the crash came during the commit."""
    note: str = ""
    source: str = ""
    """SHA-256 of what it was imported from; empty where it was recorded here."""
    problem: str = ""
    """What follows the last whole chunk, or why nothing can be read; empty when all is whole."""


def unfinished(store: EpisodeStore) -> list[Unfinished]:
    """Return what can be recovered, oldest first; empty and already committed journals are cleared away.

    A journal that cannot be read, or not be cleared away, is an entry with its `problem`.

    Raises:
        StoreLocked: another program records into this store.
    """
    if not journal_dir(store.root).is_dir():
        return []
    with store.writing():
        found = [
            _describe(path) for path in sorted(journal_dir(store.root).glob(f"*{JOURNAL_SUFFIX}")) if _is_ours(path)
        ]
        return [left for u in found if (left := _unless_spent(store, u))]


def recover(store: EpisodeStore, name: str, *, outcome: Outcome | None = None, note: str | None = None) -> Path:
    """Commit an unfinished episode up to its last whole chunk, and return where it lies.

    Args:
        store: where it was recorded.
        name: which.
        outcome: how to label it; default what the operator had said, else failure.
        note: default what the operator had said, else "Recovered".
    Raises:
        StoreLocked: another program records into this store.
        EpisodeUnconfirmed: recovered, but a power cut could still take it; the journal stays and the call may be repeated.
        EpisodeError: no such journal, or the disk refused (the journal stays).
        EpisodeCorrupt: the journal holds no whole chunk.
    """
    path = journal_path(store.root, check_name(name))
    with store.writing():
        if not os.path.lexists(path):
            raise EpisodeError(f"No unfinished episode '{name}' in '{store.root}'. See `frs episodes recover`.")
        content = read_journal(path)
        try:
            if _count(content) == 0:
                raise EpisodeCorrupt(
                    f"Journal '{path}' holds no whole chunk ({content.damage or 'it is empty'}). Bin it with "
                    f"`frs episodes recover --bin`."
                )
            said = _kept(store, name) or _said(content)
            target = commit(
                store.root,
                name,
                content.records,
                outcome=outcome or said[0] or Outcome.FAILURE,
                note=(said[1] or "Recovered") if note is None else note,
                was_recovered=True,
            )
        except Unconfirmed as error:
            raise EpisodeUnconfirmed(
                f"Episode '{name}' is recovered, but the disk did not confirm it ({error.strerror}), so a power cut could "
                f"still take it; its journal stays until then. Check the disk and recover it again."
            ) from error
        except OSError as error:
            raise EpisodeError(
                f"Episode '{name}' could not be recovered: {error.strerror}. Free space and try again; the journal stays."
            ) from error
        except MALFORMED as error:
            if isinstance(error, EpisodeError):
                raise
            raise EpisodeCorrupt(
                f"Journal '{path}' cannot become an episode: {type(error).__name__} {error}. Keep the file and report it, or "
                f"bin it with `frs episodes recover --bin`."
            ) from error
        # A journal that stays is recognised: its episode is there.
        with contextlib.suppress(OSError):
            _retire(store, path, content.is_torn)
        return target


def bin_unfinished(store: EpisodeStore, name: str) -> None:
    """Throw an unfinished episode away: recovered into the bin, or its journal moved there when nothing can be read.

    Raises:
        EpisodeError: no such journal, or the disk refused.
    """
    try:
        recover(store, name, outcome=Outcome.DISCARDED)
    except EpisodeCorrupt:
        path = journal_path(store.root, name)
        with store.writing():
            try:
                _retire(store, path, True)
            except OSError as error:
                raise EpisodeError(
                    f"Journal '{path}' could not be moved to the bin: {error.strerror}. Check the disk and the folder's "
                    f"permissions."
                ) from error


def _is_ours(path: Path) -> bool:
    return is_name(path.name.removesuffix(JOURNAL_SUFFIX))


def _describe(path: Path) -> Unfinished:
    name = path.name.removesuffix(JOURNAL_SUFFIX)
    try:
        return _described(name, path)
    except EpisodeCorrupt as error:
        return Unfinished(name, path, problem=str(error))
    except MALFORMED as error:
        return Unfinished(name, path, problem=f"Journal '{path}' is garbled ({said(error)}).")


def _described(name: str, path: Path) -> Unfinished:
    """Return a journal's entry, holding one record at a time. Raises MALFORMED."""
    meta, said, damage, n_chunks, n_steps = {}, (None, ""), "", 0, 0
    for number, record in enumerate(scan_journal(path)):
        if isinstance(record, str):
            damage = record
        elif number == 0:
            meta = record["meta"] if record["kind"] == "begin" else {}
        elif record["kind"] == "chunk":
            n_chunks, n_steps = n_chunks + 1, n_steps + len(record["steps"])
        elif record["kind"] == "end":
            said = _label(record)
    task, instruction = meta.get("task"), meta.get("instruction", "")
    return Unfinished(
        name=name,
        path=path,
        n_chunks=n_chunks,
        n_steps=n_steps,
        task=None if task is None else str(task),
        instruction=str(instruction),
        outcome=said[0],
        note=said[1],
        source=str(meta.get("world", {}).get("options", {}).get(SOURCE, "")),
        problem=damage,
    )


def _count(content: JournalContent) -> int:
    is_begun = bool(content.records) and content.records[0]["kind"] == "begin"
    return sum(r["kind"] == "chunk" for r in content.records) if is_begun else 0


def _said(content: JournalContent) -> tuple[Outcome | None, str]:
    """Return the last label in the journal."""
    for record in reversed(content.records):
        if record["kind"] == "end":
            return _label(record)
    return None, ""


def _kept(store: EpisodeStore, name: str) -> tuple[Outcome | None, str] | None:
    """Return the label of an episode that a former recovery committed already; a person may have changed it since."""
    there = committed(store.root, name)
    if there is None:
        return None
    info = read_info(there)
    return info.outcome, info.note


def _label(record: dict[str, Any]) -> tuple[Outcome | None, str]:
    """Return what an `end` record says; nothing when it says nothing we know."""
    try:
        return Outcome(record["outcome"]), str(record["note"])
    except MALFORMED:
        return None, ""


def _unless_spent(store: EpisodeStore, u: Unfinished) -> Unfinished | None:
    """Clear a journal that has nothing to give: its episode is committed, or the crash came before the first chunk ended."""
    is_empty = u.n_chunks == 0 and (not u.problem or CUT_OFF in u.problem)
    if not is_empty and committed(store.root, u.name) is None:
        return u
    try:
        _retire(store, u.path, bool(u.problem))
    except OSError as error:
        return replace(
            u, problem=f"Journal '{u.path}' has nothing more to give and cannot be removed: {error.strerror}."
        )
    return None


def _retire(store: EpisodeStore, path: Path, is_torn: bool) -> None:
    """Remove a journal, or keep it in the bin when it holds bytes that could not be read. Raises OSError."""
    if is_torn:
        ensure_folder(store.root, trash_dir(store.root))
        path.rename(trash_dir(store.root) / path.name)
        with confirming():
            fsync_path(trash_dir(store.root))
    else:
        path.unlink(missing_ok=True)
    with confirming():
        fsync_path(path.parent)
