"""What pick-q learns from: chunks of recorded and own episodes with the noises that were on offer after each.

Example: 10 steered successes and 4 failures are 250 chunks with 16 offers; 300 own episodes are 5,000 chunks more, 15 MB.
Runs in the trainer's process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from frs_core.arrays import Array
from frs_core.learning.dsbc import DsbcPolicy
from frs_core.learning.network import Inputs
from frs_core.learning.noise_critic import Critic
from frs_core.learning.settings import PickQSettings
from frs_core.learning.table import TrainingTable


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """Chunks with what was on offer, as tensors; noises are reduced."""

    features: Float[Tensor, "M F"]
    proprio: Float[Tensor, "M P"]
    noise: Float[Tensor, "M m"]
    """Executed."""
    reward: Float[Tensor, " M"]
    following: Int[Tensor, " M"]
    """Row of the chunk that came next; -1 after the last one of an episode."""
    after_features: Float[Tensor, "M F"]
    after_proprio: Float[Tensor, "M P"]
    offered: Float[Tensor, "M C m"]
    """What can be picked from after each chunk: recorded offers and draws; 0 where there are fewer."""
    is_offered: Bool[Tensor, "M C"]
    goes_on: Bool[Tensor, " M"]
    """Something comes after the chunk, and it is known what."""

    @classmethod
    def join(cls, parts: "Sequence[Replay]") -> "Replay":
        """Return several as one."""
        first = np.cumsum([0, *(len(p.noise) for p in parts)])
        offers = max(p.offered.shape[1] for p in parts)
        joined = {
            name: torch.cat([getattr(p, name) for p in parts])
            for name in ("features", "proprio", "noise", "reward", "after_features", "after_proprio", "goes_on")
        }
        following = [torch.where(p.following < 0, -1, p.following + n) for p, n in zip(parts, first, strict=False)]
        missing = [offers - p.offered.shape[1] for p in parts]
        return cls(
            **joined,
            following=torch.cat(following),
            offered=torch.cat([functional.pad(p.offered, (0, 0, 0, n)) for p, n in zip(parts, missing, strict=True)]),
            is_offered=torch.cat([functional.pad(p.is_offered, (0, n)) for p, n in zip(parts, missing, strict=True)]),
        )


def replay_of(table: TrainingTable, draws: DsbcPolicy, critic: Critic, settings: PickQSettings, *, seed: int) -> Replay:
    """Return a table as tensors, with draws of the imitating policy among the offers of every place.

    Args:
        table: with outcomes.
        draws: gives them.
        critic: reduces noises.
        settings: how many draws; whether time-outs are worth something.
        seed: of the draws.
    """
    after, size = table.after(), table.action_size
    assert table.reward is not None
    assert table.following is not None
    known = np.isfinite(after.features).all(axis=1) & np.isfinite(after.proprio).all(axis=1) & ~table.terminal
    if not settings.bootstraps:
        known &= ~table.truncated
    features, proprio = (_tensor(np.where(known[:, None], x, 0.0)) for x in (after.features, after.proprio))
    counts = [0 if offer is None else len(offer.noises) for offer in after.offers]
    offers = np.full((table.rows, max(counts), table.horizon, size), np.nan, np.float32)
    for row, offer in enumerate(after.offers):
        if offer is not None:
            offers[row, : counts[row]] = offer.noises[..., :size]
    seen = Inputs(features, proprio)
    drawn = torch.stack([draws.draw(seen, seed=seed * settings.draws + i) for i in range(settings.draws)], dim=1)
    offered = torch.cat([critic.reduced(torch.from_numpy(offers)), critic.reduced(drawn)], dim=1)
    is_offered = torch.isfinite(offered).all(dim=2)
    return Replay(
        features=_tensor(table.features),
        proprio=_tensor(table.proprio),
        noise=critic.reduced(_tensor(table.noise[..., :size])),
        reward=_tensor(table.reward),
        following=torch.from_numpy(table.following).long(),
        after_features=features,
        after_proprio=proprio,
        offered=offered.nan_to_num(0.0),
        is_offered=is_offered,
        goes_on=torch.from_numpy(known) & is_offered.any(dim=1),
    )


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
