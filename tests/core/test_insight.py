"""Findings about an episode come from a process of its own, and its death is a sentence."""

import threading
import time
from pathlib import Path

from frs_core.choosers.scripted import SequenceChooser
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.evaluation.insight import InsightProcess, Report
from frs_core.policies import NamedPolicy
from frs_core.session import InlineSession
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld
from tests.waiting import LONG_S

TOY = "tests.fakes.policy:ToyPolicy"


def record(root: Path) -> Path:
    """Record one episode of the toy policy."""
    session = InlineSession(PointWorld(), ToyPolicy(), recorder=JournalRecorder(EpisodeStore(root)))
    labels = ["left/more", "unsteered", "up/more"]
    result = session.run_episode(SequenceChooser(labels), task="reach_up", seed=0, max_chunks=3)
    session.close()
    return EpisodeStore(root).path(result.name)


def answer(process: InsightProcess, *, timeout_s: float = LONG_S) -> Report:
    """Wait for one report."""
    until, tick = time.monotonic() + timeout_s, threading.Event()
    while time.monotonic() < until:
        for report in process.poll():
            return report
        tick.wait(0.05)
    raise AssertionError("no answer")


def test_stored_noises_are_found_to_regenerate_and_a_dead_process_says_so(tmp_path: Path) -> None:
    path = record(tmp_path)
    process = InsightProcess(NamedPolicy(TOY))
    try:
        assert process.ask(path)
        report = answer(process)
        assert report.problem == ""
        assert report.chunks
        assert all(c.is_good for c in report.chunks.values())
        process._process.kill()
        process._process.join(LONG_S)
        process._waiting.add(path)
        assert "has ended" in answer(process).problem
    finally:
        process.close()
        process.close()


def test_a_policy_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    path = record(tmp_path)
    process = InsightProcess(NamedPolicy("no_such_policy"))
    try:
        process.ask(path)
        assert "no_such_policy" in answer(process).problem
    finally:
        process.close()
