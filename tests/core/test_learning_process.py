"""The trainer's process reports, stops on request, and its end is always heard of."""

import dataclasses
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from frs_core.errors import ConfigError, TrainingError
from frs_core.learning import (
    DsbcSettings,
    FitSettings,
    JobState,
    NetworkSettings,
    TrainJob,
    TrainRequest,
    process,
)
from frs_core.learning.process import ProcessJob
from frs_core.learning.registry import load_noise_policy
from tests.waiting import LONG_S

SMALL = NetworkSettings(hidden=32, layers=2)
FIT = FitSettings(least_steps=0, steps=60, batch_size=32, evaluate_every=10)
ENDLESS = FitSettings(least_steps=0, steps=1_000_000, batch_size=32, evaluate_every=10, patience=1_000_000)


def request(tmp_path: Path, source: str, *, kind: str = "dsbc", fit: FitSettings = FIT) -> TrainRequest:
    return TrainRequest(
        kind=kind,
        root=tmp_path,
        episodes=(),
        out=tmp_path / "out",
        fingerprint="toy-1",
        settings=DsbcSettings(network=SMALL, fit=fit),
        source=f"tests.fakes.learning:{source}",
    )


def test_a_job_reports_and_leaves_a_usable_policy(tmp_path: Path) -> None:
    job = TrainJob(request(tmp_path, "load_synthetic"))
    job.start()
    result = job.wait(LONG_S)
    job.close()
    assert job.state is JobState.DONE
    assert load_noise_policy(result.path, "toy-1").name == "out"
    assert (result.episodes, result.chunks, result.was_cancelled) == (6, 60, False)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[TrainJob]:
    """Give a job that has begun to train and would go on for ever."""
    job = TrainJob(request(tmp_path, "load_large", fit=ENDLESS))
    try:
        _await_training(job)
        yield job
    finally:
        job.close()


def _await_training(job: TrainJob) -> None:
    job.start()
    until = time.monotonic() + LONG_S
    while not any(p.stage == "training" for p in job.poll()):
        assert job.state is JobState.RUNNING
        assert time.monotonic() < until
        time.sleep(0.01)


def test_cancelling_keeps_the_best(started: TrainJob) -> None:
    started.cancel()
    result = started.wait(LONG_S)
    assert result.was_cancelled
    assert load_noise_policy(result.path, "toy-1").metadata.metrics["steps"] >= 10


def test_the_time_limit_keeps_the_best_too(started: TrainJob) -> None:
    started._deadline = time.monotonic()
    assert started.wait(LONG_S).was_cancelled


def test_an_error_in_the_trainer_is_raised_by_its_owner(tmp_path: Path) -> None:
    job = TrainJob(request(tmp_path, "load_broken"))
    job.start()
    with pytest.raises(TrainingError, match="non-finite noise, first in episode 'episode-1'"):
        job.wait(LONG_S)
    job.close()
    assert not (tmp_path / "out").exists()


def test_a_process_that_dies_is_noticed(tmp_path: Path) -> None:
    job = TrainJob(request(tmp_path, "die"))
    job.start()
    with pytest.raises(TrainingError, match="ended without a word"):
        job.wait(LONG_S)
    job.close()
    assert job.state is JobState.FAILED


def test_closing_a_running_job_ends_its_process(tmp_path: Path) -> None:
    job = TrainJob(request(tmp_path, "load_large", fit=ENDLESS))
    job.start()
    job.close()
    job.close()
    assert job.state is JobState.FAILED
    assert not job._process.is_alive()


def _tell_and_linger(messages: "queue.Queue[object]", go: threading.Event) -> None:
    messages.put("the end")
    go.wait(LONG_S)


def test_whoever_polls_does_not_wait_for_the_process_to_end() -> None:
    job: ProcessJob[object, str] = ProcessJob(
        _tell_and_linger, (), done=str, what="This", consolation="", timeout_s=LONG_S, grace_s=LONG_S
    )
    job.start()
    until = time.monotonic() + LONG_S
    while job.state is JobState.RUNNING:
        assert time.monotonic() < until
        job.poll()
        time.sleep(0.01)
    assert job.result == "the end"
    job.close()
    assert job._process.is_alive()
    job._cancel.set()
    job._process.join(LONG_S)
    assert job._process.exitcode == 0


def test_an_unknown_source_is_named(tmp_path: Path) -> None:
    job = TrainJob(request(tmp_path, "nothing_like_it"))
    job.start()
    with pytest.raises(ConfigError, match="nothing_like_it"):
        job.wait(LONG_S)
    job.close()


@pytest.mark.parametrize(("is_background", "gpus"), [(True, ""), (False, "0")])
def test_a_training_in_the_background_leaves_the_gpu_to_the_fan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_background: bool, gpus: str
) -> None:
    seen: list[str | None] = []
    politeness: list[int] = []

    def run_request(*_: object) -> TrainingError:
        seen.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
        return TrainingError("nothing to learn")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr("frs_core.learning.run.run_request", run_request)
    monkeypatch.setattr(process.os, "nice", politeness.append)
    monkeypatch.setattr(process.signal, "signal", lambda *_: None)
    asked = dataclasses.replace(request(tmp_path, "load_synthetic"), is_background=is_background)
    messages: queue.Queue[object] = queue.Queue()
    process._trainer(asked, messages, multiprocessing.get_context("spawn").Event())  # type: ignore[arg-type]
    assert seen == [gpus]
    assert bool(politeness) is is_background
    assert isinstance(messages.get_nowait(), TrainingError)


def test_the_facade_does_not_load_torch() -> None:
    import subprocess

    code = "import sys, frs_core.learning; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=LONG_S).returncode == 0
