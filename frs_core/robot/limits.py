"""Where an arm may be and how far one action may take it: the numbers that every world states of itself.

One `Limits` judges the preview (`safety.check_chunks`), bends what is sent (`safety.limit_action`) and is what the arm's own world
enforces, so that preview and motion obey the same limits.
"""

from dataclasses import dataclass, field

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Where the arm may be and how far one action may take it."""

    workspace_low: Float[Array, " 3"]
    workspace_high: Float[Array, " 3"]
    """Box of the tool centre, base frame, metres."""
    table_height: float | None = None
    """Height of the table in the base frame, metres; None where it is not known."""
    table_margin: float = 0.005
    """A path below table_height + this is called a hit, metres. Guess: a finger pad's rubber."""
    joint_low: Float[Array, " 7"] = field(default_factory=kinematics.Q_LOW.copy)
    joint_high: Float[Array, " 7"] = field(default_factory=kinematics.Q_HIGH.copy)
    """rad; a Panda's where the world states no other."""
    joint_margin: float = 0.05
    """Nearer than this to a joint limit is warned of, and not approached further, rad. Guess."""
    max_translation: float = 0.05
    """Largest tool step per action, metres (0.75 m/s at 15 Hz). Source: DROID's own cap is 0.075 m per step."""
    max_rotation: float = 0.25
    """Largest tool turn per action, rad. Guess, in proportion to the translation."""
    max_joint_step: float = JOINT_STEP
    """Largest joint step per action, rad."""
