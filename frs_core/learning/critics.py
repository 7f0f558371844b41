"""The value of a chunk: an ensemble of small networks on (observation, action of the learner), which differ by their first weights.

Problem: with some hundred chunks one critic believes its own errors, and an actor that climbs it finds them. Idea: several critics
learn the same targets; a target takes the lesser of two drawn at random, and layer normalisation keeps their answers tame far from the data.

Example: 684 features + 18 proprioception -> 128 -> (with 7 numbers of the action) 256 -> 256 -> 1, four times over: `[4, B]` in one
batched product per layer. Runs in the trainer's process.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from frs_core.learning.network import Inputs, Standardise

PROJECTED = 128
"""Numbers that all heads share of an observation."""


class Critics(nn.Module):
    """Observation and action -> one value per head.

    Args:
        feature_size: numbers of the generalist's features; 0 = none.
        proprio_size: numbers of proprioception; 0 = none.
        action_size: numbers of the learner's action.
        heads: critics.
        hidden: units of both hidden layers.
        noise: standard deviation of the noise on the inputs while training (`InputSettings.noise`).
    """

    def __init__(
        self, *, feature_size: int, proprio_size: int, action_size: int, heads: int, hidden: int, noise: float
    ) -> None:
        super().__init__()
        self._noise = noise
        self.features = Standardise(feature_size)
        self.proprio = Standardise(proprio_size)
        self.project = nn.Sequential(
            nn.Linear(feature_size + proprio_size, PROJECTED), nn.LayerNorm(PROJECTED), nn.Tanh()
        )
        self.first = HeadsLinear(heads, PROJECTED + action_size, hidden)
        self.second = HeadsLinear(heads, hidden, hidden)
        self.last = HeadsLinear(heads, hidden, 1)
        self.norms = nn.ModuleList(HeadsNorm(heads, hidden) for _ in range(2))

    def measure(self, inputs: Inputs) -> None:
        """Take the standardisation from data."""
        self.features.measure(inputs.features)
        self.proprio.measure(inputs.proprio)

    def forward(self, inputs: Inputs, action: Float[Tensor, "B n"]) -> Float[Tensor, "E B"]:
        """Return every head's value of actions scaled to about -1..1."""
        seen = torch.cat([self.features(inputs.features), self.proprio(inputs.proprio)], dim=1)
        if self.training and self._noise:
            seen = seen + self._noise * torch.randn_like(seen)
        x = torch.cat([self.project(seen), action], dim=1)
        for layer, norm in zip((self.first, self.second), self.norms, strict=True):
            x = nn.functional.gelu(norm(layer(x)))
        return self.last(x)[..., 0]


class HeadsLinear(nn.Module):
    """One linear layer per head, in one product; an input without a head axis goes to all."""

    def __init__(self, heads: int, size_in: int, size_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, size_in, size_out))
        self.bias = nn.Parameter(torch.zeros(heads, 1, size_out))
        for weight in self.weight.data:
            nn.init.orthogonal_(weight)

    def forward(self, x: Float[Tensor, "*E B i"]) -> Float[Tensor, "E B o"]:
        """Return every head's output."""
        return torch.baddbmm(self.bias, x.expand(len(self.weight), *x.shape[-2:]), self.weight)


class HeadsNorm(nn.Module):
    """Layer normalisation with weights of its own for every head."""

    def __init__(self, heads: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, 1, size))
        self.bias = nn.Parameter(torch.zeros(heads, 1, size))

    def forward(self, x: Float[Tensor, "E B n"]) -> Float[Tensor, "E B n"]:
        """Return normalised values."""
        return nn.functional.layer_norm(x, x.shape[-1:]) * self.weight + self.bias


def lesser_of_two(values: Float[Tensor, "E B"]) -> Float[Tensor, " B"]:
    """Return the lesser of two heads drawn at random, the same two for the whole batch. Draws from torch's global generator."""
    pair = torch.randperm(len(values))[:2].to(values.device)
    return values[pair].amin(dim=0)


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, share: float) -> None:
    """Move the target's weights this share of the way to the source's."""
    for kept, weight in zip(target.parameters(), source.parameters(), strict=True):
        kept.lerp_(weight, share)
