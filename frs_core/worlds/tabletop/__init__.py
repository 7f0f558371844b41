"""The embedded MuJoCo Franka. Importing this package imports no simulator: the policy needs only its vocabulary and tasks.

It sets MUJOCO_GL if nothing else has: MuJoCo reads it when it is imported, by whichever module comes first.
"""

import os
from typing import TYPE_CHECKING

os.environ.setdefault("MUJOCO_GL", "egl")

if TYPE_CHECKING:
    from frs_core.worlds.tabletop.world import TabletopWorld

__all__ = ["TabletopWorld"]


def __getattr__(name: str) -> object:
    """Import the simulator when the world is asked for."""
    if name == "TabletopWorld":
        from frs_core.worlds.tabletop.world import TabletopWorld

        return TabletopWorld
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
