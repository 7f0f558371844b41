"""A display of one's own: an X server on a number that it finds itself, and its process."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.waiting import LONG_S

_TRIES = 5


@contextlib.contextmanager
def own_display() -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Start a server and yield its name, such as ":7", and its process; skip the test where there is none to be had."""
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        pytest.skip("needs Xvfb and xdotool")
    name, server = _start()
    try:
        environment, until = {**os.environ, "DISPLAY": name}, time.monotonic() + LONG_S
        words = ["xdotool", "getdisplaygeometry"]
        while subprocess.run(words, env=environment, capture_output=True, check=False).returncode:
            assert time.monotonic() < until, f"display {name} does not answer"
            time.sleep(0.1)
        yield name, server
    finally:
        # A server that is asked to end takes its lock and its socket with it.
        server.terminate()
        server.wait()


def _start() -> tuple[str, "subprocess.Popen[bytes]"]:
    for _ in range(_TRIES):
        mine, theirs = os.pipe()
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(theirs), "-screen", "0", "1400x900x24", "-noreset"],
            pass_fds=[theirs],
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        with os.fdopen(mine) as said:
            # Comes when the server answers, however long that takes; empty if it ended, say because another took its number.
            number = said.readline().strip()
        if number:
            return f":{number}", server
        server.wait()
    raise AssertionError(f"Xvfb did not start in {_TRIES} tries; its last exit status is {server.returncode}")
