"""A policy small enough to check by hand: the exact flow of a Gaussian mixture over chunks.

The data are straight motions: six cardinal ones and "stay", each row moving `STEP` of a normalised unit, with a little
spread. Chunks are x_t = (1 - t) noise + t action, so the velocity field is known in closed form and needs no training:
in each mode k, E[action - noise | x, t] = mu_k + (t s^2 - (1 - t)) / sigma_t^2 * (x - t mu_k), with
sigma_t^2 = (1 - t)^2 + t^2 s^2, weighted by how likely x is in each mode. Motion and gripper are independent mixtures.

Example: denoising 1000 Gaussian noises gives 1000 chunks, about 1/7 of which move left by 16 mm per row.
"""

import hashlib
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.errors import ConfigError
from frs_core.policies.base import Context, FlowPolicy, PolicySpec
from frs_core.robot.actions import ee_delta_space
from frs_core.robot.observation import Observation
from frs_core.steering.directions import Direction
from frs_core.steering.methods import SteeringPlan

STEP = 0.8
"""Normalised translation per row of every moving mode; 16 mm."""
SPREAD = 0.15
"""Standard deviation of the data around a mode, normalised."""


class ToyPolicy(FlowPolicy):
    """The exact flow of seven straight motions, with an open or closed gripper."""

    def __init__(
        self, *, cameras: tuple[str, ...] = ("left", "right", "wrist"), width: int = 7, fingerprint: str = "toy-1"
    ) -> None:
        """Build the mixture.

        Args:
            cameras: which cameras the world must have.
            width: A on the flow side, >= 7; the columns past 7 are padding with mean zero.
            fingerprint: what data made with it is stamped with.
        """
        horizon = 8
        self.spec = PolicySpec(
            name="toy",
            horizon=horizon,
            width=width,
            action_space=ee_delta_space(translation=0.02, rotation=0.1),
            cameras=cameras,
            image_size=(64, 64),
            integration_steps=10,
            execute_rows=4,
            feature_size=8,
            fingerprint=fingerprint,
        )
        self.default_plan = SteeringPlan(components=1)
        steps = np.stack([d.axis * STEP for d in Direction] + [np.zeros(3)])
        motion = np.zeros((7, horizon, width))
        motion[:, :, :3] = steps[:, None]
        is_gripper = np.arange(width) == 6
        self._motion_modes = torch.tensor(motion[..., ~is_gripper], dtype=torch.float64).flatten(1)
        self._gripper_modes = torch.tensor([[-1.0] * horizon, [1.0] * horizon], dtype=torch.float64)
        self._is_gripper = torch.tensor(is_gripper)

    def encode(self, observation: Observation) -> Context:
        """Return tool position, gripper, image brightness and a hash of the instruction as features."""
        missing = [c for c in self.spec.cameras if c not in observation.frames]
        if missing:
            raise ConfigError(
                f"Policy 'toy' needs camera '{missing[0]}', the world has {sorted(observation.frames)}. "
                f"Choose a world with the policy's cameras."
            )
        brightness = [float(observation.frames[c].image.mean()) / 255.0 for c in self.spec.cameras[:3]]
        word = int.from_bytes(hashlib.sha256(observation.instruction.encode()).digest()[:2]) / 65536.0
        features = np.zeros(self.spec.feature_size, dtype=np.float32)
        values = [*observation.p_tcp, observation.gripper, word, *brightness]
        features[: len(values)] = values
        return Context(payload=None, features=features, captured_ns=observation.captured_ns)

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Return the closed-form field; the observation does not matter."""
        v = torch.empty_like(x)
        motion = x[..., ~self._is_gripper]
        v[..., ~self._is_gripper] = _mixture_velocity(motion.flatten(1), self._motion_modes, t).view_as(motion)
        v[..., 6] = _mixture_velocity(x[..., 6], self._gripper_modes, t)
        return v


def _mixture_velocity(x: Float[Tensor, "B D"], modes: Float[Tensor, "M D"], t: float) -> Float[Tensor, "B D"]:
    """Return E[action - noise | x_t = x] for equally likely modes of spread `SPREAD`."""
    modes = modes.to(x.dtype)
    variance = (1.0 - t) ** 2 + t**2 * SPREAD**2
    distance = torch.cdist(x, t * modes, compute_mode="donot_use_mm_for_euclid_dist").square()
    weights = torch.softmax(-0.5 * distance / variance, dim=1)
    mean = weights @ modes
    gain = (t * SPREAD**2 - (1.0 - t)) / variance
    return mean + gain * (x - t * mean)


def mode_of(chunk: Float[np.ndarray, "H a"]) -> Direction | None:
    """Return which straight motion a chunk (robot units) is closest to; None = stay."""
    step = chunk[:, :3].mean(axis=0) / 0.02
    best = max(Direction, key=lambda d: float(d.axis @ step))
    return best if float(best.axis @ step) > STEP / 2 and math.isfinite(float(step.sum())) else None
