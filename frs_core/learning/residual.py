"""Residual reinforcement learning: practise a small correction of the generalist's chunk, the baseline that leaves its prior.

Problem: does it matter that practice acts through the generalist's noise? Idea: the same practice, networks and critics with another
action: corrections that are added to the generalist's own action, few (the lowest temporal components, one constant offset by
default) and small (within `bound` of a normalised action's unit). Nothing pulls a correction back to what the generalist would do.

It sees the generalist's features and the chunk that it corrects; until it has warmed up it corrects nothing. A correction is read off
what was executed, limits included, so clipped corrections are learned from as what they were.

Example: 684 features + 16 x 7 numbers of the chunk + 18 proprioception -> 7 numbers in -0.2..0.2.
Source: in the style of PLD (arXiv 2511.00091); its details are not known. Runs in the trainer's process.
"""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.errors import ConfigError
from frs_core.learning.base import ChunkPolicy
from frs_core.learning.bounds import Bounds
from frs_core.learning.live import live_inputs
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.network import Inputs
from frs_core.learning.noise_parts import NoisePart
from frs_core.learning.practising import Draws, SacLearner, drawing
from frs_core.learning.sac import Actor, Sac
from frs_core.learning.settings import ResidualSettings
from frs_core.learning.table import TrainingTable
from frs_core.policies.base import FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.policy_spec import Context

DEVIATION = 1 / 3
"""Target standard deviation of exploration, as a share of the bound."""


class Residual(SacLearner[ResidualSettings]):
    """Soft actor-critic on corrections."""

    def begin(
        self, policy: FlowPolicy, settings: ResidualSettings | None = None, *, prior: TrainingTable | None = None
    ) -> None:
        """Start afresh. Recorded episodes are not used, because they do not record what the generalist would have done.

        Raises:
            ConfigError: the policy's flow is not in the robot's own actions.
        """
        if policy.spec.flow_space is not None:
            raise ConfigError(
                f"'{self.spec.id}' corrects actions in the policy's own space, and '{policy.spec.name}' is turned to "
                f"{policy.spec.action_space.kind.value}. Leave --practice.action-space out."
            )
        super().begin(policy, settings)

    def actions(self, table: TrainingTable) -> Float[Tensor, "M n"]:
        """Return what was added to the generalist's chunks."""
        executed = torch.from_numpy(self.policy.flow.normalise(table.chunk)).float()
        part = _part(self.settings, table.horizon, table.action_size)
        return part.read(executed - own_chunk(table.features, table.horizon, table.action_size)) / table.horizon**0.5

    def fresh(self, seen: Inputs) -> Sac:
        """Return an agent whose corrections are exploration around zero."""
        settings = self.settings
        numbers = _part(settings, self.policy.horizon, self.policy.flow.size).numbers
        return Sac(settings, seen, Bounds.same(settings.bound, numbers), deviation=DEVIATION * settings.bound)

    def acting(self, actor: Actor | None, metadata: PolicyMetadata) -> "ResidualPolicy":
        """Return an actor at work."""
        return ResidualPolicy(actor, metadata, self.settings_of(metadata))

    def facts(self) -> dict[str, Any]:
        """Return what an actor needs to turn normalised actions into the robot's."""
        space = self.policy.flow
        return {"offset": space.offset.tolist(), "scale": space.scale.tolist()}


class ResidualPolicy(ChunkPolicy):
    """An actor at work: the generalist's chunk and a little more."""

    def __init__(self, actor: Actor | None, metadata: PolicyMetadata, settings: ResidualSettings) -> None:
        self.name, self.policy_fingerprint, self.metadata = metadata.name, metadata.policy_fingerprint, metadata
        self._settings, self._draws = settings, Draws(metadata)
        self._part = _part(settings, metadata.horizon, metadata.action_size)
        self._actor = actor.eval() if actor is not None else None

    def begin(self, seed: int) -> None:
        """Explore differently in every scene."""
        self._draws.begin(seed)

    def own_seed(self, observation: Observation) -> int:
        """Return the seed of the generalist's own chunk, which it corrects."""
        return self._draws.at(observation.step)

    @torch.inference_mode()
    def chunk(self, context: Context, observation: Observation) -> Float[Array, "H a"]:
        """Return the corrected chunk in robot units.

        Raises:
            ShapeMismatch: the features do not have the trained length.
        """
        metadata, draws = self.metadata, self._draws
        x = own_chunk(context.features[None], metadata.horizon, metadata.action_size)
        if self._actor is not None:
            inputs = live_inputs(context, observation, self._settings.inputs, metadata, device=torch.device("cpu"))
            with drawing(draws.at(observation.step, stream=1)):
                added = self._actor.draw(inputs).action if draws.explores else self._actor.best(inputs)
            x = x + self._part.compose(added * metadata.horizon**0.5, torch.zeros_like(x))
        return x[0].numpy() * np.float32(metadata.data["scale"]) + np.float32(metadata.data["offset"])


def own_chunk(features: Float[Array, "M F"], horizon: int, size: int) -> Float[Tensor, "M H a"]:
    """Return the generalist's own chunks, normalised, which come last among the features."""
    flat = torch.from_numpy(np.ascontiguousarray(features[:, -horizon * size :])).float()
    return rearrange(flat, "m (h a) -> m h a", h=horizon)


def _part(settings: ResidualSettings, horizon: int, size: int) -> NoisePart:
    return NoisePart.of(horizon, size, columns=(), components=settings.components)
