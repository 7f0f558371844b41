"""A new version of a noise policy is used only where it is no worse on episodes that its twins never saw."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frs_core.errors import ConfigError, TrainingError
from frs_core.learning import DsbcSettings, FitSettings, Gate, NetworkSettings, TrainRequest, find_learner
from frs_core.learning.dsbc import DsbcPolicy
from frs_core.learning.gate import errors_of, gated, only
from frs_core.learning.metadata import read_metadata
from frs_core.learning.progress import OnProgress, Progress, ignore_progress
from frs_core.learning.run import run_request
from frs_core.learning.table import TrainingTable
from frs_core.learning.verdict import MARGIN, Ruling, rule
from tests.fakes.learning import synthetic_table, train_dsbc

QUICK = DsbcSettings(
    network=NetworkSettings(hidden=32, layers=1),
    fit=FitSettings(least_steps=0, steps=120, batch_size=32, learning_rate=3e-3, evaluate_every=20),
)
STEERED = tuple(f"episode-{i}" for i in range(6))
"""What the version in use learned from, and what versions are compared on."""


def table(*, spoilt: bool = False) -> TrainingTable:
    """Return the six episodes and six more, whose noises are those of other chunks where they are spoilt."""
    whole = synthetic_table(episodes=12)
    if not spoilt:
        return whole
    noise, late = whole.noise.copy(), whole.episode >= len(STEERED)
    noise[late] = -3.0 * noise[late]
    return replace(whole, noise=noise)


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version in use, trained on the six episodes."""
    return train_dsbc(only(table(), STEERED), QUICK).save(tmp_path_factory.mktemp("learned") / "reach")


def load_more(request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """Return good episodes; a training source by name."""
    return table()


def load_spoilt(request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """Return episodes half of which are bad; a training source by name."""
    return table(spoilt=True)


def request(former: Path, out: Path, source: str) -> TrainRequest:
    return TrainRequest(
        kind="dsbc",
        root=out.parent,
        episodes=(),
        out=out,
        fingerprint="toy-1",
        settings=QUICK,
        source=f"tests.core.test_learning_gate:{source}",
        gate=Gate(former, STEERED),
    )


@pytest.mark.parametrize(
    ("former", "new", "ruling"),
    [
        ((10, 11, 9), (9, 10, 8.5), Ruling.BETTER),
        ((10, 11, 9, 10), (10.1, 11.0, 9.0, 9.9), Ruling.NO_WORSE),
        ((10, 11, 9, 10), (13, 14, 12.5, 13), Ruling.WORSE),
        ((10, 11, 9), (14, 11, 7), Ruling.UNCLEAR),
        ((10, 11, 9), (10.5, 11, 9.9), Ruling.UNCLEAR),
        ((10, 11, 9), (float("nan"), 11, 9), Ruling.UNSOUND),
    ],
)
def test_only_a_version_that_is_surely_no_worse_is_used(
    former: Sequence[float], new: Sequence[float], ruling: Ruling
) -> None:
    verdict = rule(former, new)
    assert verdict.ruling is ruling
    assert verdict.is_used == (ruling in (Ruling.BETTER, Ruling.NO_WORSE))
    assert verdict.is_used == (verdict.high < MARGIN)
    assert "nan" not in verdict.sentence


def test_a_version_that_is_worse_by_less_than_the_margin_counts_as_no_worse() -> None:
    verdict = rule((10, 10, 10, 10), (10.2, 10.21, 10.2, 10.19))
    assert verdict.low > 0.0
    assert verdict.ruling is Ruling.NO_WORSE


def test_the_interval_is_students_and_holds_its_rate() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 6, 10, 30):
        new = 10.0 + rng.normal(size=(4000, n))
        missed = np.mean([rule([10.0] * n, list(errors)).high < 0.0 for errors in new])
        assert missed < 0.06


def test_a_better_version_is_saved_and_names_the_one_before(tmp_path: Path) -> None:
    few = train_dsbc(only(table(), STEERED[:2]), QUICK).save(tmp_path / "reach")
    result = run_request(request(few, tmp_path / "reach.v2", "load_more"))
    assert result.verdict is not None
    assert result.verdict.ruling is Ruling.BETTER
    metadata = read_metadata(result.path)
    assert metadata.data["former"] == "reach"
    assert metadata.metrics["gate"]["ruling"] == "better"
    assert metadata.metrics["gate"]["judged"] == list(STEERED)
    assert len(metadata.data["episodes"]) == 12
    json.dumps(result.to_json())


def test_a_version_from_too_few_episodes_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    one = train_dsbc(only(table(), STEERED[:1]), QUICK).save(tmp_path / "reach")
    with pytest.raises(TrainingError, match="learned from 1 episode of those"):
        run_request(request(one, tmp_path / "reach.v2", "load_more"))


def test_a_worse_version_is_not_saved(former: Path, tmp_path: Path) -> None:
    result = run_request(request(former, tmp_path / "reach.v2", "load_spoilt"))
    assert result.verdict is not None
    assert result.verdict.ruling is Ruling.WORSE
    assert not result.path.exists()
    assert not list(tmp_path.iterdir())


def test_weights_that_do_not_know_what_they_learned_from_are_unsound(former: Path) -> None:
    whole = table()
    learner = find_learner("dsbc").load()
    bad = replace(train_dsbc(table(spoilt=True), QUICK), acting=train_dsbc(table(spoilt=True), QUICK).acting)
    trained, verdict = gated(learner, whole, QUICK, bad, Gate(former, STEERED), on_progress=ignore_progress)
    assert verdict.ruling is Ruling.UNSOUND
    assert not verdict.is_used
    assert trained.metadata.metrics["gate"]["ruling"] == "unsound"


def test_too_few_episodes_to_compare_on_and_other_learners_are_refused(former: Path, tmp_path: Path) -> None:
    good = request(former, tmp_path / "reach.v2", "load_more")
    with pytest.raises(TrainingError, match="got 2"):
        run_request(replace(good, gate=Gate(former, STEERED[:2])))
    with pytest.raises(ConfigError, match="cannot be compared"):
        run_request(replace(good, kind="bc-gaussian", settings=None))


def test_stopping_the_comparison_keeps_nothing(former: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> bool:
        return progress.stage != "comparing"

    with pytest.raises(TrainingError, match="stopped"):
        run_request(request(former, tmp_path / "reach.v2", "load_more"), stop)
    assert not list(tmp_path.iterdir())


def test_both_errors_are_smaller_for_the_policy_that_learned_the_noises() -> None:
    whole = table()
    right, wrong = train_dsbc(whole, QUICK).policy(), train_dsbc(table(spoilt=True), QUICK).policy()
    assert isinstance(right, DsbcPolicy)
    assert isinstance(wrong, DsbcPolicy)
    late = only(whole, [f"episode-{i}" for i in range(6, 12)])
    assert (errors_of(right, late).mean(axis=1) < errors_of(wrong, late).mean(axis=1)).all()
    assert errors_of(right, late).shape == (2, late.rows)
