"""A DROID Franka: `DroidWorld` here, `bridge.py` under the lab's own interpreter."""

from frs_core.worlds.droid.world import DroidConfig, DroidWorld, calibration_notes, config_of, open_droid

__all__ = ["DroidConfig", "DroidWorld", "calibration_notes", "config_of", "open_droid"]
