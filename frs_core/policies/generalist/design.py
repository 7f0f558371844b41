"""What distinguishes one small generalist from another: its cameras, the objects it locates, its words, and the size of its actions.

    from frs_core.policies.tabletop.design import DESIGN
    policy = load(DESIGN)

Network, training and policy are the same for all (`network.py`, `policy.py`, `frs_core.making.generalist`).
"""

from dataclasses import dataclass, replace

import numpy as np

from frs_core.policies.generalist.vocabulary import Vocabulary
from frs_core.robot.actions import ActionSpace, ee_delta_space

IMAGE_SIZE = (112, 112)
"""(height, width) of what the network sees; the cameras' pixels are averaged."""
HORIZON = 16
"""H, rows of a chunk."""
EXECUTE_ROWS = 8
"""E, rows executed before the next chunk."""
STEPS = 10
"""K, Euler steps of the flow."""
ACTION_SIZE = 7
PROPRIO_SIZE = 18
PROPRIO_SCALE = np.ones(PROPRIO_SIZE, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Design:
    """Constants of one generalist; those of its weights follow from them."""

    name: str
    """Of the policy, and of its folder in assets."""
    cameras: tuple[str, ...]
    """One that is fixed and one on the tool, by the world's names."""
    on_tool: str
    """The camera that moves with the tool."""
    concepts: tuple[str, ...]
    """Objects that the vision encoder locates in every image."""
    vocabulary: Vocabulary
    """Its words, and which concepts they name."""
    translation: float
    """Metres per step and axis at normalised 1: close to the 99th percentile of the demonstrations."""
    rotation: float
    """rad per step at normalised 1; the same."""
    control_hz: float
    """Of the world, Hz."""
    shown: tuple[str, ...]
    """Tasks, of the world that has the policy's name, that are demonstrated to it."""
    reach: float = 1.0
    """Share of a commanded step that the arm makes; see `ActionSpace.reach`."""
    has_fixed_cameras: bool = True
    """Whether all scenes have the cameras in the same place; otherwise an observation's calibrations say where they are."""
    is_mirrored: bool = False
    """Whether the world's images for policies are mirrored; they are turned back, because calibrations are of what is not."""
    height_noise: float = 0.03
    """Metres by which an object's height may differ from where it rests, for objects that one camera sees."""
    centre: tuple[float, float, float] = (0.5, 0.0, 0.1)
    """Metres in the base frame; the place of objects that no camera sees."""

    def action_space(self) -> ActionSpace:
        """Return the end-effector delta space."""
        space = ee_delta_space(translation=self.translation, rotation=self.rotation, control_hz=self.control_hz)
        return replace(space, reach=self.reach)
