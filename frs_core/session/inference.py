"""Make fans on the inference worker's thread, the only one that uses the policy.

The newest encoding is kept, so that changing a setting (plan, gripper, seed) pays only for steering, not for the prefix.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from frs_core.choosers.base import NoisePolicy
from frs_core.errors import PolicyError
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Command, Gripper
from frs_core.steering.plan import SteeringPlan
from frs_core.steering.policy_spec import Context, PolicySpec

if TYPE_CHECKING:
    from frs_core.policies.base import FlowPolicy


@dataclass(frozen=True, slots=True, eq=False)
class FanRequest:
    """One fan that is wanted."""

    request_id: int
    observation: Observation
    plan: SteeringPlan
    gripper: Gripper
    commands: tuple[Command, ...] | None
    limits: Limits | None


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A policy is ready."""

    spec: PolicySpec
    plan: SteeringPlan
    """Its calibrated default."""
    options: Mapping[str, str | int | float | bool]
    """The options it was loaded with."""


@dataclass(frozen=True, slots=True)
class NoisePolicyLoaded:
    """A noise policy is ready, or was removed."""

    path: str | None


class FanMaker:
    """Owns the policy and the noise policy; all but `cancel` runs on the worker's thread."""

    def __init__(
        self,
        policy: "FlowPolicy | Callable[[], FlowPolicy]",
        *,
        load_noise_policy: "Callable[[str, FlowPolicy], NoisePolicy] | None" = None,
    ) -> None:
        """Remember what to load.

        Args:
            policy: a policy, or what makes one (called on the worker's thread).
            load_noise_policy: (path, policy) -> noise policy; None = the product's own files.
        """
        # Asking for the class would load the tensor library on whatever thread makes the session.
        is_ready = hasattr(policy, "encode") and not isinstance(policy, type)
        self._policy = cast("FlowPolicy", policy) if is_ready else None
        self._is_owner = self._policy is None
        self._make = None if is_ready else cast("Callable[[], FlowPolicy]", policy)
        self._load_noise_policy = load_noise_policy or _load_saved
        self._noise_policy: NoisePolicy | None = None
        self._context: Context | None = None
        self._context_key: tuple[int, str] | None = None

    def load(self) -> Loaded:
        """Return the facts of the policy, loading it the first time."""
        if self._policy is None:
            if self._make is None:
                raise PolicyError("No policy was given. Choose one with --policy.")
            self._policy = self._make()
        return Loaded(self._policy.spec, self._policy.default_plan, self._policy.options)

    def set_noise_policy(self, noise_policy: NoisePolicy | str | None) -> NoisePolicyLoaded:
        """Put a noise policy into the coming fans; a path is loaded, None removes it."""
        if isinstance(noise_policy, str):
            self.load()
            assert self._policy is not None
            self._noise_policy = self._load_noise_policy(noise_policy, self._policy)
            return NoisePolicyLoaded(noise_policy)
        self._noise_policy = noise_policy
        return NoisePolicyLoaded(noise_policy.name if noise_policy else None)

    def begin(self, seed: int) -> None:
        """Begin an episode in which what the noise policy draws at random follows from a seed."""
        if self._noise_policy is not None:
            self._noise_policy.begin(seed)
            if self._noise_policy.doubts is not None:
                self._noise_policy.doubts.begin()

    def make(self, request: FanRequest) -> Fan:
        """Return the fan that is asked for.

        Raises:
            PolicyError: inference failed.
        """
        # It imports torch, which must not happen on the GUI thread.
        from frs_core.candidates.fan import build_fan

        self.load()
        assert self._policy is not None
        context, encode_ms = self._encode(request.observation)
        return build_fan(
            self._policy,
            context,
            request.observation,
            plan=request.plan,
            gripper=request.gripper,
            commands=request.commands,
            noise_policy=self._noise_policy,
            limits=request.limits,
            request_id=request.request_id,
            encode_ms=encode_ms,
        )

    def cancel(self) -> None:
        """Make a policy that waits for an answer from elsewhere give up; any thread."""
        if self._policy is not None:
            self._policy.cancel()

    def close(self) -> None:
        """Free the policy if it was made here."""
        if self._policy is not None and self._is_owner:
            self._policy.close()
            self._policy = None

    def _encode(self, observation: Observation) -> tuple[Context, float]:
        assert self._policy is not None
        key = (observation.captured_ns, observation.instruction)
        if self._context is not None and key == self._context_key:
            return self._context, 0.0
        started = time.perf_counter()
        self._context = self._policy.encode(observation)
        self._context_key = key
        return self._context, (time.perf_counter() - started) * 1e3


def _load_saved(path: str, policy: "FlowPolicy") -> NoisePolicy:
    from frs_core.learning.registry import load_noise_policy

    return load_noise_policy(path, policy.spec.fingerprint)
