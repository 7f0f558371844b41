"""Drive LIBERO's arm through the world's own actions: towards a pose, with a hand that points down or leans.

Problem: LIBERO's controller is soft; of a commanded step the arm makes a quarter, and it is asked anew at every step. Idea: command the
remaining error, doubled: the arm then closes half of it at each step, without overshoot that matters. Every path is a generator of
actions, so that paths can be put one after the other.

    arm = Arm(world)
    for action in arm.to(np.array([0.45, 0.1, 0.2]), Pose.down(0.0), grip=0.0):
        world.step(action, ActionKind.EE_DELTA)

The base frame, metres and rad. One thread, the world's.
"""

from collections.abc import Generator

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot.rotations import rotation_matrix, rotation_vector
from frs_core.worlds.libero.geometry import Readable, Scene

Path = Generator[Float[Array, " 7"], None, None]
"""Yields actions (EE_DELTA, robot units)."""
GAIN = 2.0
"""Commanded step per error; the controller makes a quarter of it. Source: docs/libero.md, Actions."""
STEP, TURN = 0.0499, 0.499
"""Largest step and turn, metres and rad. Source: robosuite's OSC_POSE configuration (0.05, 0.5), less what rounding might add."""
PATIENCE = 12
"""Control steps without progress after which a path is given up."""
SHOVED = 0.03
"""Metres by which the tool is farther off than it was; then something moved it, and patience begins anew."""


def downward(yaw: float = 0.0, *, lean: float = 0.0, towards: Float[Array, " 3"] | None = None) -> Float[Array, "3 3"]:
    """Return the orientation of a hand that points down.

    Args:
        yaw: about the vertical, rad; at 0 the fingers open along y.
        lean: rad by which the fingertips point forward, 0 = straight down, pi / 2 = level.
        towards: horizontal direction in which they then point.
    """
    R = rotation_matrix(np.array([0.0, 0.0, yaw])) @ np.diag([1.0, -1.0, -1.0])
    if towards is None or lean == 0.0:
        return R
    axis = np.cross([0.0, 0.0, -1.0], towards)
    return rotation_matrix(axis / np.linalg.norm(axis) * lean) @ R


class Arm:
    """Paths of the tool in one world."""

    def __init__(self, world: Readable, *, pace: float = 1.0) -> None:
        """Drive the arm of a world, not owned; `pace` scales all speeds, 1 = as fast as the controller goes."""
        self._world, self._pace = world, pace

    @property
    def point(self) -> Float[Array, " 3"]:
        """The tool, base frame, metres."""
        return self._world.state().p_tcp

    @property
    def turn(self) -> Float[Array, "3 3"]:
        """The tool's orientation."""
        return self._world.state().T_base_tcp[:3, :3]

    @property
    def scene(self) -> Scene:
        """Where everything is at present."""
        return self._world.geometry()

    def step(
        self, goal: Float[Array, " 3"], turn: Float[Array, "3 3"], *, grip: float, speed: float = 1.0
    ) -> Float[Array, " 7"]:
        """Return the action towards a pose.

        Args:
            goal: of the tool.
            turn: its orientation.
            grip: 0 open, 1 closed.
            speed: of the largest step, 1 = as fast as the controller goes.
        """
        seen = self._world.state()
        shift = GAIN * (goal - seen.p_tcp)
        shift *= min(1.0, self._pace * speed * STEP / max(1e-9, float(np.abs(shift).max())))
        twist = GAIN * rotation_vector(turn @ seen.T_base_tcp[:3, :3].T)
        twist *= min(1.0, 0.5 * TURN / max(1e-9, float(np.abs(twist).max())))
        return np.concatenate([shift, twist, [grip]])

    def to(
        self,
        goal: Float[Array, " 3"],
        turn: Float[Array, "3 3"],
        *,
        grip: float,
        within: float = 0.008,
        turned: float = 0.1,
        speed: float = 1.0,
        steps: int = 120,
    ) -> Path:
        """Go to a pose, and end when it is reached or no nearer for a while.

        Args:
            goal: of the tool.
            turn: its orientation.
            grip: 0 open, 1 closed.
            within: metres at which it counts as reached.
            turned: rad, likewise.
            speed: see `step`.
            steps: most.
        """
        best, since = np.inf, 0
        for _ in range(steps):
            off, twist = self.off(goal, turn)
            if off < within and twist < turned:
                return
            rest = off + 0.05 * twist
            since = 0 if rest < best - 5e-4 or rest > best + SHOVED else since + 1
            best = rest if rest > best + SHOVED else min(best, rest)
            if since > PATIENCE:
                return
            yield self.step(goal, turn, grip=grip, speed=speed)

    def stay(self, turn: Float[Array, "3 3"], *, grip: float, steps: int) -> Path:
        """Keep the tool where it is."""
        goal = self.point
        for _ in range(steps):
            yield self.step(goal, turn, grip=grip)

    def off(self, goal: Float[Array, " 3"], turn: Float[Array, "3 3"]) -> tuple[float, float]:
        """Return how far the tool is from a pose, metres and rad."""
        seen = self._world.state()
        return (
            float(np.linalg.norm(goal - seen.p_tcp)),
            float(np.linalg.norm(rotation_vector(turn @ seen.T_base_tcp[:3, :3].T))),
        )
