"""Steps of chunks as a learner of values wants them: what was seen, what was done, what came of it, and what was seen then.

Batches are half from before practice and half from practice itself: ten steered episodes are soon outnumbered, and hold what
success looks like. Source: RLPD (arXiv 2302.02948).

Example: 20 episodes of 16 chunks are 320 steps; 316 can be learned from if four failures lack the state after their last chunk.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from frs_core.errors import ConfigError, TrainingError
from frs_core.learning.network import Inputs
from frs_core.learning.settings import InputSettings
from frs_core.learning.table import TrainingTable


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Steps of one or more episodes."""

    inputs: Inputs
    """What was seen before."""
    action: Float[Tensor, "N n"]
    """What the learner did (or would have had to do)."""
    reward: Float[Tensor, " N"]
    after: Inputs
    """What was seen after; zeros where nothing comes after."""
    goes_on: Bool[Tensor, " N"]
    """Whether what came after has a value; success ends an episode, a time limit does not."""

    @property
    def count(self) -> int:
        """N."""
        return len(self.reward)

    def rows(self, index: Tensor) -> "Steps":
        """Return some steps."""
        return Steps(
            self.inputs.rows(index),
            self.action[index],
            self.reward[index],
            self.after.rows(index),
            self.goes_on[index],
        )


def steps_of(table: TrainingTable, action: Float[Tensor, "M n"], inputs: InputSettings) -> Steps:
    """Return the steps of a table; those without an action or the state after them are left out.

    Args:
        table: with outcomes.
        action: of its rows, as the learner counts actions; NaN where it is not known.
        inputs: what the learner sees.
    Raises:
        ConfigError: images are requested.
        TrainingError: no outcomes, or numbers that are not finite.
    """
    if inputs.cameras:
        raise ConfigError(
            f"The learner is set to see cameras {list(inputs.cameras)}, but practice learns from features and "
            f"proprioception alone. Leave inputs.cameras out."
        )
    if table.reward is None or table.following is None:
        raise TrainingError("The episodes have no outcomes. Label them success or failure.")
    table.require_finite(needs_noise=False)
    after, terminal = table.after(), torch.from_numpy(table.terminal)
    seen = Inputs.of(table, inputs)
    then = Inputs(
        torch.from_numpy(after.features).float()[:, : seen.features.shape[1]],
        torch.from_numpy(after.proprio).float()[:, : seen.proprio.shape[1]],
    )
    is_known = torch.isfinite(then.features).all(dim=1) & torch.isfinite(then.proprio).all(dim=1)
    is_done = torch.isfinite(action).all(dim=1)
    steps = Steps(
        seen,
        action,
        torch.from_numpy(table.reward).float(),
        Inputs(torch.nan_to_num(then.features), torch.nan_to_num(then.proprio)),
        ~terminal,
    )
    return steps.rows(torch.nonzero((is_known | terminal) & is_done)[:, 0])


def join_steps(parts: list[Steps]) -> Steps:
    """Return the steps of several parts, one after the other."""
    return Steps(
        Inputs.join([p.inputs for p in parts]),
        torch.cat([p.action for p in parts]),
        torch.cat([p.reward for p in parts]),
        Inputs.join([p.after for p in parts]),
        torch.cat([p.goes_on for p in parts]),
    )


class Replay:
    """Everything that can be learned from; nothing is ever forgotten (300 episodes of 20 chunks and 700 numbers are 34 MB)."""

    def __init__(self, prior: Steps | None = None) -> None:
        self.prior, self.own = prior, None

    prior: Steps | None
    """From before practice."""
    own: Steps | None
    """From practice."""

    def add(self, steps: Steps) -> None:
        """Keep steps of practice."""
        if steps.count:
            self.own = steps if self.own is None else join_steps([self.own, steps])

    def add_prior(self, steps: Steps) -> None:
        """Keep steps that count as from before practice: a person steered them."""
        if steps.count:
            self.prior = steps if self.prior is None else join_steps([self.prior, steps])

    @property
    def count(self) -> int:
        """Steps held."""
        return sum(part.count for part in (self.prior, self.own) if part is not None)

    def batch(self, size: int) -> Steps:
        """Return steps drawn with replacement, half prior and half own while there are both. Uses torch's global generator.

        Raises:
            TrainingError: nothing is held.
        """
        parts = [part for part in (self.prior, self.own) if part is not None and part.count]
        if not parts:
            raise TrainingError("There are no steps to learn from. Practise an episode first.")
        share = size // len(parts)
        drawn = [part.rows(torch.randint(part.count, (share,))) for part in parts]
        return drawn[0] if len(drawn) == 1 else join_steps(drawn)
