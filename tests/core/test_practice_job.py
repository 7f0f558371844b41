"""A practice in a process of its own: it reports its progress, stops when asked, and resumes where it was."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from frs_core.errors import TrainingError
from frs_core.evaluation.practice_job import PracticeJob, PracticeNews, PracticeResult, Stage
from frs_core.learning import JobState
from frs_core.learning.practice_folder import STATE, version_folder
from frs_core.learning.practice_record import list_practices, read_practice, request_of, with_budget
from frs_core.learning.registry import load_noise_policy
from tests.core.test_practice import PRACTICE, record_successes, request
from tests.fakes.practice_job import point, write_practice

WAIT_S = 240.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steered successes to start from."""
    return record_successes(tmp_path_factory.mktemp("data"))


@pytest.fixture
def jobs() -> Iterator[list[PracticeJob]]:
    """Jobs that are closed in the end."""
    made: list[PracticeJob] = []
    yield made
    for job in made:
        job.close()


def followed(job: PracticeJob, until: Callable[[PracticeNews], bool] = lambda _news: False) -> list[PracticeNews]:
    """Return the news of a job up to some, or to its end."""
    heard: list[PracticeNews] = []
    deadline = time.monotonic() + WAIT_S
    while job.state is JobState.RUNNING and time.monotonic() < deadline:
        heard += job.poll()
        if any(until(news) for news in heard):
            break
        time.sleep(0.02)
    return heard


def test_a_job_tells_each_attempt_stops_when_asked_and_goes_on_where_it_was(
    tmp_path: Path,
    data: Path,
    jobs: list[PracticeJob],
) -> None:
    asked, folder = request(data, tmp_path / "out"), tmp_path / "practice" / "reach_left" / "pick-q"
    job = PracticeJob(asked, folder, actors=1)
    jobs.append(job)
    job.start()
    heard = followed(job, lambda news: len(news.attempts) == 1)
    job.cancel()
    heard += followed(job)
    assert job.error is None
    assert job.result is not None
    assert job.result.was_stopped
    assert {news.stage for news in heard} >= {Stage.LOADING, Stage.CHECKING, Stage.TRYING}
    last = next(news.last for news in heard if news.last is not None)
    assert last.is_check
    assert all(image.shape[2] == 3 for image in last.images.values())
    assert last.images

    (record,) = list_practices(tmp_path / "practice")
    assert record == job.result.record
    assert len(record.attempts) >= 1
    assert [point.episodes for point in record.curve] == [0]
    assert not record.is_finished
    assert (record.learner, record.task, record.practice.episodes) == ("pick-q", "reach_left", PRACTICE.episodes)
    assert load_noise_policy(asked.out, record.fingerprint)
    assert load_noise_policy(version_folder(folder, record.curve[0].episodes), record.fingerprint)

    more = request_of(with_budget(record, episodes=2, minutes=0.0), root=data, out=asked.out)
    again = PracticeJob(more, folder, actors=1)
    jobs.append(again)
    again.start()
    heard = followed(again)
    assert again.error is None
    assert heard[0].attempts == record.attempts
    result = again.result
    assert isinstance(result, PracticeResult)
    assert not result.was_stopped
    assert len(result.record.attempts) == 2
    assert result.record.is_finished
    assert heard[-1].curve == result.record.curve
    assert heard[-1].attempts == result.record.attempts


def test_a_killed_job_is_told_and_loses_nothing(tmp_path: Path, data: Path, jobs: list[PracticeJob]) -> None:
    asked = request(data, tmp_path / "out", practice=replace(PRACTICE, episodes=200, round_episodes=1, judge_every=0))
    job = PracticeJob(asked, tmp_path / "log", actors=1)
    jobs.append(job)
    job.start()
    followed(job, lambda news: len(news.attempts) == 2)
    assert job._process.pid is not None
    os.kill(job._process.pid, signal.SIGKILL)
    heard = followed(job)
    assert job.state is JobState.FAILED
    assert isinstance(job.error, TrainingError)
    assert "(SIGKILL; the system does that when memory runs out). Only the attempt in progress is lost" in str(
        job.error
    )
    assert str(job.error).endswith("; continue where it stopped.")
    assert len(read_practice(tmp_path / "log").attempts) >= max([2, *(len(news.attempts) for news in heard)])


def test_what_cannot_be_practised_is_told_in_a_sentence(
    tmp_path: Path,
    data: Path,
    jobs: list[PracticeJob],
) -> None:
    job = PracticeJob(replace(request(data, tmp_path / "out"), task="reach_up"), tmp_path / "log", actors=1)
    jobs.append(job)
    job.start()
    followed(job)
    assert job.state is JobState.FAILED
    assert "no successful episodes of task 'reach_up'" in str(job.error)


def test_a_practice_with_settings_of_another_version_keeps_its_versions_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "some_task" / "pick-q"
    write_practice(folder, attempts=[True, False], curve=[point(0, 8)])
    conditions = json.loads((folder / "practice.json").read_text())
    (folder / "practice.json").write_text(json.dumps({**conditions, "settings": {"bygone": 1}}))
    record = read_practice(folder)
    assert "another version" in record.problem
    assert ". " not in record.problem
    assert record.problem.endswith(")")
    assert (len(record.curve), record.attempts) == (1, (True, False))


def test_a_damaged_practice_is_listed_with_its_problem(tmp_path: Path) -> None:
    folder = tmp_path / "some_task" / "one"
    folder.mkdir(parents=True)
    (folder / "practice.json").write_text("{}")
    (record,) = list_practices(tmp_path)
    assert record.task == "some_task"
    assert "is damaged" in record.problem
    (folder / STATE).write_bytes(b"torn")
    assert read_practice(folder).problem
