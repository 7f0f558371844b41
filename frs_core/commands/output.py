"""What becomes of a command whose standard output cannot be written.

A reader that leaves early, as `head` does, is no failure, and no success of a command that may not have done all its work: the command
ends as `cat`, `ls` and `git` do, by the signal SIGPIPE and without a word (a shell shows status 141, and that of the pipeline is the
reader's). A disk that is full is a failure: one line on standard error, status 1.

Main thread.
"""

import io
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from typing_extensions import Buffer


_STDERR = 2


def is_output_closed() -> bool:
    """Return whether the reader of our output has closed it; the rest of the buffer is then discarded."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # Windows, or no file behind it
        return False
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    discard_output()
    return True


def end_as_unread() -> NoReturn:
    """End this process as one whose output is not read any more."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    raise SystemExit(128 + 13)  # Windows, or a signal that is blocked.


def fill_closed_streams() -> None:
    """Let the standard streams that were closed by whoever started us lead to nowhere. Otherwise the next file that is opened takes the place
    of one, and what a library prints lands in it."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  as long as the process
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr = open(_STDERR, "w", closefd=False)  # noqa: SIM115


class OutputFails(OSError):
    """Standard output cannot be written: a full disk, a device that is gone. A reader that left is a `BrokenPipeError` as ever."""


class _Output(io.FileIO):
    """A file that says by the kind of its error that it was the one that failed."""

    def write(self, data: "Buffer", /) -> int | None:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFails(error.errno, error.strerror) from error


def watch_output() -> None:
    """Let what fails to be printed raise `OutputFails`, so that it is told from every other OSError. Nothing changes where standard output is
    no file of the system's, such as in a test or on a Windows console."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        return
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO:
        return
    file = _Output(raw.fileno(), "w", closefd=False)
    stream.flush()
    sys.stdout = io.TextIOWrapper(
        file if raw is stream.buffer else io.BufferedWriter(file),  # pyright: ignore[reportArgumentType]  unbuffered, as with python -u
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def discard_output() -> None:
    """Let nothing more be written to standard output: what is still in its buffer would fail again when Python ends."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
