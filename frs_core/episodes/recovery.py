"""Episodes that a crash left unfinished.

Problem: the program or the computer died in mid-episode. Idea: the journal holds every finished chunk; recovering is
committing what it holds, as a failure unless the operator had already labelled it. Throwing away moves the recovered
episode to the bin, so even that can be undone.

Example: after kill -9 in the fifth chunk `unfinished(store)` gives one entry with `n_chunks` 4.

Any thread; takes the store's lock, so it never touches what another program is recording.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from frs_core.episodes.assembly import commit
from frs_core.episodes.journal import CUT_OFF, JournalContent, read_journal
from frs_core.episodes.layout import (
    JOURNAL_SUFFIX,
    SUFFIX,
    check_name,
    episodes_dir,
    is_name,
    journal_dir,
    journal_path,
    trash_dir,
)
from frs_core.episodes.store import EpisodeStore
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome


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
    problem: str = ""
    """What follows the last whole chunk, or why nothing can be read; empty when all is whole."""


def unfinished(store: EpisodeStore) -> list[Unfinished]:
    """Return what can be recovered, oldest first; empty and already committed journals are cleared away.

    Raises:
        StoreLocked: another program records into this store.
    """
    if not journal_dir(store.root).is_dir():
        return []
    with store.writing():
        found = [
            _describe(path) for path in sorted(journal_dir(store.root).glob(f"*{JOURNAL_SUFFIX}")) if _is_ours(path)
        ]
        return [u for u in found if not _is_spent(store, u)]


def recover(store: EpisodeStore, name: str, *, outcome: Outcome | None = None, note: str | None = None) -> Path:
    """Commit an unfinished episode up to its last whole chunk, and return where it lies.

    Args:
        store: where it was recorded.
        name: which.
        outcome: how to label it; default what the operator had said, else failure.
        note: default what the operator had said, else "Recovered".
    Raises:
        StoreLocked: another program records into this store.
        EpisodeError: no such journal, or the disk refused (the journal stays).
        EpisodeCorrupt: the journal holds no whole chunk.
    """
    path = journal_path(store.root, check_name(name))
    with store.writing():
        if not path.is_file():
            raise EpisodeError(f"No unfinished episode '{name}' in '{store.root}'. See `frs episodes recover`.")
        content = read_journal(path)
        if _count(content) == 0:
            raise EpisodeCorrupt(
                f"Journal '{path}' holds no whole chunk ({content.damage or 'it is empty'}). Bin it with "
                f"`frs episodes recover --bin`."
            )
        said = _said(content)
        try:
            target = commit(
                store.root,
                name,
                content.records,
                outcome=outcome or said[0] or Outcome.FAILURE,
                note=(said[1] or "Recovered") if note is None else note,
                was_recovered=True,
            )
        except OSError as error:
            raise EpisodeError(
                f"Episode '{name}' could not be recovered: {error.strerror}. Free space and try again; the journal stays."
            ) from error
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise EpisodeCorrupt(
                f"Journal '{path}' cannot become an episode: {type(error).__name__} {error}. Keep the file and report it."
            ) from error
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
        with store.writing():
            _retire(store, journal_path(store.root, name), True)


def _is_ours(path: Path) -> bool:
    return is_name(path.name.removesuffix(JOURNAL_SUFFIX))


def _describe(path: Path) -> Unfinished:
    name = path.name.removesuffix(JOURNAL_SUFFIX)
    try:
        content = read_journal(path)
    except EpisodeCorrupt as error:
        return Unfinished(name, path, problem=str(error))
    meta = content.records[0].get("meta", {}) if content.records else {}
    outcome, note = _said(content)
    chunks = [r for r in content.records if r["kind"] == "chunk"]
    return Unfinished(
        name=name,
        path=path,
        n_chunks=len(chunks),
        n_steps=sum(len(c["steps"]) for c in chunks),
        task=meta.get("task"),
        instruction=meta.get("instruction", ""),
        outcome=outcome,
        note=note,
        problem=content.damage,
    )


def _count(content: JournalContent) -> int:
    is_begun = bool(content.records) and content.records[0]["kind"] == "begin"
    return sum(r["kind"] == "chunk" for r in content.records) if is_begun else 0


def _said(content: JournalContent) -> tuple[Outcome | None, str]:
    """Return the last label in the journal."""
    for record in reversed(content.records):
        if record["kind"] == "end":
            with contextlib.suppress(ValueError):
                return Outcome(record["outcome"]), record["note"]
    return None, ""


def _is_spent(store: EpisodeStore, u: Unfinished) -> bool:
    """Clear a journal that has nothing to give: its episode is committed, or the crash came before the first chunk ended."""
    folders = (episodes_dir(store.root), trash_dir(store.root))
    is_committed = any((folder / f"{u.name}{SUFFIX}").is_dir() for folder in folders)
    is_empty = u.n_chunks == 0 and (not u.problem or CUT_OFF in u.problem)
    if is_committed or is_empty:
        _retire(store, u.path, bool(u.problem))
        return True
    return False


def _retire(store: EpisodeStore, path: Path, is_torn: bool) -> None:
    """Remove a journal, or keep it in the bin when it holds bytes that could not be read."""
    if not is_torn:
        path.unlink(missing_ok=True)
        return
    trash_dir(store.root).mkdir(parents=True, exist_ok=True)
    path.rename(trash_dir(store.root) / path.name)
