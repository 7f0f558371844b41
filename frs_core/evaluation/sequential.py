"""Compare two success rates while the attempts come in: an interval that stays valid however often one looks at it.

Problem: a person who compares two policies on a robot looks after every attempt and stops when the difference is clear. A Wilson interval
looked at fifty times misses the truth far more often than in 5 %. Idea: bet against each possible difference. Attempts come in
blocks, one of each policy; a block gives d = -1, 0 or 1. For a difference m that is the true one, no stake lambda makes money on
average from the factors 1 + lambda (d - m), so a capital that has grown to 1 / alpha refutes m, and by Ville's inequality a true m is
ever refuted with probability alpha at most. The capital is spread evenly over many stakes, both signs. What is not refuted is
the confidence sequence.

It assumes that, whatever came before, the expected d of a block is the same number; the two attempts of a block may depend on each other
(they share the scene), and drift that both share cancels. It does not assume large numbers.

Source: Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting, JRSS B 86(1), section 4: capital
processes whose fixed stakes are averaged; Ville 1939.

Example: 12 blocks of which the first policy alone won 9 and the second none, three equal: 0.12 to 0.98, decided at 5 %.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array

ALPHA = 0.05
"""Probability, at most, that the interval ever leaves out the true difference."""
STEP = 0.01
"""Distance of the differences that are judged."""
STAKES = 20
"""Stakes of each sign among which the capital is spread; with 80 the intervals differ by a few hundredths at most."""
LEAST_ROOM = 0.02
"""Smallest loss for which stakes are scaled, so that they stay finite for differences near -1 and 1."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more often the first of two policies succeeds than the second, by the blocks so far."""

    wins: int
    """Blocks in which the first alone succeeded."""
    ties: int
    """Blocks in which both did, or neither."""
    losses: int
    """Blocks in which the second alone succeeded."""
    low: float
    """Of the confidence sequence, -1..1."""
    high: float
    evidence: float
    """Largest capital against "no difference" so far; 1 / alpha decides."""
    alpha: float = ALPHA

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.wins + self.ties + self.losses

    @property
    def mean(self) -> float:
        """Difference of the two success rates in these blocks, -1..1; NaN without blocks."""
        return (self.wins - self.losses) / self.blocks if self.blocks else float("nan")

    @property
    def is_decided(self) -> bool:
        """Whether one of them is better."""
        return self.evidence >= 1.0 / self.alpha

    @property
    def verdict(self) -> str:
        """What is known of the first: 'better', 'worse' or 'no difference seen'."""
        if not self.is_decided:
            return "no difference seen"
        return "better" if self.mean > 0.0 else "worse"


def compare_blocks(blocks: Sequence[tuple[bool, bool]], *, alpha: float = ALPHA) -> Difference:
    """Return the difference of two success rates with its confidence sequence of level 1 - alpha.

    Args:
        blocks: success of the first and of the second policy, one pair a block, in the order in which they were completed.
        alpha: probability of error at most, over all looks together.
    Raises:
        ValueError: alpha is not between 0 and 1.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(
            f"The error level is {alpha:g}, expected a number between 0 and 1. The usual one is {ALPHA:g}."
        )
    d = np.array([int(a) - int(b) for a, b in blocks], dtype=np.int64)
    wins, losses = int((d == 1).sum()), int((d == -1).sum())
    means, up, even, down = _log_factors()
    # After each block, the first row before any: [blocks + 1, differences].
    counts = [np.concatenate([[0], np.cumsum(d == value)]).astype(float) for value in (1, 0, -1)]
    most = np.full(len(means), -np.inf)
    for won, tied, lost in zip(*counts, strict=True):
        most = np.maximum(most, _log_mean(won * up + tied * even + lost * down))
    kept = np.flatnonzero(most < math.log(1.0 / alpha))
    if not kept.size:
        # Every difference was refuted at some time, which happens with probability alpha at most.
        kept = np.array([int(most.argmin())])
    # Between a difference that was refuted and the next on the grid, some are not.
    low, high = max(int(kept[0]) - 1, 0), min(int(kept[-1]) + 1, len(means) - 1)
    return Difference(
        wins,
        len(d) - wins - losses,
        losses,
        float(means[low]),
        float(means[high]),
        evidence=math.exp(min(700.0, float(most[len(means) // 2]))),
        alpha=alpha,
    )


@functools.cache
def _log_factors() -> tuple[Float[Array, " M"], Float[Array, "M S"], Float[Array, "M S"], Float[Array, "M S"]]:
    """Return the differences on the grid, and the logarithm of 1 + lambda (d - m) for d = 1, 0, -1 and every stake lambda."""
    half = round(1.0 / STEP)
    means = np.arange(-half, half + 1) / half
    shares = (np.arange(STAKES) + 0.5) / STAKES
    room_down, room_up = np.maximum(1.0 + means, LEAST_ROOM), np.maximum(1.0 - means, LEAST_ROOM)
    stakes = np.concatenate([shares / room_down[:, None], -shares / room_up[:, None]], axis=1)
    up, even, down = (np.log1p(stakes * (d - means[:, None])) for d in (1, 0, -1))
    return means, up, even, down


def _log_mean(log_capitals: Float[Array, "M S"]) -> Float[Array, " M"]:
    most = log_capitals.max(axis=1)
    return most + np.log(np.exp(log_capitals - most[:, None]).mean(axis=1))
