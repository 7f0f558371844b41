"""A generalist that drifts forward: the flow of one Gaussian over chunks, in closed form."""

import numpy as np
import torch

from frs_core.policies.base import Context, FlowPolicy, PolicySpec
from frs_core.robot.actions import ee_delta_space
from frs_core.robot.observation import Observation
from frs_core.steering.methods import SteeringPlan

SPREAD = 0.8
"""Standard deviation of its actions, normalised; wide, so that noise decides where it goes."""


class DriftPolicy(FlowPolicy):
    """Chunks of 8 rows, of which 4 are executed."""

    def __init__(self, *, speed: float = 0.3) -> None:
        """Make it.

        Args:
            speed: forward, normalised.
        """
        self.spec = PolicySpec(
            name="drift",
            horizon=8,
            width=7,
            action_space=ee_delta_space(translation=0.02, rotation=0.1),
            cameras=("front",),
            image_size=(64, 64),
            integration_steps=10,
            execute_rows=4,
            feature_size=3,
            fingerprint=f"drift-{speed:g}",
        )
        self.default_plan = SteeringPlan(components=1)
        self._mean = torch.zeros(8, 7)
        self._mean[:, 0] = speed

    def encode(self, observation: Observation) -> Context:
        return Context(None, observation.p_tcp.astype(np.float32), observation.captured_ns)

    def velocity(self, context: Context, x: torch.Tensor, t: float) -> torch.Tensor:
        variance = (1 - t) ** 2 + (t * SPREAD) ** 2
        return self._mean + (t * SPREAD**2 - (1 - t)) / variance * (x - t * self._mean)
