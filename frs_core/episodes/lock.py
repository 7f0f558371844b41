"""One writer per store, and one editor at a time.

Problem: two cockpits recording into one folder would take each other's unfinished recordings for crashed ones. Idea: an
advisory lock on `episodes/.lock`, with the owner's process id inside for the message. The kernel frees the lock when its
owner dies, however it dies, so a stale file is taken over at once and without a race.

An edit of a label reads, changes and writes, which takes milliseconds and must be possible while somebody records: edits
wait for each other on a lock of their own, `<root>/.edits.lock`.

Example: a second writer gets `StoreLocked: … is being written by process 4711 (since 2026-11-04 10:15:30 UTC)…`.

Any thread; a lock belongs to the object that took it.
"""

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Generator
from pathlib import Path

from frs_core.errors import EpisodeError, EpisodeUnwritten, StoreLocked
from frs_core.runtime.foreign import MALFORMED, open_lock, read_json

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


EDIT_WAIT_S = 10.0
"""How long an edit waits for others. Guess; one takes two syncs, about 10 ms on a slow disk."""
_EDIT_POLL_S = 0.002


@contextlib.contextmanager
def editing(root: Path, *, wait_s: float = EDIT_WAIT_S) -> Generator[None, None, None]:
    """Keep other programs and threads from editing episodes of a root meanwhile.

    Args:
        root: recording root.
        wait_s: how long to wait for another editor, seconds.
    Raises:
        StoreLocked: another one did not finish in time.
        EpisodeError: the lock file cannot be made.
    """
    path, until = root / ".edits.lock", time.monotonic() + wait_s
    try:
        file = open_lock(path)
    except OSError as error:
        raise EpisodeError(
            f"The lock '{path}' cannot be made: {error.strerror}. Check the disk and the folder's permissions."
        ) from error
    with file:
        while not try_lock(file.fileno()):
            if time.monotonic() >= until:
                raise StoreLocked(
                    f"The episodes of '{root}' are being edited by another program, for more than {wait_s:g} s. Try again, "
                    f"or close that one."
                )
            time.sleep(_EDIT_POLL_S)
        yield


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
            self._file = open_lock(path)
        except OSError as error:
            raise EpisodeUnwritten(
                f"The episode store's lock '{path}' cannot be made: {error.strerror}. Choose a folder you may write to."
            ) from error
        if not try_lock(self._file.fileno()):
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
        owner = read_json(path, may_link=False)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(owner["since"])))
        return f"process {int(owner['pid'])} on {owner['host']} (since {since})"
    except (OSError, *MALFORMED):
        return "another process"


def _stale_pid(path: Path) -> int | None:
    try:
        return int(read_json(path, may_link=False)["pid"])
    except (OSError, *MALFORMED):
        return None


def try_lock(fd: int) -> bool:
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
