"""A practice that is killed again and again, in the middle of its rounds, ends as if it had not been."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from frs_core.learning.practice_record import read_practice
from frs_core.learning.table_file import read_packed, read_table
from tests.core.test_practice import record_successes
from tests.fakes.killed_practice import EPISODES, PRACTICE
from tests.waiting import LONG_S

ROOT = Path(__file__).resolve().parents[2]
KILLS = 5


def start(data: Path, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the practice in a process group of its own, its actors included."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.killed_practice", str(data), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill the practice and its actors at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(LONG_S)


def driven(folder: Path) -> int:
    """Return how many episodes of its own are kept."""
    return len(list((folder / "practice" / "episodes").glob("*.table")))


def kill_soon(process: "subprocess.Popen[bytes]", folder: Path, draw: random.Random) -> int:
    """Kill a practice within a second after its next episode has ended; return how many it has kept then."""
    before, until = driven(folder), time.monotonic() + LONG_S
    while driven(folder) == before and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.002)
    time.sleep(draw.uniform(0.0, 1.0))
    kill(process)
    return driven(folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_practice_killed_within_its_rounds_loses_nothing_and_ends_the_same(tmp_path: Path) -> None:
    data, draw = record_successes(tmp_path / "data"), random.Random(11)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(data, whole).wait(LONG_S) == 0
    kept: list[int] = []
    for _ in range(KILLS):
        process = start(data, killed)
        try:
            kept.append(kill_soon(process, killed, draw))
        except BaseException:
            kill(process)
            raise
        assert len(read_practice(killed / "practice").attempts) == kept[-1]
    assert kept == sorted(kept), "an episode was lost"
    assert any(count % PRACTICE.round_episodes for count in kept), "no kill fell into a round"
    assert start(data, killed).wait(LONG_S) == 0

    one, two = read_practice(whole / "practice"), read_practice(killed / "practice")
    assert len(one.attempts) == EPISODES
    assert one.attempts == two.attempts
    points = [[(p.episodes, p.successes, p.chunks, p.own_successes) for p in record.curve] for record in (one, two)]
    assert points[0] == points[1]
    for seed in range(PRACTICE.first_seed, PRACTICE.first_seed + EPISODES):
        tables = [read_table(record.folder / "episodes" / f"{seed}.table") for record in (one, two)]
        np.testing.assert_array_equal(tables[0].noise, tables[1].noise)
        np.testing.assert_array_equal(tables[0].chunk, tables[1].chunk)
    states = [read_packed(record.folder / "learner.state")[0] for record in (one, two)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        np.testing.assert_array_equal(tensor.numpy(), states[1][name].numpy())
    assert not list((two.folder / "actors").glob("*"))
