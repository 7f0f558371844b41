"""The fixed facts a cockpit needs about what it is connected to. Pure data."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from frs_core.events import Driver


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """World, policy and folders of this run."""

    world: str
    policy: str
    tasks: tuple[str, ...] = ()
    is_simulated: bool = True
    control_hz: float = 15.0
    workspace: tuple[np.ndarray, np.ndarray] | None = None
    """Low and high corner, base frame, metres."""
    drivers: tuple[Driver, ...] = (Driver.PERSON, Driver.LEARNED)
    """Who can drive here."""
    fingerprint: str = ""
    """Of the policy."""
    root: Path | None = None
    """Recording root; None records nothing."""
    notes: tuple[str, ...] = field(default=())
    """Sentences to show once at start."""
