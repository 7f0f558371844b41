"""A behaviour-cloning policy as a `FlowPolicy`, so that it runs in the same session as the generalist.

The generalist encodes the observation (its features are the cloner's inputs); `denoise` returns the cloner's chunk, whatever
the noise. It cannot be steered, because there is no flow.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.errors import PolicyError, ShapeMismatch
from frs_core.learning.base import ChunkPolicy
from frs_core.policies.base import Context, FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.methods import gaussian

_SEEN = "observation"


class ClonedPolicy(FlowPolicy):
    """Encodes with the generalist and acts with the cloner."""

    def __init__(self, generalist: FlowPolicy, cloner: ChunkPolicy) -> None:
        """Combine the two; neither is owned.

        Args:
            generalist: encodes.
            cloner: acts.
        """
        self.spec = replace(generalist.spec, name=cloner.name, can_steer=False)
        self.default_plan, self.options = generalist.default_plan, generalist.options
        self._generalist, self._cloner = generalist, cloner

    def encode(self, observation: Observation) -> Context:
        """Return the generalist's encoding, the observation kept for the cloner, and the generalist's own chunk where it wants one."""
        context = self._generalist.encode(observation)
        if (seed := self._cloner.own_seed(observation)) is not None:
            spec = self._generalist.spec
            own = self._generalist.denoise(context, gaussian((1, spec.horizon, spec.width), seed=seed))
            flat = own[0, :, : spec.flow.size].cpu().numpy().ravel()
            context = replace(context, features=np.concatenate([context.features, flat]))
        context.extra[_SEEN] = observation
        return context

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Raise: a cloner has no flow."""
        raise PolicyError(
            f"'{self.spec.name}' is behaviour cloning and cannot be steered. Load the generalist to steer."
        )

    def denoise(
        self, context: Context, noise: Float[Tensor, "B H A"], *, steps: int | None = None
    ) -> Float[Tensor, "B H A"]:
        """Return the cloner's chunk, normalised, whatever the noise."""
        self.check_shape(noise, "Noise")
        chunk = self._cloner.chunk(context, context.extra[_SEEN])
        space = self.spec.flow
        if chunk.shape[-1] != space.size:
            raise ShapeMismatch(
                f"'{self.spec.name}' gives {chunk.shape[-1]} numbers per action, {space.kind.value} needs {space.size}. "
                f"Train it on episodes recorded in {space.kind.value}."
            )
        x = torch.zeros_like(noise)
        x[..., : space.size] = torch.from_numpy(space.normalise(space.clip(chunk))).to(x)
        return self._finite(x)

    def to_robot(self, x: Float[Tensor, "B H A"], observation: Observation | None = None) -> Float[Array, "B H a"]:
        """Return chunks in robot units, as the generalist would."""
        return self._generalist.to_robot(x, observation)
