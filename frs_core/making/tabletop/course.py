"""The tabletop's course: its scripted player over many pairs of object and place, everything placed anywhere."""

import mujoco
import numpy as np
from jaxtyping import Float, Int

from frs_core.arrays import Array
from frs_core.making.generalist.course import (
    Calibrations,
    Course,
    ExpertWorld,
    Variation,
    camera_slopes,
)
from frs_core.policies.generalist.policy import camera_mounts
from frs_core.policies.tabletop import language
from frs_core.policies.tabletop.design import DESIGN
from frs_core.robot.actions import ActionKind
from frs_core.worlds.tabletop.layout import ANYWHERE
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES
from frs_core.worlds.tabletop.play import Player, draw_taste
from frs_core.worlds.tabletop.sim import HELD_STEPS, TabletopSim
from frs_core.worlds.tabletop.tasks import DRAWER, HELD_OUT, TRAINED, find
from frs_core.worlds.tabletop.world import TabletopWorld


class TabletopExpert(ExpertWorld):
    """The tabletop with its scripted player."""

    def __init__(self) -> None:
        world = TabletopWorld(cameras=DESIGN.cameras, setting=ANYWHERE)
        super().__init__(DESIGN, world)
        self._sim = world.sim

    def begin(self, task: str, seed: int, rng: np.random.Generator) -> None:
        """Set a scene, and a player whose taste comes from `rng`."""
        self._sim.reset(task, seed=seed)
        self._taste = draw_taste(rng)
        self._player = Player(self._sim, find(task), self._taste)

    def take_over(self) -> None:
        """Begin a player in the present state, without detours."""
        self._player = Player.take_over(self._sim, self._sim.task, self._taste)

    def act(self) -> Float[Array, " 7"] | None:
        """Return the player's next action, or None when it is done."""
        return self._player.act()

    @property
    def may_be_shoved(self) -> bool:
        """Whether the player recovers from a shove now: not while it grasps, lets go, pulls or pushes."""
        return self._player.phase in ("detour", "reach", "descend", "lift", "carry", "lower")

    def step(self, action: Float[Array, " 7"]) -> None:
        """Execute one action."""
        self._sim.step(action, ActionKind.EE_DELTA)

    def has_succeeded(self) -> bool:
        """Return whether the task is done and stays so."""
        for _ in range(HELD_STEPS + 2):
            self._sim.step(np.zeros(7), ActionKind.EE_DELTA)
        return self._sim.is_success

    @property
    def is_success(self) -> bool:
        """Whether the task is done at this step."""
        return self._sim.is_success

    def concept_points(self) -> Float[Array, "K 3"]:
        """Return one point per concept in the base frame."""
        return concept_points(self._sim)

    def save(self) -> bytes:
        """Return the exact state."""
        return self._sim.snapshot()

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        self._sim.restore(state)


def describe(rng: np.random.Generator, task: str) -> Int[Array, " L"]:
    """Return a random description of a task's demonstration as word indices."""
    return language.describe(rng, find(task))


def calibrations() -> Calibrations:
    """Return the cameras' calibrations and the heights at which objects rest."""
    world = TabletopWorld(cameras=DESIGN.cameras)
    observation = world.observe()
    mounts = camera_mounts(DESIGN, observation)
    slopes = camera_slopes(DESIGN, observation)
    heights = [resting_height(world.sim, name) for name in DESIGN.concepts]
    world.close()
    return Calibrations(mounts, slopes, np.array(heights))


def resting_height(sim: TabletopSim, concept: str) -> float:
    """Return the height of a concept's point above the table when it stands there, metres; see `concept_points`."""
    if concept == DRAWER:
        return float(sim.handle_pose()[2])
    return MOVABLES[concept].height / 2 if concept in MOVABLES else RECEPTACLES[concept].floor


def concept_points(sim: TabletopSim) -> Array:
    """Return one point per concept in the base frame, metres; NaN for what is absent."""
    present = {p.name for p in sim.layout.placements}
    points = []
    for name in DESIGN.concepts:
        if name == DRAWER:
            points.append(sim.handle_pose())
        elif name not in present:
            points.append(np.full(3, np.nan))
        elif name in MOVABLES:
            a = sim.model.joint(name).qposadr[0]
            rotation = np.empty(9)
            mujoco.mju_quat2Mat(rotation, sim.data.qpos[a + 3 : a + 7])
            up = rotation.reshape(3, 3)[:, 2] * MOVABLES[name].height / 2
            points.append(sim.data.qpos[a : a + 3] + up)
        else:
            points.append(sim.object_pose(name)[0] + [0, 0, RECEPTACLES[name].floor])
    return np.stack(points)


COURSE = Course(
    design=DESIGN,
    tasks=TRAINED,
    held_out=HELD_OUT,
    describe=describe,
    enter=TabletopExpert,
    calibrations=calibrations,
    variation=Variation(kept=0.42),
    hidden_below=0.80,
    episodes=3840,
)
