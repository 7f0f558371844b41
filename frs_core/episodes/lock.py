"""One writer per store.

Problem: two cockpits recording into one folder would take each other's unfinished recordings for crashed ones. Idea: an
advisory lock on `episodes/.lock`, with the owner's process id inside for the message. The kernel frees the lock when its
owner dies, however it dies, so a stale file is taken over at once and without a race.

Example: a second writer gets `StoreLocked: … is being written by process 4711 (since 2026-11-04 10:15:30 UTC)…`.

Any thread; a lock belongs to the object that took it.
"""

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path

from frs_core.errors import EpisodeError, StoreLocked

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class StoreLock:
    """Holds a store for one writer until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Args:
            path: the lock file; made when missing.
        Raises:
            StoreLocked: another writer, in this process or another, holds it.
            EpisodeError: the file cannot be made.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise EpisodeError(
                f"The episode store's lock '{path}' cannot be made: {error.strerror}. Choose a folder you may write to."
            ) from error
        if not _try_lock(self._file.fileno()):
            self._file.close()
            raise StoreLocked(
                f"The episode store '{path.parent.parent}' is being written by {describe_owner(path)}. "
                f"Close that one, or record into another folder with --data."
            )
        self.took_over_pid = _stale_pid(path)
        """Process that held the store and died without releasing it; None after a clean release."""
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())}
        # Only the message depends on the content: a full disk must not keep an operator from saving the rest.
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.write(json.dumps(owner).encode())

    @property
    def is_held(self) -> bool:
        """Whether this object still owns the store."""
        return not self._file.closed

    def release(self) -> None:
        """Let others write; safe to call twice."""
        if self._file.closed:
            return
        with contextlib.suppress(OSError):
            self._file.truncate(0)
        self._file.close()


def describe_owner(path: Path) -> str:
    """Return who wrote the lock file, in words."""
    try:
        owner = json.loads(path.read_text())
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(owner["since"])))
        return f"process {int(owner['pid'])} on {owner['host']} (since {since})"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "another process"


def _stale_pid(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _try_lock(fd: int) -> bool:
    """Return whether the exclusive lock could be had at once."""
    try:
        if sys.platform == "win32":
            # One byte far behind the text, so that the message stays readable for others.
            os.lseek(fd, 1 << 20, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
            os.lseek(fd, 0, os.SEEK_SET)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
