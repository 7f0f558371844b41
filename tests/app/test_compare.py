"""Comparing before and after: same fresh scenes for both, counted as they come, stopped on wish, and honest about failures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.views.train.compare import BEFORE, FIRST_SEED, Comparison, compare
from frs_core.errors import WorldError
from frs_core.evaluation.results import Result
from frs_core.evaluation.runner import EvalProgress, EvalSpec
from frs_core.policies import NamedPolicy

AFTER = "bc-flow"


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, stop_after: int = 99, error: str = "") -> Any:
    """Compare three episodes each, of which the learned one succeeds in all."""
    specs: list[EvalSpec] = []
    reports: list[Comparison] = []

    def evaluate(spec: EvalSpec, out: Path, *, workers: int, on_progress: Callable[[EvalProgress], bool]) -> None:
        specs.append(spec)
        cells = [(m, s) for m in spec.methods for s in spec.seeds]
        for i, (method, seed) in enumerate(cells, 1):
            last = Result(method, spec.tasks[0], seed, method == AFTER, error=error)
            if not on_progress(EvalProgress(i, len(cells), 0, 1.0, last)):
                return

    monkeypatch.setattr("frs_core.evaluation.runner.run_evaluation", evaluate)
    result = compare(
        tmp_path,
        method=AFTER,
        world="tabletop",
        world_options={},
        policy=NamedPolicy(action_space="joint_velocity"),
        task="mug_on_plate",
        episodes=3,
        report=lambda r: reports.append(r),  # type: ignore[arg-type]
        is_stopped=lambda: len(reports) >= stop_after,
    )
    return result, specs, reports


def test_both_methods_meet_the_same_fresh_scenes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, specs, reports = run(monkeypatch, tmp_path)
    assert (result.before, result.after) == ((0, 3), (3, 3))
    assert specs[0].methods == (BEFORE, AFTER)
    assert specs[0].job.setup["action_space"] == "joint_velocity"
    assert specs[0].seeds == tuple(range(FIRST_SEED, FIRST_SEED + 3))
    assert [r.done for r in reports] == [1, 2, 3, 4, 5, 6]


def test_a_stop_ends_it_after_the_present_episode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, _, reports = run(monkeypatch, tmp_path, stop_after=2)
    assert len(reports) == 2
    assert result.before == (0, 2)


def test_episodes_that_cannot_be_run_are_told_not_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"6 episodes could not be run\. no weights"):
        run(monkeypatch, tmp_path, error="no weights")
