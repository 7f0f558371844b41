"""Soft actor-critic on any bounded action per chunk, for few and precious steps.

A small actor answers a squashed Gaussian; an ensemble of critics gives the values of its actions; a temperature keeps the actor as
curious as it is set to be. Against the usual recipe: rewards are 1 at success and 0 else, so a value is the chance of success,
discounted, and targets are clipped to 0..1; entropy moves the actor alone and is in no target; success ends an episode and a time
limit does not; the actor steps once per five steps of the critics.

Curiosity is stated in the units of the action, the same whatever the bounds: a target deviation of 0.25 is an entropy of
log(0.25 sqrt(2 pi e)) per number, reached with the bounds' slope counted in.

All draws come from torch's global generator: who calls seeds it. Runs in the trainer's process.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from frs_core.errors import TrainingError
from frs_core.learning.bounds import Bounds
from frs_core.learning.critics import Critics, follow, lesser_of_two
from frs_core.learning.network import Inputs, SmallNet
from frs_core.learning.settings import SacSettings
from frs_core.learning.transitions import Steps

SPREAD = math.log(math.sqrt(2.0 * math.pi * math.e))
"""Entropy of N(0, 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Actions drawn from the actor."""

    action: Float[Tensor, "B n"]
    log_density: Float[Tensor, " B"]
    """Of the action, in its own units."""
    best: Float[Tensor, "B n"]
    """Its action without exploration."""


class Actor(nn.Module):
    """Observation -> squashed Gaussian."""

    limit: Tensor

    def __init__(self, settings: SacSettings, *, feature_size: int, proprio_size: int, numbers: int) -> None:
        super().__init__()
        self.register_buffer("limit", torch.ones(numbers))
        self.net = SmallNet(
            settings.inputs,
            settings.network,
            feature_size=feature_size,
            proprio_size=proprio_size,
            output_size=2 * numbers,
        )

    @property
    def bounds(self) -> Bounds:
        """How far it may go."""
        return Bounds(self.limit)

    @torch.no_grad()
    def prepare(self, bounds: Bounds, deviation: float) -> None:
        """Set the bounds; the answer becomes N(0, deviation^2) wherever it is asked, nearly."""
        self.limit.copy_(bounds.limit)
        numbers = len(self.limit)
        self.net.head.weight.mul_(0.01)
        self.net.head.bias[:numbers] = 0.0
        self.net.head.bias[numbers:] = (deviation / self.limit).log()

    def draw(self, inputs: Inputs) -> Drawn:
        """Return one action per observation, differentiable in the weights."""
        mean, log_std = self.net(inputs).chunk(2, dim=1)
        log_std = log_std.clamp(-6.0, 1.0)
        unit = torch.randn_like(mean)
        raw = mean + log_std.exp() * unit
        density = (-0.5 * unit.square() - log_std - 0.5 * math.log(2.0 * math.pi)).sum(dim=1)
        bounds = self.bounds
        return Drawn(bounds.squash(raw), density - bounds.log_slope(raw), bounds.squash(mean))

    def best(self, inputs: Inputs) -> Float[Tensor, "B n"]:
        """Return its action without exploration."""
        return self.bounds.squash(self.net(inputs).chunk(2, dim=1)[0])


@dataclass(frozen=True, slots=True, eq=False)
class Cloning:
    """What the actor is drawn towards beside value: the actions of successes."""

    inputs: Inputs
    action: Float[Tensor, "N n"]
    weight: float
    """Of the mean squared error per number, in shares of its bound, against the value."""
    only_better: bool = False
    """Leave out actions that the critics value below the actor's own."""


class Sac:
    """Actor, critics, temperature and their optimisers.

    Args:
        settings: sizes and rates.
        seen: what the standardisation is measured from.
        bounds: of the actions.
        deviation: target standard deviation of exploration per dimension, in units of the action.
    """

    def __init__(self, settings: SacSettings, seen: Inputs, bounds: Bounds, *, deviation: float) -> None:
        self.settings, self.steps = settings, 0
        sizes = {"feature_size": seen.features.shape[1], "proprio_size": seen.proprio.shape[1]}
        numbers = len(bounds.limit)
        self.actor = Actor(settings, **sizes, numbers=numbers)
        self.actor.prepare(bounds, deviation)
        self.actor.net.measure(seen)
        self.critics = Critics(
            **sizes,
            action_size=numbers,
            heads=settings.critics,
            hidden=settings.network.hidden,
            noise=settings.inputs.noise,
        )
        self.critics.measure(seen)
        self._target = copy.deepcopy(self.critics).eval().requires_grad_(False)
        self.log_temperature = torch.tensor(math.log(settings.temperature), requires_grad=True)
        self.target_entropy = numbers * (SPREAD + math.log(deviation))
        self._optimisers = {
            "actor": torch.optim.Adam(self.actor.parameters(), lr=settings.actor_rate, fused=True),
            "critics": torch.optim.Adam(self.critics.parameters(), lr=settings.critic_rate, fused=True),
            "temperature": torch.optim.Adam([self.log_temperature], lr=settings.temperature_rate),
        }

    def value(self, inputs: Inputs, action: Float[Tensor, "B n"]) -> Float[Tensor, "E B"]:
        """Return every critic's value of some actions."""
        return self.critics(inputs, action / self.actor.limit)

    def improve_critics(self, batch: Steps) -> float:
        """Take one step of the critics towards reward and the value of what comes after; return the mean squared error.

        Raises:
            TrainingError: it is not finite.
        """
        settings, limit = self.settings, self.actor.limit
        self.actor.eval()
        self.critics.train()
        with torch.no_grad():
            after = self._target(batch.after, self.actor.draw(batch.after).action / limit)
            aim = batch.reward + settings.discount * batch.goes_on * lesser_of_two(after)
            aim = aim.clamp(0.0, 1.0)
        loss = (self.value(batch.inputs, batch.action) - aim).square().mean()
        if not math.isfinite(value := loss.item()):
            raise TrainingError(
                f"The critics' loss is not finite at step {self.steps}. Lower critic_rate (it is {settings.critic_rate:g})."
            )
        self._descend("critics", self.critics, loss * settings.critics)
        follow(self._target, self.critics, settings.target_share)
        self.steps += 1
        return value

    def improve_actor(self, inputs: Inputs, cloning: Cloning | None = None) -> None:
        """Update the actor (value, entropy and cloning) and the temperature by one step each."""
        self.actor.train()
        self.critics.eval().requires_grad_(False)
        drawn = self.actor.draw(inputs)
        temperature = self.log_temperature.exp().detach()
        loss = (temperature * drawn.log_density - self.value(inputs, drawn.action).mean(dim=0)).mean()
        if cloning is not None:
            loss = loss + cloning.weight * self.distance(cloning)
        self._descend("actor", self.actor, loss)
        self.critics.requires_grad_(True)
        # The temperature rises while the actor is less curious than it is set to be.
        lack = (drawn.log_density.detach() + self.target_entropy).mean()
        self._descend("temperature", None, -self.log_temperature * lack)

    def distance(self, cloning: Cloning) -> Tensor:
        """Return how far what the actor would do is from what is cloned, where it counts."""
        best = self.actor.best(cloning.inputs)
        errors = self.actor.bounds.distance(best, cloning.action)
        if not cloning.only_better:
            return errors.mean()
        with torch.no_grad():
            theirs, own = (self.value(cloning.inputs, a).mean(dim=0) for a in (cloning.action, best))
        return (errors * (theirs > own)).mean()

    def _descend(self, name: str, module: nn.Module | None, loss: Tensor) -> None:
        optimiser = self._optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if module is not None:
            nn.utils.clip_grad_norm_(module.parameters(), 10.0)
        optimiser.step()

    def state(self) -> dict[str, Any]:
        """Return everything that another one of the same settings needs to resume exactly."""
        return {
            "steps": self.steps,
            "log_temperature": self.log_temperature.detach(),
            "actor": self.actor.state_dict(),
            "critics": self.critics.state_dict(),
            "target": self._target.state_dict(),
            **{f"{name} optimiser": o.state_dict() for name, o in self._optimisers.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` was taken of."""
        self.steps = state["steps"]
        with torch.no_grad():
            self.log_temperature.copy_(state["log_temperature"])
        self.actor.load_state_dict(state["actor"])
        self.critics.load_state_dict(state["critics"])
        self._target.load_state_dict(state["target"])
        for name, optimiser in self._optimisers.items():
            optimiser.load_state_dict(state[f"{name} optimiser"])
