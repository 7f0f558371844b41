"""The sequential comparison is wrong as rarely as it says, however often one looks, and finds large differences in a few blocks."""

import itertools

import numpy as np
import pytest

from frs_core.evaluation import sequential
from frs_core.evaluation.sequential import ALPHA, compare_blocks

FIRST, SECOND, BOTH = (True, False), (False, True), (True, True)


def log_capital(wins: int, losses: int) -> float:
    """Return the logarithm of the capital against no difference, averaged in the plain domain, for comparison."""
    half = (np.arange(sequential.STAKES) + 0.5) / sequential.STAKES
    stakes = np.concatenate([half, -half])
    return float(np.log(np.mean((1 + stakes) ** wins * (1 - stakes) ** losses)))


def test_without_a_difference_the_chance_of_ever_deciding_is_below_the_error_level() -> None:
    # Exact, by the distribution over (wins, losses) of all blocks that differ; those that do not change nothing.
    alive, rejected = {(0, 0): 1.0}, 0.0
    for _ in range(150):
        after: dict[tuple[int, int], float] = {}
        for (wins, losses), p in alive.items():
            for state in ((wins + 1, losses), (wins, losses + 1)):
                after[state] = after.get(state, 0.0) + p / 2
        alive = {}
        for state, p in after.items():
            if log_capital(*state) >= np.log(1 / ALPHA):
                rejected += p
            else:
                alive[state] = p
    assert 0.01 < rejected < ALPHA


@pytest.mark.parametrize(("first", "second"), [(0.8, 0.5), (0.95, 0.9)])
def test_the_interval_covers_the_true_difference_at_every_look_together(first: float, second: float) -> None:
    rng, missed, runs = np.random.default_rng(7), 0, 120
    for _ in range(runs):
        blocks = _draws(rng, 60, first, second)
        found = compare_blocks(blocks)
        missed += not found.low <= first - second <= found.high
    # Three standard errors above the level.
    assert missed <= runs * ALPHA + 3 * np.sqrt(runs * ALPHA * (1 - ALPHA))


def test_a_wilson_interval_looked_at_after_every_attempt_errs_more_often_than_this_one() -> None:
    from frs_core.evaluation.wilson import difference

    rng, wilson_errs, ours_errs, runs = np.random.default_rng(1), 0, 0, 100
    for _ in range(runs):
        a, b = rng.random(60) < 0.5, rng.random(60) < 0.5
        looks = [difference((int(a[:n].sum()), n), (int(b[:n].sum()), n)) for n in range(5, 61)]
        wilson_errs += any(low > 0 or high < 0 for low, high in looks)
        ours_errs += compare_blocks(list(zip(a.tolist(), b.tolist(), strict=True))).is_decided
    assert ours_errs / runs <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)
    assert wilson_errs > 3 * ours_errs
    assert wilson_errs / runs > 2 * ALPHA


def test_eight_blocks_that_all_go_one_way_decide_and_seven_do_not() -> None:
    assert not compare_blocks([FIRST] * 7).is_decided
    decided = compare_blocks([FIRST] * 8)
    assert decided.verdict == "better"
    assert decided.low > 0
    assert compare_blocks([SECOND] * 8).verdict == "worse"
    assert compare_blocks([BOTH] * 50).verdict == "no difference seen"


def test_the_intervals_of_a_comparison_only_shrink() -> None:
    rng = np.random.default_rng(3)
    blocks = _draws(rng, 40, 0.9, 0.4)
    found = [compare_blocks(blocks[:n]) for n in range(41)]
    assert (found[0].low, found[0].high) == (-1.0, 1.0)
    for before, after in itertools.pairwise(found):
        assert after.low >= before.low
        assert after.high <= before.high
        assert after.evidence >= before.evidence


def test_a_stricter_level_gives_a_wider_interval_and_the_sign_is_that_of_the_order() -> None:
    blocks = [FIRST] * 9 + [BOTH] * 3
    usual, strict = compare_blocks(blocks), compare_blocks(blocks, alpha=0.01)
    assert strict.low < usual.low
    turned = compare_blocks([(b, a) for a, b in blocks])
    assert turned.low == pytest.approx(-usual.high)
    assert turned.high == pytest.approx(-usual.low)
    assert (usual.wins, usual.ties, usual.losses) == (9, 3, 0)
    assert f"{usual.low:.2f} to {usual.high:.2f}" in (sequential.__doc__ or "")
    with pytest.raises(ValueError, match="between 0 and 1"):
        compare_blocks(blocks, alpha=1.0)


def _draws(rng: np.random.Generator, count: int, first: float, second: float) -> list[tuple[bool, bool]]:
    a, b = rng.random(count) < first, rng.random(count) < second
    return list(zip(a.tolist(), b.tolist(), strict=True))
