"""Intervals for success rates.

Example: for ten successes of ten, the Wilson score interval is 72 % to 100 %. It stays within 0..1 and is accurate for few
trials and extreme rates, where the normal approximation is not.
"""

import math

from frs_core.counts import counted

Z95 = 1.959963984540054
"""Standard normal quantile of 97.5 %."""


def wilson(successes: int, trials: int, *, z: float = Z95) -> tuple[float, float]:
    """Return the interval (low, high) of a success rate.

    Args:
        successes: 0..trials.
        trials: number of trials; 0 gives (0, 1).
        z: normal quantile; 1.96 for 95 %.
    Source: Wilson 1927, score interval without continuity correction.
    """
    if not 0 <= successes <= trials:
        raise ValueError(
            f"Wilson interval got {counted(successes, 'success', 'successes')} of {counted(trials, 'trial')}, expected 0 <= successes <= trials."
        )
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, z * z
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = z / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return max(0.0, low), min(1.0, high)


def difference(before: tuple[int, int], after: tuple[int, int], *, z: float = Z95) -> tuple[float, float]:
    """Return the interval (low, high) of the rate after minus the rate before, -1..1; it contains 0 if no difference is shown.

    Args:
        before: (successes, trials).
        after: (successes, trials), independent of `before`.
        z: normal quantile; 1.96 for 95 %.
    Source: Newcombe 1998, hybrid score interval (method 10) from two Wilson intervals.
    """
    if not (before[1] and after[1]):
        return -1.0, 1.0
    (low1, high1), (low2, high2) = wilson(*before, z=z), wilson(*after, z=z)
    share1, share2 = before[0] / before[1], after[0] / after[1]
    gain = share2 - share1
    return gain - math.hypot(share2 - low2, high1 - share1), gain + math.hypot(high2 - share2, share1 - low1)


def format_rate(successes: int, trials: int) -> str:
    """Return e.g. '86 % (73–93, n = 50)'."""
    if trials == 0:
        return "–"
    low, high = wilson(successes, trials)
    return f"{100 * successes / trials:.0f} % ({100 * low:.0f}–{100 * high:.0f}, n = {trials})"
