"""The embedded MuJoCo Franka."""

from frs_core.worlds.tabletop.world import TabletopWorld

__all__ = ["TabletopWorld"]
