"""Advice from the episodes alone: the odd one is named, more is asked for only where it helps."""

from dataclasses import replace

import numpy as np
import pytest

from frs_core.learning import run
from frs_core.learning.advice import Advice, advise
from frs_core.learning.table import TrainingTable
from tests.fakes.learning import synthetic_table


def table(episodes: int, *, chunks: int = 12, seed: int = 0) -> TrainingTable:
    """Return chunks whose noise is a smooth function of the features."""
    made = synthetic_table(episodes=episodes, chunks=chunks, seed=seed)
    noise = np.repeat(np.tanh(made.features[:, None, :7]), made.horizon, axis=1)
    return replace(made, noise=noise.astype(np.float32))


def test_an_episode_that_goes_another_way_is_named() -> None:
    made = table(8)
    noise = made.noise.copy()
    noise[made.episode == 5] *= -1.0
    advice = advise(replace(made, noise=noise))
    assert advice.odd == ("episode-5",)
    assert any("episode-5 differs from the others" in s for s in advice.sentences)
    assert advise(made).odd == ()


def test_left_out_episodes_are_judged_as_if_learned_without_them() -> None:
    made = table(6)
    keep = made.episode != 2
    from frs_core.learning import advice as module

    inputs = np.concatenate([module._balanced(made.features), module._balanced(made.proprio)], axis=1)
    kernel, labels = module._kernel(inputs), module._answers(made)
    centred = labels - labels.mean(axis=0)
    rows = np.flatnonzero(keep)
    weights = np.linalg.solve(kernel[np.ix_(rows, rows)] + module.RIDGE * np.eye(len(rows)), centred[rows])
    residual = centred[~keep] - kernel[np.ix_(np.flatnonzero(~keep), rows)] @ weights
    constant = labels[~keep] - labels[keep].mean(axis=0)
    expected = 1.0 - np.square(residual).sum() / np.square(constant).sum()
    assert module._explained(module._residuals(kernel, labels, made.episode), labels, made.episode)[2] == pytest.approx(
        expected, abs=1e-9
    )


def test_more_episodes_are_advised_while_they_help_and_not_for_what_is_known() -> None:
    few, many = advise(table(4, chunks=6)), advise(table(40, chunks=12))
    assert few.gain > many.gain
    assert "Five more episodes would help" in few.sentences
    assert many.sentences[-1].startswith("More episodes are unlikely")


def test_the_part_that_the_others_explain_least_is_named() -> None:
    made = table(8, chunks=10)
    noise = made.noise.copy()
    fourth = np.arange(made.rows) % 10
    noise[(fourth == 6) | (fourth == 7)] = np.random.default_rng(0).normal(size=(16, *noise.shape[1:])) * 3.0
    advice = advise(replace(made, noise=noise))
    assert advice.unclear == "fourth fifth"
    assert any("The fourth fifth of the episodes is least consistent" in s for s in advice.sentences)


def test_nothing_is_advised_on_too_few_episodes_and_actions_stand_in_for_unknown_noises() -> None:
    assert advise(table(3)).sentences == ()
    assert Advice(float("nan")).sentences == ()
    made = table(6)
    assert np.isfinite(advise(replace(made, noise=np.full_like(made.noise, np.nan))).explained)


@pytest.mark.parametrize("imitates", [True, False])
def test_only_imitators_are_advised(imitates: bool) -> None:
    assert bool(run._notes(table(8), imitates=imitates)) is imitates
