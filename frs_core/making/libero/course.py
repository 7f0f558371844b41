"""LIBERO's course: its scripted demonstrator over the demonstrated tasks, in placements that LIBERO draws."""

from collections.abc import Generator

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.making.generalist.course import (
    Calibrations,
    Course,
    ExpertWorld,
    Variation,
    camera_slopes,
)
from frs_core.making.libero.concepts import concept_points
from frs_core.policies.generalist.policy import camera_mounts
from frs_core.policies.libero.design import DESIGN
from frs_core.policies.libero.language import HELD_OUT, SHOWN, describe
from frs_core.robot.actions import ActionKind
from frs_core.worlds.libero.arm import Arm, downward
from frs_core.worlds.libero.demonstrator import LiberoDemonstrator
from frs_core.worlds.libero.tasks import find
from frs_core.worlds.libero.world import LiberoWorld

DETOUR_CHANCE = 0.45
DETOUR = (0.06, 0.2)
"""Metres along one of the six directions, before the first grasp and after it."""
SLOWEST = 0.5
"""Pace of the slowest demonstrations."""
LIFTED = 0.05
"""Metres that a thing is carried upwards before a detour begins."""
_CEILING = 0.6
_FLOOR = 0.06
"""Height of the tool over the base during detours, metres; below, or above, it stays where it is."""


class LiberoExpert(ExpertWorld):
    """LIBERO with its demonstrator, which goes by detours and at a random pace."""

    def __init__(self) -> None:
        self._libero = LiberoWorld(display=0, keep_model=True)
        super().__init__(DESIGN, self._libero)

    def begin(self, task: str, seed: int, rng: np.random.Generator) -> None:
        """Set a scene, and a demonstrator whose pace and detours come from `rng`."""
        self._libero.set_scene(task, seed=seed)
        self._rng, self._pace = rng, float(rng.uniform(SLOWEST, 1.0))
        self._expert = LiberoDemonstrator(self._libero, seed=seed, pace=self._pace)
        self._detour = self._aside(0.0)
        self._lifted_from: float | None = None
        self._may_detour = True
        self._choices = 0

    def take_over(self) -> None:
        """Begin a demonstrator in the present state, without detours."""
        self._choices += 1
        self._expert = LiberoDemonstrator(self._libero, seed=self._choices, pace=self._pace)
        self._detour, self._may_detour = None, False

    def act(self) -> Float[Array, " 7"] | None:
        """Return the next action, or None when it is done."""
        if self._detour is not None:
            action = next(self._detour, None)
            if action is not None:
                return action
            self._detour = None
        action = self._expert.act()
        self._begin_carrying()
        return action

    def _begin_carrying(self) -> None:
        """Begin a detour once a grasped thing is lifted."""
        if not self._may_detour:
            return
        height = float(self._libero.state().p_tcp[2])
        if not self._expert.doing.startswith("carry"):
            self._lifted_from = None
        elif self._lifted_from is None:
            self._lifted_from = height
        elif height > self._lifted_from + LIFTED and self._expert.is_travelling:
            self._detour, self._may_detour = self._aside(1.0), False

    def _aside(self, grip: float) -> Generator[Float[Array, " 7"], None, None] | None:
        if self._rng.random() > DETOUR_CHANCE:
            return None
        along = np.eye(3)[self._rng.choice(3, p=[0.38, 0.38, 0.24])] * self._rng.choice([-1, 1])
        arm = Arm(self._libero, pace=self._pace)
        goal = arm.point + along * self._rng.uniform(*DETOUR)
        goal[2] = np.clip(goal[2], min(_FLOOR, arm.point[2]), max(_CEILING, arm.point[2]))
        x = arm.turn[:, 0]
        return arm.to(goal, downward(float(np.arctan2(x[1], x[0]))), grip=grip, within=0.03, steps=30)

    @property
    def may_be_shoved(self) -> bool:
        """Whether the demonstrator recovers from a shove now: on the way, not while it grasps, lowers, pulls or turns."""
        return self._detour is not None or self._expert.is_travelling

    def step(self, action: Float[Array, " 7"]) -> None:
        """Execute one action."""
        self._libero.step(action, ActionKind.EE_DELTA)

    def has_succeeded(self) -> bool:
        """Return whether LIBERO considered the task done at some step."""
        return self.is_success

    @property
    def is_success(self) -> bool:
        """Whether LIBERO considered the task done at some step."""
        return bool(self._libero.state().success)

    def concept_points(self) -> Float[Array, "K 3"]:
        """Return one point per concept in the base frame."""
        return concept_points(self._libero.geometry())

    def save(self) -> bytes:
        """Return the exact state."""
        return self._libero.snapshot()

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        self._libero.set_state(state)


def calibrations() -> Calibrations:
    """Return a scene's calibrations, and the median height of every concept over one scene of each set of objects that is shown.

    A concept that none of them has gets 0.
    """
    world = LiberoWorld(display=0)
    first: dict[str, str] = {}
    for name in SHOWN:
        # Only the tasks of libero_object have other objects each; elsewhere a suite or a room has one set.
        room = find(name).file.partition("SCENE")
        first.setdefault(
            name if name.startswith("libero_object") else f"{room[0] if room[1] else ''} {room[2][:2]}", name
        )
    points = []
    for name in first.values():
        world.set_scene(name, seed=50)
        points.append(concept_points(world.geometry())[:, 2])
    seen = world.observe()
    world.close()
    heights = np.array([np.median(known) if len(known := z[np.isfinite(z)]) else 0.0 for z in np.stack(points, axis=1)])
    return Calibrations(camera_mounts(DESIGN, seen), camera_slopes(DESIGN, seen), heights)


COURSE = Course(
    design=DESIGN,
    tasks=SHOWN,
    held_out=tuple(HELD_OUT),
    describe=describe,
    enter=LiberoExpert,
    calibrations=calibrations,
    # The controller makes a quarter of a commanded step, so commands are disturbed four times as much as on the tabletop.
    variation=Variation(kept=0.12, shove=0.045, noise=0.005, turn_noise=0.02, longest=420),
    hidden_below=0.83,
    in_a_row=8,
    episodes=1320,
    see_steps=1500,
    mend_steps=4000,
    corrections=160,
)
