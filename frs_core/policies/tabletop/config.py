"""Constants of the tabletop generalist: its images, the objects it localises, its chunks and action space."""

import numpy as np

from frs_core.robot.actions import ActionSpace, ee_delta_space

CAMERAS = ("left", "wrist")
IMAGE_SIZE = (112, 112)
"""(height, width) after averaging the cameras' 224 x 224 pixels."""

CONCEPTS: tuple[str, ...] = (
    "mug",
    "can",
    "cup",
    "carton",
    "box",
    "sponge",
    "plate",
    "bowl",
    "stand",
    "basket",
    "drawer",
)
"""Object classes that the vision encoder localises in every image."""

HORIZON = 16
"""H, rows of a chunk: 1.07 s at 15 Hz."""
EXECUTE_ROWS = 8
"""E, rows executed before the next chunk."""
STEPS = 10
"""K, Euler steps of the flow."""

TRANSLATION = 0.018
"""Metres per step and axis at normalised 1. Source: close to the 99th percentile of the demonstrations."""
ROTATION = 0.08
"""rad per step at normalised 1. Same source."""


def action_space() -> ActionSpace:
    """Return the generalist's end-effector delta space."""
    return ee_delta_space(translation=TRANSLATION, rotation=ROTATION, control_hz=15.0)


ACTION_SIZE = 7
PROPRIO_SIZE = 18
PROPRIO_SCALE = np.ones(PROPRIO_SIZE, dtype=np.float32)
