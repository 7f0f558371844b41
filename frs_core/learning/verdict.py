"""May a new version of a noise policy take the place of the one in use? The statistics of `learning.gate`, and its sentence.

Each episode is worth one number for each version: the error with which a policy that never saw the episode predicts its noises. The
differences are paired by episode; their mean has a one-sided 95 % limit on either side (Student's t), so that together they are a 90 %
interval. All are shares of the former version's mean error; below 0 the new version is better.

| interval | ruling |
|---|---|
| high < 0 | better: used |
| high < MARGIN | no worse: used |
| low > 0, high above the margin | worse: not used |
| anything else | unclear: not used, the version in use stays |

Example: errors 10, 11, 9 and 9, 10, 8.5: changes of -1, -1, -0.5, mean -8 %, interval -13 % to -4 %: better. Loads no tensor library.
"""

import enum
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from frs_core.counts import counted

MARGIN = 0.05
"""How much worse a version may be that counts as no worse, as a share of the error. Other seeds alone change it by up to 3 %."""
LEAST_EPISODES = 3
"""Fewer episodes give no interval worth the name."""
_T = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81, 1.80, 1.78, 1.77, 1.76, 1.75, 1.75, 1.74, 1.73, 1.73)
"""95 % quantiles of Student's t for 1, 2, … degrees of freedom, rounded up. Source: any table of t."""
_T_MORE = 1.73
"""For more degrees of freedom, where it only falls (to 1.645)."""


class Ruling(enum.Enum):
    """What the comparison says of the new version, the most favourable first."""

    BETTER = "better"
    NO_WORSE = "no worse"
    UNCLEAR = "unclear"
    WORSE = "worse"
    UNSOUND = "unsound"
    """Its weights predict episodes that they have learned from worse than weights that have not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a new version compares with the former one on held-out episodes."""

    ruling: Ruling
    episodes: int
    change: float
    """Of the error, as a share of the former version's; negative = better."""
    low: float
    high: float
    """90 % interval of `change`."""

    @property
    def is_used(self) -> bool:
        """Whether the new version takes the former one's place."""
        return self.ruling in (Ruling.BETTER, Ruling.NO_WORSE)

    @property
    def sentence(self) -> str:
        """What was found, without full stop."""
        where = f"on {counted(self.episodes, 'held-out episode')}"
        error = f"error {self.change:+.0%}, {self.low:+.0%} to {self.high:+.0%}"
        match self.ruling:
            case Ruling.BETTER:
                return f"its error {where} is {-self.change:.0%} lower ({-self.high:.0%} to {-self.low:.0%})"
            case Ruling.NO_WORSE:
                return f"it is no worse {where} ({error})"
            case Ruling.WORSE:
                return f"its error {where} is {self.change:.0%} larger ({self.low:.0%} to {self.high:.0%})"
            case Ruling.UNCLEAR:
                return f"it is not clear {where} that it is no worse ({error})"
            case Ruling.UNSOUND:
                return "its training went wrong: it does not know the episodes that it has learned from"

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return {**asdict(self), "ruling": self.ruling.value}


def rule(former: Sequence[float], new: Sequence[float], *, margin: float = MARGIN) -> Verdict:
    """Return the verdict on a new version.

    Args:
        former: error of the former version for each held-out episode, positive.
        new: of the new one, the same episodes in the same order.
        margin: largest change that counts as no worse, as a share of the former's mean error.
    """
    assert len(former) == len(new) >= LEAST_EPISODES
    if not all(map(math.isfinite, (*former, *new))):
        return Verdict(Ruling.UNSOUND, len(new), *[math.nan] * 3)
    mean = statistics.fmean(former)
    changes = [(b - a) / mean for a, b in zip(former, new, strict=True)]
    change, n = statistics.fmean(changes), len(changes)
    reach = (_T[n - 2] if n - 2 < len(_T) else _T_MORE) * statistics.stdev(changes) / math.sqrt(n)
    low, high = change - reach, change + reach
    if high < 0.0:
        ruling = Ruling.BETTER
    elif high < margin:
        ruling = Ruling.NO_WORSE
    else:
        ruling = Ruling.WORSE if low > 0.0 else Ruling.UNCLEAR
    return Verdict(ruling, n, change, low, high)
