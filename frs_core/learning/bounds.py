"""How far a practised noise may go, number by number, and what that does to its likelihood.

Problem: a bounded actor can only ask for noises inside its bounds. The usual ones (1 to 2.5, the same for every number) cut off what
steering does: the mean of a steered chunk's gripper noise reaches 4.6, of its rotation 0.5. Idea: every number gets a bound of its
own from the noises that were executed before, and never one tighter than three of the generalist's own deviations.

Example: quantiles 2.3 (up), 0.3 (roll), 4.6 (gripper) with 20 % room give 2.8, 0.75, 5.5 for chunk means of 16 rows.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.errors import TrainingError

QUANTILE = 0.98
ROOM = 1.2
"""Ratio of a bound to the quantile: tanh saturates near its bounds."""


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """The box `limit * tanh(.)`."""

    limit: Float[Tensor, " n"]
    """Largest size of every number, > 0."""

    @classmethod
    def of(cls, values: Float[Tensor, "M n"], *, least: float) -> "Bounds":
        """Return the bounds that hold nearly all of some values.

        Args:
            values: what was executed.
            least: no bound is smaller.
        Raises:
            TrainingError: there are none.
        """
        if len(values) == 0:
            raise TrainingError("Bounds need at least one executed noise, got none. Start from steered episodes.")
        return cls((ROOM * torch.quantile(values.abs(), QUANTILE, dim=0)).clamp(min=least))

    @classmethod
    def same(cls, limit: float, numbers: int) -> "Bounds":
        """Return one bound for all numbers."""
        return cls(torch.full((numbers,), limit))

    def squash(self, raw: Float[Tensor, "*B n"]) -> Float[Tensor, "*B n"]:
        """Return raw values inside the bounds."""
        return self.limit * torch.tanh(raw)

    def log_slope(self, raw: Float[Tensor, "*B n"]) -> Float[Tensor, "*B"]:
        """Return log |d squash / d raw|, summed over the numbers; subtracted from a raw log-density it gives that of the values."""
        # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), exact where tanh is 1 in floats.
        bent = 2.0 * (math.log(2.0) - raw - torch.nn.functional.softplus(-2.0 * raw))
        return (self.limit.log() + bent).sum(dim=-1)

    def distance(self, one: Float[Tensor, "B n"], other: Float[Tensor, "B n"]) -> Float[Tensor, " B"]:
        """Return the mean squared difference per number, in shares of its bound; beyond a bound counts as at it."""
        return ((one / self.limit).clamp(-1.0, 1.0) - (other / self.limit).clamp(-1.0, 1.0)).square().mean(dim=1)
