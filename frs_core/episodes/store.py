"""The folder of recorded episodes.

Problem: recordings must survive crashes, second thoughts and second programs. Idea: an episode appears by one rename and
never changes afterwards, but for the few attributes a person may edit, which are replaced in one rename too. Throwing
away is a move to `trash/`. The root, `episodes/` and `trash/` may be links; an episode that is one is read where it leads, counts once,
and is changed only where it lies.

Example: `EpisodeStore(Path("data")).list()` gives the rows; `.open(name)` the episode; `.relabel(name, Outcome.FAILURE)`
corrects it.

Any one thread per store object. Recording and recovery take the store's lock; relabelling and binning work beside them and
take the root's edit lock for the moment; reading needs none, because each change is a single rename.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

from frs_core.episodes.index import EpisodeInfo, Index, read_info
from frs_core.episodes.integrity import corrupt
from frs_core.episodes.label import clear_leftovers, edit
from frs_core.episodes.layout import (
    SUFFIX,
    TMP_PREFIX,
    Unconfirmed,
    check_name,
    confirming,
    ensure_folder,
    episodes_dir,
    fsync_path,
    is_name,
    journal_dir,
    names_in,
    new_name,
    part_of_name,
    trash_dir,
)
from frs_core.episodes.lock import StoreLock, editing
from frs_core.episodes.reader import Episode
from frs_core.episodes.soundness import inspected, known, needs_inspection
from frs_core.episodes.trim import trimmed_facts
from frs_core.errors import EpisodeError, EpisodeUnconfirmed
from frs_core.events import Outcome


class EpisodeStore:
    """Lists, opens, relabels and bins episodes."""

    def __init__(self, root: Path) -> None:
        """Look at a recording root; it is made when first written to.

        Args:
            root: the folder that holds `episodes/` and `trash/`.
        """
        self.root = Path(root)
        self._index = Index(episodes_dir(self.root))
        self._binned = Index(trash_dir(self.root), is_binned=True)
        self._lock: StoreLock | None = None
        self._holders = 0
        self._unconfirmed: set[Path] = set()
        """Where episodes were moved to without the disk's word that they stay there."""

    # --- reading ----------------------------------------------------------------------------------

    def list(self, *, binned: bool = False, inspect: bool = False) -> list[EpisodeInfo]:
        """Return the rows of all episodes (or of the bin), oldest first; damaged ones carry a `problem`.

        Args:
            binned: the bin instead.
            inspect: compare the size of every file, some ms per episode; otherwise the earlier finding is returned.
        """
        rows = (self._binned if binned else self._index).list()
        return [inspected(i, whole=False) if inspect and needs_inspection(i, whole=False) else known(i) for i in rows]

    def path(self, name: str) -> Path:
        """Return where an episode lies.

        Raises:
            EpisodeError: no such episode.
            EpisodeCorrupt: something else has its name, such as a file or a link to nowhere.
        """
        path = episodes_dir(self.root) / f"{check_name(name)}{SUFFIX}"
        if not path.is_dir():
            if os.path.lexists(path):
                raise corrupt(path, "it is no folder")
            raise EpisodeError(f"No episode '{name}' in '{self.root}'. See `frs episodes list`.")
        return path

    def info(self, name: str) -> EpisodeInfo:
        """Return one row. Raises EpisodeError when there is no such episode."""
        return read_info(self.path(name))

    def find(self, text: str, *, binned: bool = False) -> str:
        """Return the only name that contains a text; 'last' is the one recorded last.

        An episode's folder is its name as well: with the ending ".zarr", and with a path in front that leads to this store.

        Raises:
            EpisodeError: none or several match, or the path leads elsewhere.
        """
        folder = trash_dir(self.root) if binned else episodes_dir(self.root)
        part = part_of_name(text, within=folder)
        try:
            names = names_in(folder)
        except OSError:  # Nothing was recorded yet, or nothing can be read.
            names = []
        found = names[-1:] if text == "last" else [n for n in names if part in n]
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} episodes match: {', '.join(found[:4])}…" if found else "no episode matches"
        raise EpisodeError(f"'{text}': {what} in '{folder}'. Give more of the name; see `frs episodes list`.")

    def open(self, name: str) -> Episode:
        """Return an episode for reading.

        Raises:
            EpisodeError: no such episode.
            EpisodeCorrupt: its files are damaged.
        """
        return Episode(self.path(name))

    # --- second thoughts --------------------------------------------------------------------------

    def relabel(self, name: str, outcome: Outcome) -> None:
        """Change how an episode is said to have ended.

        Raises:
            EpisodeError: no such episode, or the disk refused (the former label stands).
            EpisodeUnconfirmed: changed, but a power cut could still undo it; the call may be repeated.
        """
        self._edit(name, {"outcome": outcome.value})

    def note(self, name: str, text: str) -> None:
        """Replace an episode's note. Raises as `relabel`."""
        self._edit(name, {"note": text})

    def trim(self, name: str, first: int, last: int) -> None:
        """Leave out chunks at the ends of an episode's main line; 0 and 0 bring all of them back. Raises as `relabel`.

        Args:
            name: of the episode.
            first: chunks at its start.
            last: chunks at its end.
        """
        self._edit(name, trimmed_facts(self.open(name), first, last))

    def bin(self, name: str) -> None:
        """Move an episode to the bin, or whatever has its name.

        Raises:
            EpisodeError: no such episode, or the disk refused (it stays where it was).
            EpisodeUnconfirmed: moved, but a power cut could still undo it; the call may be repeated.
        """
        target = trash_dir(self.root) / f"{check_name(name)}{SUFFIX}"
        path = episodes_dir(self.root) / target.name
        if target in self._unconfirmed:
            path = target
        elif not os.path.lexists(path):
            path = self.path(name)
        self._move(path, target)

    def restore(self, name: str) -> None:
        """Bring an episode back from the bin. Raises as `bin`."""
        path = trash_dir(self.root) / f"{check_name(name)}{SUFFIX}"
        target = episodes_dir(self.root) / path.name
        if target not in self._unconfirmed and not os.path.lexists(path):
            raise EpisodeError(f"No episode '{name}' in the bin '{path.parent}'. See `frs episodes list --binned`.")
        self._move(target if target in self._unconfirmed else path, target)

    # --- writing ----------------------------------------------------------------------------------

    def new_name(self) -> str:
        """Return a fresh name that sorts after all there are, binned and unfinished ones too, whatever the clock says."""
        folders = (episodes_dir(self.root), trash_dir(self.root), journal_dir(self.root))
        there = (p.name.partition(".")[0] for folder in folders for p in folder.glob("[0-9]*"))
        return new_name(after=max((n for n in there if is_name(n)), default=""))

    @contextlib.contextmanager
    def writing(self) -> Generator[None, None, None]:
        """Hold the store's lock; nests within this object. Groups left half-written by a crash are removed.

        Raises:
            StoreLocked: another writer holds it.
        """
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self) -> None:
        """Take the store's lock, as `writing` does; each call needs one `release`."""
        if self._lock is None:
            self._lock = StoreLock(episodes_dir(self.root) / ".lock")
            for folder in (episodes_dir(self.root), trash_dir(self.root)):
                for stale in folder.glob(f"{TMP_PREFIX}*{SUFFIX}"):
                    # Only the holder of the lock writes groups, and the journal has all of this one's data.
                    shutil.rmtree(stale, ignore_errors=True)
                clear_leftovers(self.root, folder)
        self._holders += 1

    def release(self) -> None:
        """Give the lock back when the last holder does."""
        self._holders = max(0, self._holders - 1)
        if self._holders == 0 and self._lock is not None:
            self._lock.release()
            self._lock = None

    def remove_unused(self) -> None:
        """Remove the folders and the lock that a first recording makes, where nothing was recorded; otherwise nothing. Never raises."""
        if not episodes_dir(self.root).is_dir():
            return
        with contextlib.suppress(OSError, EpisodeError), self.writing():
            for folder in (journal_dir(self.root), trash_dir(self.root)):
                with contextlib.suppress(FileNotFoundError):
                    folder.rmdir()
            if [p.name for p in episodes_dir(self.root).iterdir()] == [".lock"]:
                # What another program would lock is removed with its folder, before the lock is given back.
                (episodes_dir(self.root) / ".lock").unlink()
                episodes_dir(self.root).rmdir()
                self.root.rmdir()

    def _edit(self, name: str, changes: dict[str, Any]) -> None:
        try:
            edit(self.root, self.path(name), changes)
        except Unconfirmed as error:
            raise EpisodeUnconfirmed(
                f"Episode '{name}' is changed, but the disk did not confirm it ({error.strerror}), so a power cut could "
                f"bring the former label back. Check the disk and try again."
            ) from error
        except OSError as error:
            raise EpisodeError(
                f"Episode '{name}' could not be changed: {error.strerror}. Free space or check the folder's permissions."
            ) from error
        except ValueError as error:
            if isinstance(error, EpisodeError):
                raise
            raise EpisodeError(
                f"Episode '{name}' could not be changed: {error}. Give a shorter, plain text."
            ) from error

    def _move(self, path: Path, target: Path) -> None:
        """Move an episode; from its target again when that is to be confirmed only."""
        folders = dict.fromkeys([target.parent, episodes_dir(self.root), trash_dir(self.root)])
        try:
            ensure_folder(self.root, target.parent)
            with editing(self.root):
                if path != target:
                    if os.path.lexists(target):
                        raise OSError(errno.EEXIST, f"'{target}' exists already; move one of them away")
                    os.rename(path, target)
                self._unconfirmed.add(target)
                with confirming():
                    for folder in folders:
                        fsync_path(folder)
                self._unconfirmed.discard(target)
        except Unconfirmed as error:
            raise EpisodeUnconfirmed(
                f"'{path.name}' is in '{target.parent}', but the disk did not confirm it ({error.strerror}), so a power cut "
                f"could undo the move. Check the disk and try again."
            ) from error
        except OSError as error:
            raise EpisodeError(
                f"'{path}' could not be moved to '{target.parent}': {error.strerror}. Check the disk and the folder's "
                f"permissions."
            ) from error
