"""A DROID Franka: `DroidWorld` here, `bridge.py` under the lab's own interpreter."""

from frs_core.worlds.droid.world import DroidConfig, DroidWorld, calibration_notes, config_of

__all__ = ["DroidConfig", "DroidWorld", "calibration_notes", "config_of"]
