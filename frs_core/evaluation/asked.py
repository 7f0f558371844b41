"""What the picks of a vision-language model took: how many, how long, how many tokens.

Example: 312 picks, 300 of them asked now and 12 kept from an earlier run; 1.2 s in the median, 2.4 s in the slowest twentieth or longer.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from frs_core.choosers.answers import Spent
from frs_core.counts import counted


@dataclass(frozen=True, slots=True)
class Asked:
    """Sums and quantiles over picks."""

    model: str
    """Its name and address; several where results of several were put together."""
    picks: int
    calls: int
    """Requests sent, repeated ones included."""
    cached: int
    """Picks answered from what was kept of earlier runs."""
    median_s: float
    """Per pick, from the request to the whole answer, seconds; of a kept answer, when it was asked for."""
    p95_s: float
    tokens_in: float | None
    """Per pick, as the endpoint counts them; None where it does not say."""
    tokens_out: float | None

    @property
    def sentence(self) -> str:
        """The same in words, without a full stop."""
        tokens = "" if self.tokens_in is None else f"; {self.tokens_in:.0f} + {self.tokens_out:.0f} tokens per pick"
        return (
            f"{self.model}, {counted(self.picks, 'pick')} by {counted(self.calls, 'call')} and {self.cached} kept from earlier; "
            f"{self.median_s:.2f} s per pick (median), {self.p95_s:.2f} s (95th percentile){tokens}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def asked(spent: Sequence[Spent]) -> Asked | None:
    """Return the sum over episodes; None where no model picked."""
    seconds = [s for one in spent for s in one.seconds]
    if not seconds:
        return None
    count = sum(one.counted for one in spent)
    return Asked(
        model=", ".join(dict.fromkeys(one.model for one in spent)),
        picks=sum(one.answers for one in spent),
        calls=sum(one.calls for one in spent),
        cached=sum(one.cached for one in spent),
        median_s=float(np.median(seconds)),
        p95_s=float(np.percentile(seconds, 95)),
        tokens_in=sum(one.tokens_in for one in spent) / count if count else None,
        tokens_out=sum(one.tokens_out for one in spent) / count if count else None,
    )
