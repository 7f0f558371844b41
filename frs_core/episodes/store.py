"""The folder of recorded episodes.

Problem: recordings must survive crashes, second thoughts and second programs. Idea: an episode appears by one rename and
never changes afterwards, but for the few attributes a person may edit, which are replaced in one rename too. Throwing
away is a move to `trash/`.

Example: `EpisodeStore(Path("data")).list()` gives the rows; `.open(name)` the episode; `.relabel(name, Outcome.FAILURE)`
corrects it.

Any one thread per store object. Recording and recovery take the store's lock; reading, relabelling and binning need none,
because each is a single rename.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frs_core.episodes.index import EpisodeInfo, Index, read_attributes, read_info
from frs_core.episodes.integrity import group_metadata
from frs_core.episodes.layout import (
    ROOT_METADATA,
    SUFFIX,
    TMP_PREFIX,
    check_name,
    episodes_dir,
    fsync_path,
    new_name,
    trash_dir,
)
from frs_core.episodes.lock import StoreLock
from frs_core.episodes.reader import Episode
from frs_core.errors import EpisodeError
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

    # --- reading ----------------------------------------------------------------------------------

    def list(self, *, binned: bool = False) -> list[EpisodeInfo]:
        """Return the rows of all episodes (or of the bin), oldest first; damaged ones carry a `problem`."""
        return (self._binned if binned else self._index).list()

    def path(self, name: str) -> Path:
        """Return where an episode lies.

        Raises:
            EpisodeError: no such episode.
        """
        path = episodes_dir(self.root) / f"{check_name(name)}{SUFFIX}"
        if not path.is_dir():
            raise EpisodeError(f"No episode '{name}' in '{self.root}'. See `frs episodes list`.")
        return path

    def info(self, name: str) -> EpisodeInfo:
        """Return one row. Raises EpisodeError when there is no such episode."""
        return read_info(self.path(name))

    def find(self, text: str, *, binned: bool = False) -> str:
        """Return the only name that contains a text; 'last' is the newest.

        Raises:
            EpisodeError: none or several match.
        """
        folder = trash_dir(self.root) if binned else episodes_dir(self.root)
        names = sorted(p.name.removesuffix(SUFFIX) for p in folder.glob(f"[0-9]*{SUFFIX}"))
        found = names[-1:] if text == "last" else [n for n in names if text.upper() in n]
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
        """
        self._edit(name, {"outcome": outcome.value})

    def note(self, name: str, text: str) -> None:
        """Replace an episode's note. Raises as `relabel`."""
        self._edit(name, {"note": text})

    def bin(self, name: str) -> None:
        """Move an episode to the bin. Raises EpisodeError."""
        self._move(self.path(name), trash_dir(self.root))

    def restore(self, name: str) -> None:
        """Bring an episode back from the bin. Raises EpisodeError."""
        path = trash_dir(self.root) / f"{check_name(name)}{SUFFIX}"
        if not path.is_dir():
            raise EpisodeError(f"No episode '{name}' in the bin '{path.parent}'. See `frs episodes list --binned`.")
        self._move(path, episodes_dir(self.root))

    # --- writing ----------------------------------------------------------------------------------

    def new_name(self) -> str:
        """Return a fresh name."""
        return new_name()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
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
            for stale in episodes_dir(self.root).glob(f"{TMP_PREFIX}*"):
                # The journal beside it has all of its data.
                shutil.rmtree(stale, ignore_errors=True) if stale.is_dir() else stale.unlink(missing_ok=True)
        self._holders += 1

    def release(self) -> None:
        """Give the lock back when the last holder does."""
        self._holders = max(0, self._holders - 1)
        if self._holders == 0 and self._lock is not None:
            self._lock.release()
            self._lock = None

    def _edit(self, name: str, changes: dict[str, Any]) -> None:
        folder = self.path(name)
        data = group_metadata({**read_attributes(folder), **changes})
        # Beside the episode, not inside: a crash must leave no stray file in a Zarr group.
        tmp = folder.parent / f"{TMP_PREFIX}{name}.{os.getpid()}.json"
        try:
            with tmp.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(tmp, folder / ROOT_METADATA)
            fsync_path(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                tmp.unlink(missing_ok=True)
            raise EpisodeError(
                f"Episode '{name}' could not be changed: {error.strerror}. Free space or check the folder's permissions."
            ) from error

    def _move(self, path: Path, folder: Path) -> None:
        target = folder / path.name
        if target.exists():
            raise EpisodeError(f"'{target}' exists already, so '{path}' was not moved. Move one of them away.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.rename(path, target)
            fsync_path(folder)
            fsync_path(path.parent)
        except OSError as error:
            raise EpisodeError(f"'{path}' could not be moved to '{folder}': {error.strerror}.") from error
