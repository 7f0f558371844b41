"""Processes that end once the one that started them has ended, however that happened.

Problem: a parent that is killed cannot end its children, and those that wait for work, or do hours of it, go on. Idea: each waits, in a
thread of its own, for the parent's end, and then ends itself as if it were asked to.

    context.Process(target=owned, args=(work, *arguments))
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import wait


def owned(work: Callable[..., object], *arguments: object) -> None:
    """Do some work in a process of `multiprocessing`; SIGTERM ends it once its parent has ended."""
    owner = multiprocessing.parent_process()
    if owner is not None:
        threading.Thread(target=_end_after, args=(owner.sentinel,), name="frs-owner", daemon=True).start()
    work(*arguments)


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
