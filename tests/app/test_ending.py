"""A whole cockpit is ended from outside in mid-chunk: it says why, keeps the episode, and leaves nothing behind."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.ending import LOST, Ending
from frs_core.episodes import EpisodeStore, unfinished
from frs_core.events import HoldReason, RequestHold
from tests.fakes.display import own_display
from tests.fakes.snapshots import FakePort
from tests.waiting import LONG_MS, LONG_S

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Cockpit:
    """A running cockpit and what belongs to it."""

    process: subprocess.Popen[str]
    root: Path
    children: list[psutil.Process]
    memory: set[str]

    def end(self) -> tuple[int, str]:
        """Wait for its end, check that nothing is left, and return exit status and log."""
        _, log = self.process.communicate(timeout=LONG_S)
        _, alive = psutil.wait_procs(self.children, timeout=LONG_S)
        for process in alive:
            process.kill()
        assert alive == []
        until = time.monotonic() + LONG_S
        while self.memory & set(os.listdir("/dev/shm")) and time.monotonic() < until:
            time.sleep(0.05)
        assert self.memory & set(os.listdir("/dev/shm")) == set()
        (found,) = unfinished(EpisodeStore(self.root))
        assert found.n_chunks >= 2
        assert found.problem == ""
        return self.process.returncode, log


def _start(folder: Path, *words: str, **environment: str) -> Cockpit:
    root = folder / "data"
    settings = {"FRS_CONFIG_DIR": str(folder / "config"), "FRS_NO_GL": "1", "OMP_NUM_THREADS": "1", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.ended_cockpit", str(root), *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "QT_QPA_PLATFORM": "offscreen", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that run under nohup ignore SIGHUP, and so would the cockpit.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], LONG_S)
    if not ready or process.stdout.readline() != "READY\n":
        process.kill()
        raise AssertionError(f"the cockpit did not come up: {process.communicate()[1]}")
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    memory = {line.split("/dev/shm/")[1].split()[0] for line in maps.splitlines() if "/dev/shm/" in line}
    return Cockpit(process, root, psutil.Process(process.pid).children(recursive=True), memory)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGHUP,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_whole_group_closes_the_window_and_says_so(tmp_path: Path, number: signal.Signals) -> None:
    cockpit = _start(tmp_path)
    os.killpg(cockpit.process.pid, number)
    status, log = cockpit.end()
    assert status == 128 + number
    assert f"{number.name} was received" in log


@pytest.mark.parametrize(
    ("how", "expected", "sentence"),
    [
        ("destroyed", LOST, "The window was destroyed"),
        pytest.param("exit", LOST, "The connection to the display broke", marks=pytest.mark.slow),
        pytest.param("quit", 0, "", marks=pytest.mark.slow),
    ],
)
def test_a_window_that_is_lost_ends_the_program(tmp_path: Path, how: str, expected: int, sentence: str) -> None:
    status, log = _start(tmp_path, how).end()
    assert (status, sentence in log) == (expected, True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_window_that_hangs_is_ended_all_the_same(tmp_path: Path) -> None:
    cockpit = _start(tmp_path, "stuck")
    cockpit.process.terminate()
    status, log = cockpit.end()
    assert status == 128 + signal.SIGTERM
    assert "The window did not close within" in log


@pytest.fixture
def display() -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A display of its own, and its server's process."""
    with own_display() as made:
        yield made


@pytest.mark.gl
@pytest.mark.parametrize("how", ["server ended", "windowkill", "windowclose"])
def test_a_display_that_goes_away_ends_the_program_in_good_order(
    tmp_path: Path, display: tuple[str, subprocess.Popen[bytes]], how: str
) -> None:
    name, server = display
    cockpit = _start(tmp_path, DISPLAY=name, QT_QPA_PLATFORM="xcb")
    if how == "server ended":
        server.terminate()
    else:
        environment = {**os.environ, "DISPLAY": name}
        words = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "FRS cockpit"]
        found = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=LONG_S, check=True)
        subprocess.run(["xdotool", how, found.stdout.split()[-1]], env=environment, timeout=LONG_S, check=True)
    status, log = cockpit.end()
    assert status == LOST
    assert ("The window was destroyed" if how == "windowclose" else "The connection to the display broke") in log


# --- the parts ----------------------------------------------------------------------------------------


class Port(FakePort):
    """A session that counts how often it was closed."""

    closed = 0

    def close(self) -> None:
        """Count."""
        self.closed += 1


@pytest.fixture
def former() -> Iterator[None]:
    """Check that a run gives back what it took."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.usefixtures("former")
def test_the_first_cause_holds_at_once_and_decides_the_status(qtbot: Any) -> None:
    port, ending, asked = Port(), Ending(), list[str]()
    ending.listen()
    ending.keep(port)
    ending.watch(lambda: asked.append("close"))
    os.kill(os.getpid(), signal.SIGTERM)
    qtbot.waitUntil(lambda: bool(asked), timeout=LONG_MS)
    ending.begin("The window was destroyed", LOST)
    ending.finish()
    assert (ending.status, asked) == (128 + signal.SIGTERM, ["close"])
    assert port.of(RequestHold) == [RequestHold(HoldReason.CLOSING, "SIGTERM was received")]
    assert port.closed == 1


@pytest.mark.usefixtures("former")
def test_a_signal_that_was_ignored_from_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ending = Ending()
        ending.listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        ending.finish()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_happens_after_the_window_left_is_no_cause() -> None:
    ending = Ending()
    ending.left()
    ending.begin("The window was destroyed", LOST)
    assert (ending.status, ending.reason) == (0, "")


def test_a_session_that_never_closes_cannot_keep_the_program_alive() -> None:
    program = """
import threading
from app import ending
from tests.fakes.snapshots import FakePort

class Hanging(FakePort):
    def close(self):
        threading.Event().wait()

ending.END_S = 0.2
end = ending.Ending()
end.keep(Hanging())
end.begin("The window was destroyed", ending.LOST)
end.finish()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert done.returncode == LOST
    assert "did not end within 0.2 s. Stacks of its threads" in done.stderr
    assert "in close" in done.stderr
