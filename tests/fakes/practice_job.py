"""A practice that does what a test tells it to, and practices on disk that were never practised."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from frs_core.errors import FrsError
from frs_core.evaluation.practice_job import Attempt, PracticeNews, PracticeResult, Stage
from frs_core.learning import JobState, Practice, TrainRequest
from frs_core.learning.practice_folder import CONDITIONS, EPISODES, STATE
from frs_core.learning.practice_log import Point
from frs_core.learning.practice_record import read_practice, write_budget
from frs_core.learning.settings import to_json
from frs_core.learning.table_file import write_packed
from frs_core.steering.policy_spec import PolicySpec


class FakeJob:
    """Has the face of a `PracticeJob`; `tell`, `finish` and `fail` are the test's."""

    def __init__(self, request: TrainRequest, folder: Path, attended: PolicySpec | None = None) -> None:
        self.request, self.folder, self.attended = request, folder, attended
        self.episodes: list[str] = []
        self.state, self.result, self.error = JobState.NEW, None, None
        self.is_cancelled = self.is_closed = False
        self._news: list[PracticeNews] = []

    def start(self) -> None:
        """Run."""
        self.state = JobState.RUNNING

    def cancel(self) -> None:
        """Hear that it is to stop."""
        self.is_cancelled = True

    def poll(self) -> tuple[PracticeNews, ...]:
        """Return what the test reported since."""
        news, self._news = tuple(self._news), []
        return news

    def close(self) -> None:
        """End."""
        self.is_closed = True
        if self.state is JobState.RUNNING:
            self.state = JobState.FAILED

    def ended(self, name: str) -> None:
        """Hear which episode came of an attempt."""
        self.episodes.append(name)

    def tell(self, news: PracticeNews) -> None:
        """Have news."""
        self._news.append(news)

    def finish(self, *, was_stopped: bool = False) -> None:
        """End with what is in the folder."""
        self.result, self.state = PracticeResult(read_practice(self.folder), was_stopped), JobState.DONE

    def fail(self, error: FrsError) -> None:
        """End with an error."""
        self.error, self.state = error, JobState.FAILED


def point(episodes: int, successes: int, *, scenes: int = 20, own: tuple[int, int] = (0, 0)) -> Point:
    """Return a judged version."""
    return Point(episodes, successes, scenes, 18.0 - successes / 4, own[0], own[1], episodes / 8)


def some_news(attempts: Sequence[bool], curve: Sequence[Point] = (), *, stage: Stage = Stage.TRYING) -> PracticeNews:
    """Return where a practice might stand, with an image."""
    image = np.full((90, 160, 3), 120, np.uint8)
    last = Attempt(40_000 + len(attempts), True, 12, False, {"left": image, "wrist": image})
    return PracticeNews(stage, 2, 5, 1, tuple(attempts), tuple(curve), 150.0, last)


def write_practice(
    folder: Path,
    *,
    learner: str = "pick-q",
    practice: Practice | None = None,
    attempts: Sequence[bool] = (),
    curve: Sequence[Point] = (),
    fingerprint: str = "toy-1",
    seconds: float = 300.0,
) -> None:
    """Write the folder of a practice as its log would, without a learner."""
    practice = practice or Practice(world="point")
    folder.mkdir(parents=True, exist_ok=True)
    conditions = {
        "learner": learner,
        "task": folder.parent.name,
        "policy": "toy",
        "settings": None,
        "practice": {k: v for k, v in to_json(practice).items() if k not in ("episodes", "minutes")},
        "prior": [["one", "two"], fingerprint],
    }
    (folder / CONDITIONS).write_text(json.dumps(conditions, default=dict))
    nothing = {"nothing": torch.zeros(1)}
    for number, is_success in enumerate(attempts):
        path = folder / EPISODES / f"{practice.first_seed + number}.table"
        write_packed(path, nothing, {"succeeded": [is_success]})
    facts = {"state": {}, "rounds": [len(attempts)], "curve": [asdict(p) for p in curve], "seconds": seconds}
    write_packed(folder / STATE, nothing, facts)
    write_budget(folder, practice)


def longer(practice: Practice, episodes: int) -> Practice:
    """Return a practice of more attempts."""
    return replace(practice, episodes=episodes)
