"""What becomes of a command whose standard output cannot be written.

A reader that leaves early, as `head` does, is no failure, and no success of a command that may not have done all its work: the command
ends as `cat`, `ls` and `git` do, by the signal SIGPIPE and without a word (a shell shows status 141, and that of the pipeline is the
reader's). A disk that is full is a failure: one line on standard error, status 1.

Main thread.
"""

import errno
import os
import select
import signal
import sys
from typing import NoReturn


def is_output_closed() -> bool:
    """Return whether the reader of our output has closed it; the rest of the buffer is then discarded."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # Windows, or no file behind it
        return False
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    _discard_output()
    return True


def end_as_unread() -> NoReturn:
    """End this process as one whose output is not read any more."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    raise SystemExit(128 + 13)  # Windows, or a signal that is blocked.


def why_output_fails(error: OSError) -> str | None:
    """Return why what was printed cannot be written, in the system's words, and discard it; None if it can.

    Args:
        error: what a command ended with; that of a stream has no file's name.
    """
    if error.filename is not None:
        return None
    try:
        # Python forgets what it could not write, so that flushing again would succeed.
        os.write(sys.stdout.fileno(), b"\n")
    except (AttributeError, ValueError):  # Closed by whoever started us.
        return None
    except OSError as again:
        _discard_output()
        return again.strerror or os.strerror(again.errno or errno.EIO)
    return None


def _discard_output() -> None:
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
