"""Wilson intervals against published values, and their properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frs_core.evaluation.wilson import difference, format_rate, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3 (score without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_of_the_literature(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_inside_zero_to_one(case: tuple[int, int]) -> None:
    successes, trials = case
    low, high = wilson(successes, trials)
    assert 0.0 <= low <= high <= 1.0
    if trials:
        assert low <= successes / trials <= high


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_failures_mirror_successes(case: tuple[int, int]) -> None:
    successes, trials = case
    low, high = wilson(successes, trials)
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low))


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="3 successes of 2 trials"):
        wilson(3, 2)


def test_a_rate_reads_like_a_sentence() -> None:
    assert format_rate(43, 50) == "86 % (74–93, n = 50)"
    assert format_rate(0, 0) == "–"


def test_the_difference_of_two_rates_is_newcombes() -> None:
    # Newcombe 1998, table II, example (a): 56 of 70 and 48 of 80.
    assert difference((48, 80), (56, 70)) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    low, high = difference((5, 10), (5, 10))
    assert low == pytest.approx(-high)
    assert difference((0, 0), (3, 3)) == (-1.0, 1.0)
