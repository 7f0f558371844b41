"""What a cockpit knows about what it is connected to. Filled in when world and policy are up. GUI thread."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frs_core.events import Driver
from frs_core.policy_spec import PolicySpec
from frs_core.worlds.base import WorldSpec

WHY_NOT = {
    Driver.LEARNED: "No learned candidate; train a noise policy and use it first",
    Driver.SCRIPTED: "No script fits this world; start with --script FILE, or on the embedded world",
    Driver.VLM: "No vision-language model is set up; start with --vlm http://…/v1, or set FRS_VLM_URL",
}
"""Why somebody cannot drive, and the fix."""


@dataclass(slots=True, eq=False)
class Facts:
    """World, policy and folders of this run; shared by all views."""

    world: str
    """Registry name of the world."""
    policy: str
    """Registry name of the policy."""
    tasks: tuple[str, ...] = ()
    is_simulated: bool = True
    control_hz: float = 15.0
    workspace: tuple[np.ndarray, np.ndarray] | None = None
    """Low and high corner, base frame, metres."""
    drivers: tuple[Driver, ...] = (Driver.PERSON, Driver.LEARNED)
    """Who can drive here."""
    fingerprint: str = ""
    """Of the policy; empty until it is loaded."""
    policy_loader: str = ""
    """Registry name of the policy, for helpers in other processes; empty = they cannot load it."""
    action_space: str = ""
    """What the policy was turned to; empty = its own."""
    can_evaluate: bool = False
    """Whether fresh episodes can be run in the background to compare policies."""
    root: Path | None = None
    """Recording root; None records nothing."""
    notes: tuple[str, ...] = ()
    """Sentences to show once at start."""

    def learn(self, world: WorldSpec | None, policy: PolicySpec | None) -> bool:
        """Take over the facts of world and policy; return whether anything is news."""
        former = (self.tasks, self.fingerprint)
        if world is not None:
            self.tasks, self.is_simulated, self.control_hz = world.tasks, world.is_simulated, world.control_hz
            self.workspace = (world.limits.workspace_low, world.limits.workspace_high)
        if policy is not None:
            self.fingerprint = policy.fingerprint
        return former != (self.tasks, self.fingerprint)
