"""Parts of `scripts/gpu-check` that go wrong on purpose."""

import os
import signal
import subprocess
import sys
import time

from benchmarks.gpu.task import CannotRun, Task


def works(task: Task) -> None:
    task.note("answer", 42)
    task.say(f"42 on {task.device}")


def raises(task: Task) -> None:
    task.note("before", 1)
    raise ValueError("seven is not even")


def crashes(task: Task) -> None:
    task.note("before", 1)
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(task: Task) -> None:
    """Note something, start a process that hangs as well, and hang."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    task.note("sleeper", sleeper.pid)
    time.sleep(600)


def misses_a_package(task: Task) -> None:
    import no_such_package_at_all  # pyright: ignore[reportMissingImports]  # noqa: F401


def cannot(task: Task) -> None:
    raise CannotRun("There is no card.")
