"""Reversal Q-Learning: a flow policy that learns from rewards, failures included, by running its own flow backwards.

Problem: a flow policy gives an action only after F steps of refinement, so the credit of a reward must pass through those steps too,
and the horizon grows by F. Idea: count every refinement step as a state of its own, (observation, x, t). From any recorded action
the present flow, integrated backwards, gives the points on the way to it; all of them share the reward of that action, as the way
from there on is deterministic and the policy's own. One network V(observation, x, t) is fitted to them by expectile regression; the
flow climbs V one step ahead, without differentiating through the flow, and is held near the data by flow matching.

Example: five actions of three numbers are one chunk of n = 15. At depth d = 0.4 the recorded chunk is run back to t = 0.6, and
V there is pulled towards r0 + 0.99 r1 + ... + 0.99^5 V'(observation after the chunk, fresh noise, 0).

Flow time: t = 0 noise, t = 1 action, as everywhere. Actions are expected within about [-1, 1], or standardised. Runs in the
trainer's process, on any device and in any precision.

Source: arXiv 2606.17551 and the authors' code, github.com/aoberai/rql at 229c956 (agents/rql.py, utils/networks.py). All numbers
agree with theirs, tests/core/test_learning_rql.py. Two things that look odd are theirs: a window whose episode ended inside it takes
the value of its last state, and success counts only in the mask of a window's last row.
"""

import copy
import itertools
import math
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from frs_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RqlConfig:
    """The algorithm's numbers; defaults are the authors' (get_config), those of a task differ (hyperparameters.sh)."""

    alpha: float = 1.0
    """Weight of flow matching against climbing V; 0.1 to 10 by task, the larger the nearer to the data."""
    expectile: float = 0.7
    """0.5 = the mean of what was done, above = the better part of it."""
    pessimism: float = 0.5
    """Standard deviations over V's heads that a target lies below their mean (the authors' rho)."""
    discount: float = 0.99
    """Per row of a window."""
    flow_steps: int = 10
    """F, steps of the flow, forwards and backwards."""
    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Units of actor and V, layer by layer."""
    heads: int = 10
    """E, copies of V that differ by their first weights."""
    learning_rate: float = 3e-4
    target_rate: float = 0.005
    """Share of V's weights that enters its slow copy per update (tau)."""
    average: float = 0.999
    """Decay of the actor's averaged copy, which is the one that acts."""
    weight_decay: float = 0.0
    """Decoupled; the authors have none."""
    value_range: tuple[float, float] | None = None
    """Limits of what V is pulled to, where rewards have some; the authors have none."""
    predicts_chunk: bool = False
    """Whether the actor predicts the chunk, from which the velocity follows, is weighed as such a network is, and has layer norms; not published.
    A small network with hundreds of inputs and of rows otherwise spends itself on noise that nobody can predict."""

    def __post_init__(self) -> None:
        if self.flow_steps < 1 or self.heads < 1 or min(self.hidden, default=0) < 1:
            raise ConfigError(
                f"flow_steps {self.flow_steps}, heads {self.heads} and hidden {list(self.hidden)} need >= 1. The defaults are 10, 10 "
                "and four times 512."
            )
        if not 0.0 < self.expectile < 1.0 or not 0.0 <= self.discount <= 1.0:
            raise ConfigError(
                f"expectile {self.expectile} needs 0 < e < 1, discount {self.discount} needs 0..1. Usual are 0.7 and 0.99."
            )
        if self.alpha < 0.0 or self.learning_rate <= 0.0 or not math.isfinite(self.alpha + self.learning_rate):
            raise ConfigError(
                f"alpha {self.alpha} needs >= 0 and learning_rate {self.learning_rate} > 0. Usual are 1 and 3e-4."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Recorded stretches of h rows; past the end of an episode its last row is repeated."""

    observation: Float[Tensor, "B o"]
    """Before the first row."""
    following: Float[Tensor, "B o"]
    """After h rows, or the last one there is."""
    actions: Float[Tensor, "B h a"]
    rewards: Float[Tensor, "B h"]
    ends: Float[Tensor, "B h"]
    """1 where a row is the last of its episode."""
    goes_on: Float[Tensor, " B"]
    """0 where the last row of the window has reached the goal, so that nothing more is to be had; else 1."""
    cloned: Float[Tensor, " B"] | None = None
    """1 where the flow is matched to the window, 0 where only V learns from it; None = everywhere, as published."""


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """All that is random in one update."""

    next_noise: Float[Tensor, "B n"]
    """Where V is asked for the value of the state after the window."""
    depth: Float[Tensor, " B"]
    """How far back each chunk is run, 0..1."""
    noise: Float[Tensor, "B n"]
    """Of flow matching."""
    time: Float[Tensor, "B 1"]

    @classmethod
    def of(
        cls,
        rows: int,
        numbers: int,
        *,
        flow_steps: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> "Draws":
        """Return fresh draws from torch's global generator; half of the depths lie anywhere, half on the flow's own steps."""
        dtype = dtype or torch.get_default_dtype()
        anywhere = torch.rand(rows // 2, device=device, dtype=dtype)
        on_a_step = torch.randint(0, flow_steps + 1, (rows - rows // 2,), device=device).to(dtype) / flow_steps
        return cls(
            next_noise=torch.randn(rows, numbers, device=device, dtype=dtype),
            depth=torch.cat([anywhere, on_a_step]),
            noise=torch.randn(rows, numbers, device=device, dtype=dtype),
            time=torch.rand(rows, 1, device=device, dtype=dtype),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What one update minimises, before it is taken. Total = critic + alpha * cloning - climb."""

    critic: Float[Tensor, ""]
    cloning: Float[Tensor, ""]
    """Flow matching."""
    climb: Float[Tensor, ""]
    """V one flow step ahead, mean over heads and windows."""
    values: Float[Tensor, "E B"]
    """V of the points that were run back to, detached."""

    def total(self, alpha: float) -> Float[Tensor, ""]:
        """Return what is differentiated."""
        return self.critic + alpha * self.cloning - self.climb


class Stack(nn.Module):
    """E networks of the same size side by side: linear, GELU (tanh), and for V a layer norm after it; Xavier, zero bias.

    Args:
        sizes: numbers in, hidden units, numbers out.
        copies: E.
        norm: layer norm after each activation.
    """

    def __init__(self, sizes: tuple[int, ...], *, copies: int, norm: bool) -> None:
        super().__init__()
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.scales = nn.ParameterList()
        self.shifts = nn.ParameterList()
        for i, (rows, columns) in enumerate(itertools.pairwise(sizes)):
            reach = math.sqrt(6.0 / (rows + columns))
            self.weights.append(nn.Parameter(torch.empty(copies, rows, columns).uniform_(-reach, reach)))
            self.biases.append(nn.Parameter(torch.zeros(copies, 1, columns)))
            if norm and i < len(sizes) - 2:
                self.scales.append(nn.Parameter(torch.ones(copies, 1, columns)))
                self.shifts.append(nn.Parameter(torch.zeros(copies, 1, columns)))

    def forward(self, x: Float[Tensor, "B i"], *, frozen: bool = False) -> Float[Tensor, "E B o"]:
        """Return every copy's answer.

        Args:
            x: inputs.
            frozen: let gradients reach the inputs, never the weights.
        """
        weights, biases, scales, shifts = (
            [p.detach() if frozen else p for p in group]
            for group in (self.weights, self.biases, self.scales, self.shifts)
        )
        x = x.expand(len(weights[0]), *x.shape)
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if i == len(weights) - 1:
                break
            x = nn.functional.gelu(x, approximate="tanh")
            if scales:
                x = nn.functional.layer_norm(x, x.shape[-1:], eps=1e-6) * scales[i] + shifts[i]
        return x


class Rql(nn.Module):
    """Actor, V, their slow copies, and one update of all.

    Args:
        config: the algorithm's numbers.
        observation_size: o.
        action_size: n = h * a, numbers of a chunk.
    """

    def __init__(self, config: RqlConfig, *, observation_size: int, action_size: int) -> None:
        super().__init__()
        self.config, self.action_size = config, action_size
        inputs = observation_size + action_size + 1
        self.actor = Stack((inputs, *config.hidden, action_size), copies=1, norm=config.predicts_chunk)
        self.value = Stack((inputs, *config.hidden, 1), copies=config.heads, norm=True)
        self.averaged_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.slow_value = copy.deepcopy(self.value).requires_grad_(False)

    def optimiser(self) -> torch.optim.Optimizer:
        """Return Adam over actor and V."""
        weights = [*self.actor.parameters(), *self.value.parameters()]
        return torch.optim.AdamW(weights, lr=self.config.learning_rate, weight_decay=self.config.weight_decay)

    @torch.no_grad()
    def value_nothing(self) -> None:
        """Let V start at 0 everywhere; a few thousand updates cannot unlearn the random values that the authors start from."""
        for stack in (self.value, self.slow_value):
            stack.weights[-1].zero_()

    def velocity(
        self,
        actor: Stack,
        observation: Float[Tensor, "B o"],
        x: Float[Tensor, "B n"],
        t: Float[Tensor, "B 1"],
    ) -> Float[Tensor, "B n"]:
        """Return where the flow goes."""
        answer = actor(torch.cat([observation, x, t], dim=1))[0]
        if not self.config.predicts_chunk:
            return answer
        return (answer - x) / (1.0 - t).clamp(min=1.0 / self.config.flow_steps)

    def values(
        self,
        observation: Float[Tensor, "B o"],
        x: Float[Tensor, "B n"],
        t: Float[Tensor, "B 1"],
        *,
        frozen: bool = False,
    ) -> Float[Tensor, "E B"]:
        """Return what every head of V says of points on the way to an action; t = 1 is the action itself."""
        return self.value(torch.cat([observation, x, t], dim=1), frozen=frozen)[..., 0]

    @torch.no_grad()
    def reversed_from(
        self, observation: Float[Tensor, "B o"], chunk: Float[Tensor, "B n"], depth: Float[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B n"], Float[Tensor, "B 1"]]:
        """Return the points `depth` before recorded chunks, and their times: always F steps, of size depth / F."""
        x, t, step = chunk, torch.ones_like(depth)[:, None], (depth / self.config.flow_steps)[:, None]
        for _ in range(self.config.flow_steps):
            x, t = x - self.velocity(self.actor, observation, x, t) * step, t - step
        return x, t

    @torch.no_grad()
    def target(self, windows: Windows, next_noise: Float[Tensor, "B n"]) -> Float[Tensor, " B"]:
        """Return what V is pulled to: rewards inside the window and the pessimistic value after it, at fresh noise."""
        seen = torch.cat([windows.following, next_noise, torch.zeros_like(next_noise[:, :1])], dim=1)
        heads = self.slow_value(seen)[..., 0]
        after = heads.mean(dim=0) - self.config.pessimism * heads.std(dim=0, unbiased=False)
        rows = windows.rewards.shape[1]
        weights = self.config.discount ** torch.arange(rows, device=after.device, dtype=after.dtype)
        rewards = (windows.rewards * weights * (1.0 - _past_the_end(windows.ends))).sum(dim=1)
        target = rewards + self.config.discount**rows * after * windows.goes_on
        return target if self.config.value_range is None else target.clamp(*self.config.value_range)

    def losses(self, windows: Windows, draws: Draws) -> Losses:
        """Return the losses of a batch.

        Args:
            windows: recorded rows, on the network's device.
            draws: all that is random.
        """
        observation, config = windows.observation, self.config
        chunk = rearrange(windows.actions, "b h a -> b (h a)")
        # A window that lost more than its last row to the end of the episode says nothing of its chunk.
        counts = (windows.ends.sum(dim=1) <= 1.0).to(chunk.dtype)

        # 1. V of points on the way to what was done; the better part of what followed counts more.
        x, t = self.reversed_from(observation, chunk, draws.depth)
        values = self.values(observation, x, t)
        miss = self.target(windows, draws.next_noise) - values
        weight = (config.expectile - (miss < 0.0).to(miss.dtype)).abs()
        critic = (weight * miss.square() * counts).mean()

        # 2. The flow is matched to the data, repeated rows left out ...
        x_t = (1.0 - draws.time) * draws.noise + draws.time * chunk
        velocity = self.velocity(self.actor, observation, x_t, draws.time)
        own = repeat(1.0 - _past_the_end(windows.ends), "b h -> b (h a)", a=windows.actions.shape[2])
        own = own if windows.cloned is None else own * windows.cloned[:, None]
        own = own * early(draws.time) if config.predicts_chunk else own
        cloning = ((velocity - (chunk - draws.noise)).square() * own).mean()

        # 3. ... and climbs V, one step of the flow ahead.
        step = 1.0 / config.flow_steps
        ahead = x_t + velocity * (1.0 - draws.time).clamp(max=step)
        climb = self.values(observation, ahead, (draws.time + step).clamp(max=1.0), frozen=True).mean(dim=0)
        return Losses(critic, cloning, (climb * counts).mean(), values.detach())

    def update(self, optimiser: torch.optim.Optimizer, windows: Windows, draws: Draws) -> Losses:
        """Take one step of all weights; return the losses before it."""
        losses = self.losses(windows, draws)
        optimiser.zero_grad(set_to_none=True)
        losses.total(self.config.alpha).backward()
        # The slow copies follow the weights as they were before the step.
        _approach(self.slow_value, self.value, self.config.target_rate)
        _approach(self.averaged_actor, self.actor, 1.0 - self.config.average)
        optimiser.step()
        return losses

    @torch.no_grad()
    def act(
        self, observation: Float[Tensor, "B o"], noise: Float[Tensor, "B n"], *, bound: float | None = 1.0
    ) -> Float[Tensor, "B n"]:
        """Return chunks of the averaged actor from noise, in F steps.

        Args:
            observation: what is seen.
            noise: N(0, 1).
            bound: actions are clipped to +- this; None = not.
        """
        x, count = noise, self.config.flow_steps
        for k in range(count):
            x = x + self.velocity(self.averaged_actor, observation, x, torch.full_like(x[:, :1], k / count)) / count
        return x if bound is None else x.clamp(-bound, bound)


@torch.no_grad()
def _approach(slow: Stack, fast: Stack, share: float) -> None:
    for kept, weight in zip(slow.parameters(), fast.parameters(), strict=True):
        kept.lerp_(weight, share)


def early(t: Float[Tensor, "B 1"]) -> Float[Tensor, "B 1"]:
    """Return weights of flow matching by time, with mean about 1: those of a network that predicts the chunk, and a little everywhere."""
    return 3.0 * ((1.0 - t).square() + 0.05)


def _past_the_end(ends: Float[Tensor, "B h"]) -> Float[Tensor, "B h"]:
    """Return 1 for the row after an episode's end, which repeats it; `ends` moved one row to the right."""
    return torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], dim=1)
