"""Intervals, worst draws, shares of variance and forecasts are what synthetic draws of known make say they are."""

import json
import math

import numpy as np
import pytest

from frs_core.evaluation.draw_plots import forecast_against_outcome, success_of_draws
from frs_core.evaluation.draw_tables import as_json, has_draws, markdown, pairs, rows
from frs_core.evaluation.draws import Draw
from frs_core.evaluation.reliability import reliability
from frs_core.evaluation.report import markdown_rows
from frs_core.evaluation.results import Result
from frs_core.evaluation.spread import Outcomes, compare, shares, spread
from frs_core.evaluation.tables import ALL
from frs_core.evaluation.wilson import wilson


def synthetic(
    *, sets: int, seeds: int, scenes: int, between_sets: float, between_seeds: float, mean: float = 0.5, seed: int = 0
) -> Outcomes:
    """Return outcomes whose rates deviate by known amounts between sets and between seeds (two-point distributions)."""
    rng = np.random.default_rng(seed)
    out: dict[Draw, dict[int, int]] = {}
    for k in range(1, sets + 1):
        of_set = mean + between_sets * rng.choice([-1, 1])
        for s in range(seeds):
            rate = of_set + between_seeds * rng.choice([-1, 1])
            draw = Draw(k, s)
            out[draw] = {scene: int(rng.random() < rate) for scene in draw.scenes(scenes)}
    return out


def results(rates: dict[str, list[float]], *, scenes: int = 10, task: str = "mug") -> list[Result]:
    """Return results of methods with the given success of each draw (two training seeds per set)."""
    return [
        Result(
            method, task, scene, i < round(rate * scenes), episode_set=1 + number // 2, train_seed=number % 2,
            forecast=0.7 if method == "dsbc" else None,
        )
        for method, draws in rates.items()
        for number, rate in enumerate(draws)
        for i, scene in enumerate(Draw(1 + number // 2, number % 2).scenes(scenes))
    ]  # fmt: skip


@pytest.mark.parametrize(("between_sets", "between_seeds"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.2, 0.25)], ids=str)
def test_parts_of_the_variance_are_found_without_bias(between_sets: float, between_seeds: float) -> None:
    found = [
        shares(synthetic(sets=10, seeds=3, scenes=8, between_sets=between_sets, between_seeds=between_seeds, seed=i))
        for i in range(400)
    ]
    within = 0.25 - between_sets**2 - between_seeds**2
    assert np.mean([s.episodes for s in found]) == pytest.approx(between_sets**2, abs=0.006)
    assert np.mean([s.seeds for s in found]) == pytest.approx(between_seeds**2, abs=0.006)
    assert np.mean([s.scenes for s in found]) == pytest.approx(within, abs=0.006)


def test_shares_of_many_draws_are_those_they_were_made_with() -> None:
    outcome = synthetic(sets=600, seeds=4, scenes=30, between_sets=0.3, between_seeds=0.2, seed=3)
    episodes, seeds, scenes = shares(outcome).parts
    assert (episodes, seeds, scenes) == pytest.approx((0.36, 0.16, 0.48), abs=0.03)


def test_luck_with_scenes_is_not_taken_for_a_difference_of_draws() -> None:
    outcome = synthetic(sets=400, seeds=2, scenes=5, between_sets=0.0, between_seeds=0.0, seed=1)
    raw = np.var([np.mean(list(scenes.values())) for scenes in outcome.values()])
    episodes, seeds, scenes = shares(outcome).parts
    assert raw > 0.04
    assert episodes is not None
    assert seeds is not None
    assert episodes < 0.05
    assert seeds < 0.08
    assert scenes == pytest.approx(1.0, abs=0.1)


def test_parts_that_cannot_be_told_apart_are_not_told_apart() -> None:
    one_seed = synthetic(sets=300, seeds=1, scenes=20, between_sets=0.2, between_seeds=0.2, seed=2)
    found = shares(one_seed)
    assert found.seeds is None
    assert found.episodes == pytest.approx(0.08, abs=0.02)
    assert shares(synthetic(sets=1, seeds=1, scenes=20, between_sets=0, between_seeds=0)).episodes is None
    assert shares({Draw(1): {0: 1}, Draw(2): {1: 0}}).parts == (None, None, None)
    assert shares({Draw(1): {0: 1, 1: 1}, Draw(2): {2: 1, 3: 1}}).parts == (None, None, None)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for i in range(80):
        outcome = synthetic(sets=10, seeds=2, scenes=10, between_sets=0.2, between_seeds=0.1, seed=i)
        low, high = spread({"mug": outcome}, seed=i).interval
        held += low <= 0.5 <= high
    assert 0.88 <= held / 80 <= 1.0


def test_draws_that_differ_widen_the_interval_and_alike_ones_leave_wilsons() -> None:
    differ = {Draw(k): {i: int(k % 2) for i in Draw(k).scenes(20)} for k in range(1, 11)}
    alike = {Draw(k): {i: i % 2 for i in Draw(k).scenes(20)} for k in range(1, 11)}
    wide, narrow = spread({"mug": differ}), spread({"mug": alike})
    assert wide.mean == narrow.mean == 0.5
    assert wide.interval[1] - wide.interval[0] > 2.5 * (narrow.interval[1] - narrow.interval[0])
    low, high = wilson(100, 200)
    assert narrow.interval[0] <= low
    assert narrow.interval[1] >= high


def test_ten_of_ten_is_not_certain() -> None:
    always = {Draw(k): dict.fromkeys(Draw(k).scenes(5), 1) for k in (1, 2)}
    assert spread({"mug": always}).interval == pytest.approx(wilson(10, 10))


def test_tasks_count_the_same_and_are_not_drawn() -> None:
    easy = {Draw(k): dict.fromkeys(Draw(k).scenes(10), 1) for k in range(1, 9)}
    hard = {Draw(k): dict.fromkeys(Draw(k).scenes(10), 0) for k in range(1, 3)}
    both = spread({"easy": easy, "hard": hard})
    assert both.mean == 0.5
    assert (both.sets, both.draws, both.episodes) == (10, 10, 100)


def test_the_worst_tenth_is_a_mean_of_draws_beside_what_luck_would_give() -> None:
    found = spread({"mug": {d: s for d, s in _of_rates([0.2, 0.4, *[0.8] * 18]).items()}})
    assert (found.worst_count, found.worst_tenth) == (2, pytest.approx(0.3))
    assert 0.4 < found.worst_by_chance < 0.65
    assert spread({"mug": _of_rates([0.5, 0.7, 0.9])}).worst_count == 1


def _of_rates(rates: list[float], scenes: int = 10) -> Outcomes:
    return {Draw(k): {s: int(i < round(r * scenes)) for i, s in enumerate(Draw(k).scenes(scenes))}
            for k, r in enumerate(rates, start=1)}  # fmt: skip


def test_methods_are_compared_draw_by_draw_on_the_scenes_both_met() -> None:
    first, second = _of_rates([0.8, 0.6, 0.5, 0.9]), _of_rates([0.5, 0.6, 0.7, 0.1])
    found = compare({"mug": first}, {"mug": second})
    assert found is not None
    assert (found.above, found.ties, found.below, found.draws) == (2, 1, 1, 4)
    assert found.difference == pytest.approx(0.225)
    assert found.interval[0] < found.difference < found.interval[1]
    partly = {Draw(1): {Draw(1).scenes(1)[0]: 0}}
    only = compare({"mug": first}, {"mug": partly})
    assert only is not None
    assert (only.draws, only.difference) == (1, 1.0)
    assert compare({"mug": first}, {"can": second}) is None


def test_the_table_tells_mean_spread_pairs_and_how_it_was_computed() -> None:
    given = results({"base": [0.1] * 4, "bc-gaussian": [0.3, 0.5, 0.2, 0.9], "dsbc": [0.8, 0.5, 0.6, 0.7]})
    text = markdown(given)
    table = markdown_rows(text)
    assert [row[0] for row in table[1:]] == ["Base policy", "DSBC", "BC, Gaussian"]
    assert table[1][3:] == ("–", "–", "40 episodes")
    assert table[2][2].startswith("65 % (")
    assert table[2][3].startswith("50 % (1 of 4; by chance")
    assert table[2][5] == "2 sets, 4 draws, 40 episodes"
    assert "DSBC above BC, Gaussian in 2 of 4 paired draws, 1 tie; difference +18 points" in text
    assert "10,000 resamples" in text
    assert "Only 2 set(s)" in text
    assert has_draws(given)
    assert not has_draws([Result("dsbc", "mug", 0, True)])


def test_variants_are_compared_with_those_of_as_many_episodes() -> None:
    given = results({"dsbc": [0.5], "dsbc@3": [0.4], "bc-gaussian": [0.3], "bc-gaussian@3": [0.2], "frs": [1.0]})
    assert [(p.first, p.second) for p in pairs(given)] == [("dsbc@3", "bc-gaussian@3"), ("dsbc", "bc-gaussian")]


def test_several_tasks_have_a_row_each_and_one_for_all() -> None:
    given = results({"dsbc": [0.8, 0.6]}) + results({"dsbc": [0.2, 0.4]}, task="can")
    assert [(r.task, round(r.spread.mean, 2)) for r in rows(given)] == [("mug", 0.7), ("can", 0.3), (ALL, 0.5)]


def test_json_holds_the_same_plainly() -> None:
    given = results({"base": [0.0] * 2, "dsbc": [1.0] * 2})
    data = json.loads(json.dumps(as_json(given), allow_nan=False))
    assert [r["mean"] for r in data["rows"]] == [0.0, 1.0]
    assert data["rows"][0]["worst_tenth"] is None
    assert data["rows"][1]["rates"] == [1.0, 1.0]
    assert data["reliability"]["episodes"] == 20


def test_episodes_that_could_not_be_run_are_told_and_left_out() -> None:
    broken = Result("dsbc", "mug", 99, False, error="the worker died", episode_set=1)
    given = [*results({"dsbc": [1.0, 1.0]}), broken]
    assert rows(given)[0].spread.mean == 1.0
    assert "1 episode(s) could not be run" in markdown(given)


def test_forecasts_are_scored_against_what_came_out() -> None:
    reported = reliability(results({"base": [0.0] * 2, "dsbc": [0.5, 0.9]}))
    assert reported is not None
    assert [(p.successes, p.trials) for p in reported.points] == [(5, 10), (9, 10)]
    assert reported.brier == pytest.approx(0.7 * 0.3**2 + 0.3 * 0.7**2)
    assert reported.constant == pytest.approx(0.21)
    assert (reported.mean_forecast, reported.mean_outcome, reported.episodes) == (
        pytest.approx(0.7),
        pytest.approx(0.7),
        20,
    )
    assert reliability(results({"base": [0.5]})) is None


def test_plots_show_every_draw_and_every_forecast() -> None:
    given = results({"base": [0.1] * 4, "dsbc": [0.8, 0.5, 0.6, 0.7]})
    axes = success_of_draws(rows(given)).axes[0]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([10.0, 65.0])
    assert [len(dots.get_offsets()) for dots in axes.collections if hasattr(dots, "get_sizes")] == [0, 4]
    reported = reliability(given)
    assert reported is not None
    dots = forecast_against_outcome(reported).axes[0].collections[0].get_offsets()
    assert sorted(float(y) for _, y in dots) == pytest.approx([50.0, 60.0, 70.0, 80.0])
    assert math.isclose(float(dots[0][0]), 70.0)
