"""Children end with a parent that was killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.waiting import LONG_S

PARENT = """
import multiprocessing, time
from frs_core.runtime.owner import owned

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=owned, args=(time.sleep, 600))
    child.start()
    print(child.pid, flush=True)
    child.join()
"""


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_a_parent_that_is_killed(by: int, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(by)
    until = time.monotonic() + LONG_S
    while _is_alive(child):
        assert time.monotonic() < until, "the child outlived its parent"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
