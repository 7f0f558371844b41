"""What is known about a policy without asking it anything, and the handle of an encoded observation.

Apart from `base`, so that whoever only reads these facts (session, recorder, window) does not load the tensor library.
Pure data; any thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import PolicyError
from frs_core.robot.actions import ActionSpace


@dataclass(frozen=True, slots=True, eq=False)
class PolicySpec:
    """Fixed facts about a policy."""

    name: str
    horizon: int
    """H, rows of a chunk."""
    width: int
    """A on the flow side (32 for pi0.5); the first `flow.size` columns are used."""
    action_space: ActionSpace
    cameras: tuple[str, ...]
    """Cameras it looks at; the world must have them."""
    image_size: tuple[int, int]
    """(height, width) it resizes to."""
    integration_steps: int
    """K it was made for."""
    execute_rows: int
    """E, rows executed before the next chunk is asked for; <= horizon."""
    feature_size: int
    """Length of Context.features; 0 when it has none."""
    fingerprint: str
    """Hash of weights and configuration; data made with another is refused."""
    can_steer: bool = True
    """False for servers that only sample."""
    cannot_steer_reason: str = ""
    """One sentence for the operator when `can_steer` is False."""
    camera_pairing: tuple[tuple[str, str], ...] = ()
    """(image input of the network, world camera or "none"), in the network's order; empty where it is not known."""
    action_low: Float[Array, " a"] | None = None
    action_high: Float[Array, " a"] | None = None
    """What the statistics the policy was trained with cover (1 % and 99 %), robot units of `action_space`; None = not stated."""
    is_range_from_joints: bool = False
    """The range of the seven joints is counted from where the arm is at the start of a chunk."""
    flow_space: ActionSpace | None = None
    """What the flow's columns mean where they are not the robot's numbers (see `policies.joints`); None = `action_space`."""
    shown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """World -> those of its tasks that the policy was trained on; a world that is missing is not stated."""

    @property
    def flow(self) -> ActionSpace:
        """The space that references, noises and normalised chunks are in."""
        return self.flow_space or self.action_space

    def range_at(self, q: Float[Array, " 7"]) -> tuple[Float[Array, " a"] | None, Float[Array, " a"] | None]:
        """Return smallest and largest actions that the statistics cover for a chunk asked at joints q; None where not stated."""
        if self.action_low is None or self.action_high is None:
            return None, None
        if not self.is_range_from_joints:
            return self.action_low, self.action_high
        start = np.append(q, np.zeros(len(self.action_low) - len(q)))
        return self.action_low + start, self.action_high + start


@dataclass(slots=True, eq=False)
class Context:
    """One encoded observation. Only its policy looks inside `payload`.

    Raises:
        PolicyError: its features are not finite; what follows from them would not be either.
    """

    payload: Any
    features: Float[Array, " F"]
    """What a noise policy sees, float32."""
    captured_ns: int
    """When the observation was taken."""
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse numbers that are none."""
        bad = int(np.count_nonzero(~np.isfinite(self.features)))
        if bad:
            raise PolicyError(
                f"Encoding an observation gave {bad} of {self.features.size} features that are not finite. "
                f"Check the weights with `frs policy check`, and the images and the state that were encoded."
            )
