"""What the product needs from a flow-matching policy.

A back end implements `encode` (once per observation) and `velocity`; `denoise` and `steer` have defaults built on it, and
are methods so that a CUDA graph or a network server can run the whole loop as one unit.
Runs on the inference worker's thread; a policy is not shared between threads.
"""

import abc
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.errors import PolicyError, ShapeMismatch
from frs_core.robot.observation import Observation
from frs_core.steering import flow
from frs_core.steering.methods import Reference, Steered, SteeredRows, gaussian, steer
from frs_core.steering.plan import SteeringPlan
from frs_core.steering.policy_spec import Context, PolicySpec
from frs_core.tensors import Tensor, torch

__all__ = ["Context", "FlowPolicy", "PolicySpec"]


Numbers = TypeVar("Numbers", Tensor, Array)


def _array(x: Float[Tensor, "B H A"]) -> Float[Array, "B H A"]:
    return x.float().cpu().numpy()


class FlowPolicy(abc.ABC):
    """A generalist that turns noise into chunks by integrating a velocity field."""

    spec: PolicySpec
    default_plan: SteeringPlan
    """Calibrated steering settings of this policy."""
    options: Mapping[str, str | int | float | bool] = MappingProxyType({})
    """The options it was loaded with, as given, without secrets; set by `load_policy` and stored in recordings."""

    @abc.abstractmethod
    def encode(self, observation: Observation) -> Context:
        """Return the encoded observation; the expensive part, done once per observation.

        Raises:
            ConfigError: a camera the policy needs is missing.
            PolicyError: inference failed.
        """

    @abc.abstractmethod
    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Return dx/dt of every row, normalised; rows are independent.

        Args:
            context: of `encode`.
            x: states along the flow, normalised.
            t: flow time, 0 = noise, 1 = action.
        Raises:
            PolicyError: inference failed.
        """

    def denoise(
        self, context: Context, noise: Float[Tensor, "B H A"], *, steps: int | None = None
    ) -> Float[Tensor, "B H A"]:
        """Return normalised chunks denoised from noises.

        Args:
            context: of `encode`.
            noise: states at t = 0.
            steps: Euler steps; None = the policy's own number.
        Raises:
            ShapeMismatch: the noise does not fit the policy.
            PolicyError: the result is not finite.
        """
        self.check_shape(noise, "Noise")
        with torch.inference_mode():
            chunk = flow.denoise(
                lambda x, t: self.velocity(context, x, t),
                noise,
                steps=steps or self.spec.integration_steps,
            )
        return self._finite(chunk)

    def steer(self, context: Context, reference: Reference, plan: SteeringPlan) -> Steered:
        """Return noises and normalised chunks for a batch of references.

        Args:
            context: of `encode`.
            reference: coarse chunks, normalised, with their commanded columns.
            plan: settings of steering.
        Raises:
            ShapeMismatch: a reference does not fit the policy.
            PolicyError: the result is not finite.
        """
        self.check_shape(reference.x, "Reference")
        with torch.inference_mode():
            steered = steer(lambda x, t: self.velocity(context, x, t), reference, plan)
        self._finite(steered.chunk)
        return steered

    def to_robot(self, x: Float[Tensor, "B H A"], observation: Observation | None = None) -> Float[Array, "B H a"]:
        """Return chunks in robot units, clipped to the action limits, flow padding dropped.

        Args:
            x: normalised.
            observation: the state they start from; only policies with a `flow_space` use it.
        """
        space = self.spec.action_space
        return space.clip(space.unnormalise(x[..., : space.size].cpu().numpy()))

    def denoise_rows(
        self, context: Context, noise: Float[Array, "B H A"], *, steps: int | None = None
    ) -> Float[Array, "B H A"]:
        """Return `denoise` of arrays; a policy on another machine does it without PyTorch."""
        return _array(self.denoise(context, torch.from_numpy(noise), steps=steps))

    def steer_rows(
        self, context: Context, x: Float[Array, "B H A"], commanded: Bool[Array, "B A"], plan: SteeringPlan
    ) -> SteeredRows:
        """Return `steer` of arrays.

        Args:
            context: of `encode`.
            x: of `Reference`.
            commanded: of `Reference`.
            plan: settings of steering.
        """
        steered = self.steer(context, Reference(torch.from_numpy(x), torch.from_numpy(commanded)), plan)
        return SteeredRows(_array(steered.noise), _array(steered.chunk), _array(steered.recovered))

    def rows_to_robot(self, x: Float[Array, "B H A"], observation: Observation | None = None) -> Float[Array, "B H a"]:
        """Return `to_robot` of an array."""
        return self.to_robot(torch.from_numpy(x), observation)

    def own_noise(self, seed: int) -> Float[Array, "1 H A"]:
        """Return N(0, 1) of one row, the same for a seed on every machine."""
        return gaussian((1, self.spec.horizon, self.spec.width), seed=seed).numpy()

    def check_shape(self, x: "Float[Tensor, 'B h a'] | Float[Array, 'B h a']", what: str) -> None:
        """Raise `ShapeMismatch`, which begins with `what`, unless x is [B, H, A] of this policy."""
        expected = (self.spec.horizon, self.spec.width)
        if x.ndim != 3 or tuple(x.shape[1:]) != expected:
            raise ShapeMismatch(
                f"{what} has shape {tuple(x.shape)}, policy '{self.spec.name}' needs (B, {expected[0]}, {expected[1]}). "
                f"Read the sizes from policy.spec."
            )

    @property
    def network_ms(self) -> float:
        """Network time of the last call to a remote policy, ms, without computing and queueing; NaN for a local policy."""
        timing: Mapping[str, float] = getattr(self, "last_timing", {})
        if "round_trip_ms" not in timing:
            return math.nan
        return timing["round_trip_ms"] - timing.get("infer_ms", 0.0) - timing.get("queue_ms", 0.0)

    def cancel(self) -> None:  # noqa: B027  an optional hook
        """Abort a call that waits for a remote answer; callable from any thread. A local policy does nothing."""

    def close(self) -> None:  # noqa: B027  an optional hook
        """Free the policy's resources; safe to call twice."""

    def _finite(self, x: Numbers) -> Numbers:
        if not bool(np.isfinite(x).all() if isinstance(x, np.ndarray) else torch.isfinite(x).all()):
            raise PolicyError(
                f"Policy '{self.spec.name}' gave non-finite numbers. Check the weights with `frs policy check`."
            )
        return x
