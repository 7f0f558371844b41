"""Where an arm may be and how far one action may take it: the numbers that every world states of itself.

One `Limits` cuts what is sent (`limiting.limit_action`) and what is drawn before (`safety.preview`), so that preview and motion obey
the same limits. There is no other description of limits; what a simulated arm makes of an action that was sent (its controller,
inertia, contact) is no limit.
"""

from dataclasses import dataclass

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot.actions import JOINT_STEP


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Where the arm may be and how far one action may take it."""

    workspace_low: Float[Array, " 3"]
    workspace_high: Float[Array, " 3"]
    """Box of the tool centre, base frame, metres."""
    joint_low: Float[Array, " 7"]
    joint_high: Float[Array, " 7"]
    """rad. A Panda's are `kinematics.Q_LOW` and `Q_HIGH`."""
    table_height: float | None = None
    """Height of the table in the base frame, metres; None where it is not known."""
    table_margin: float = 0.005
    """A path below table_height + this is called a hit, metres. Guess: a finger pad's rubber."""
    joint_margin: float = 0.05
    """Nearer than this to a joint limit is warned of, and not approached further, rad. Guess."""
    knows_links: bool = False
    """Whether the links are a Panda's or an FR3's, whose shape is known (`self_collision`): contact of the arm with itself, and of its
    forearm and wrist with the table, is warned of."""
    link_margin: float = 0.01
    """Links whose capsules are nearer than this to one another, and come nearer, are called a hit, metres. Guess; the links themselves are
    some 30 mm farther apart, which covers the estimate of the joints over a chunk."""
    max_translation: float = 0.05
    """Largest tool step per action, metres (0.75 m/s at 15 Hz). Source: DROID's own cap is 0.075 m per step."""
    max_rotation: float = 0.25
    """Largest tool turn per action, rad. Guess, in proportion to the translation."""
    max_joint_step: float = JOINT_STEP
    """Largest joint step per action, rad."""
    joint_speed: Float[Array, " 7"] | None = None
    """Largest step of each joint per action by its speed, rad; a longer step is scaled as a whole. None = no such limit."""
    joint_jump: float | None = None
    """rad by which a joint step may differ from that of the action before; zero at rest. None = no such limit."""

    @property
    def depends_on_motion(self) -> bool:
        """Whether an arm may have to go more slowly than asked, so that the path of a chunk is found row by row."""
        return self.joint_speed is not None or self.joint_jump is not None
