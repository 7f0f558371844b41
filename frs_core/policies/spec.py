"""What is known about a policy without asking it anything, and the handle of an encoded observation.

Apart from `base`, so that whoever only reads these facts (session, recorder, window) does not load the tensor library.
Pure data; any thread.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from frs_core.actions import ActionSpace


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
    flow_space: ActionSpace | None = None
    """What the flow's columns mean where they are not the robot's numbers (see `policies.joints`); None = `action_space`."""

    @property
    def flow(self) -> ActionSpace:
        """The space that references, noises and normalised chunks are in."""
        return self.flow_space or self.action_space


@dataclass(slots=True, eq=False)
class Context:
    """One encoded observation. Only its policy looks inside `payload`."""

    payload: Any
    features: Float[np.ndarray, " F"]
    """What a noise policy sees, float32."""
    captured_ns: int
    """When the observation was taken."""
    extra: dict[str, Any] = field(default_factory=dict)
