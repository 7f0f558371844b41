"""Versions of a noise policy, and trainings of them that end when a test says so."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.events import Driver, Outcome
from frs_core.learning import (
    DsbcSettings,
    FitSettings,
    JobState,
    NetworkSettings,
    Progress,
    Scores,
    TrainRequest,
    TrainResult,
)
from frs_core.learning.metadata import METADATA_FILE
from frs_core.learning.run import run_request
from frs_core.learning.verdict import Verdict, rule
from tests.fakes.episodes import random_chunks, random_meta

QUICK = DsbcSettings(network=NetworkSettings(hidden=8, layers=1), fit=FitSettings(least_steps=0, steps=2))
BETTER, WORSE = rule((10, 11, 9), (9, 10, 8.5)), rule((10, 11, 9, 10), (13, 14, 12.5, 13))


def record_steered(root: Path, *, count: int) -> list[str]:
    """Record successes that a person steered, of random numbers, and return their names, oldest first."""
    recorder = JournalRecorder(EpisodeStore(root))
    names: list[str] = []
    for seed in range(count):
        names.append(recorder.begin(random_meta(seed)))
        for chunk in random_chunks(seed):
            recorder.chunk(dataclasses.replace(chunk, driver=Driver.PERSON))
        recorder.end(Outcome.SUCCESS)
    return names


def first_version(root: Path, episodes: tuple[str, ...]) -> Path:
    """Return the folder of a noise policy that was trained on recorded episodes, quickly and badly."""
    out = root / "learned" / "reach"
    return run_request(TrainRequest("dsbc", root, episodes, out, "toy-1", settings=QUICK)).path


class HeldJob:
    """Stands for `TrainJob`: runs until `end` says what came of it; a version that is used is a copy of the one in use."""

    made: list["HeldJob"]
    """All jobs of a test; set by it."""

    def __init__(self, request: TrainRequest) -> None:
        self.request = request
        self.state = JobState.NEW
        self.result: TrainResult | None = None
        self.error: Exception | None = None
        self.is_closed = False
        self.made.append(self)

    def start(self) -> None:
        """Run."""
        self.state = JobState.RUNNING

    def poll(self) -> tuple[Progress, ...]:
        """Compare."""
        nan = float("nan")
        return (Progress(1, 6, nan, nan, nan, "comparing"),)

    def close(self) -> None:
        """Run no longer."""
        self.is_closed = True

    def end(self, verdict: Verdict) -> None:
        """Be done, with this verdict."""
        request = self.request
        assert request.gate is not None
        if verdict.is_used:
            shutil.copytree(request.gate.former, request.out)
            path = request.out / METADATA_FILE
            facts: dict[str, Any] = json.loads(path.read_text())
            facts["data"] |= {"former": request.gate.former.name, "episodes": list(request.episodes)}
            path.write_text(json.dumps(facts))
        scores = Scores(1.9, 0.9, 0.4, 0.2, 0.7, 0.08, 40, True)
        self.result = TrainResult(
            request.out, "dsbc", request.out.name, scores, 2, 1.0, 40, len(request.episodes), False, verdict=verdict
        )
        self.state = JobState.DONE
