"""What a world contributes to making its generalist: a scripted expert in its scenes, tasks, words, calibrations.

from frs_core.making.tabletop.course import COURSE
make(COURSE, work, out, …)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from frs_core.arrays import Array
from frs_core.policies.generalist.design import Design
from frs_core.policies.generalist.pictures import to_network
from frs_core.robot.observation import Observation
from frs_core.worlds.base import World


@dataclass(frozen=True, slots=True)
class Variation:
    """How demonstrations are disturbed, and how much of them is kept."""

    kept: float
    """Share of control steps that become samples; each costs rendering."""
    shove_chance: float = 0.012
    """Per step, where the expert may be disturbed."""
    shove: float = 0.012
    """Standard deviation of a shove's command per axis, metres per step."""
    noise: float = 0.0012
    """Standard deviation of the executed translation per axis, metres per step; labels stay clean."""
    turn_noise: float = 0.006
    """The same of the turn about the vertical, rad per step."""
    longest: int = 190
    """Control steps after which a demonstration is given up."""


@dataclass(frozen=True, slots=True)
class View:
    """What cameras see at one step, and where every concept is in their images."""

    observation: Observation
    images: dict[str, UInt8[Array, "112 112 3"]]
    """As the network gets them."""
    uv: Float[Array, "K C 2"]
    """Location in each image, 0..1 from left to right and from top to bottom."""
    visible: UInt8[Array, "K C"]


class ExpertWorld(ABC):
    """A world with its scripted expert; one process, one thread.

    Args:
        design: of the generalist that learns from it.
        world: owned.
    """

    def __init__(self, design: Design, world: World) -> None:
        self._design, self._world = design, world

    @abstractmethod
    def begin(self, task: str, seed: int, rng: np.random.Generator) -> None:
        """Set a scene, and an expert whose style comes from `rng`."""

    @abstractmethod
    def take_over(self) -> None:
        """Begin an expert in the present state, without detours."""

    @abstractmethod
    def act(self) -> Float[Array, " 7"] | None:
        """Return the expert's next action (EE_DELTA, robot units), or None when it is done."""

    @property
    @abstractmethod
    def may_be_shoved(self) -> bool:
        """Whether the expert recovers from a shove now."""

    @abstractmethod
    def step(self, action: Float[Array, " 7"]) -> None:
        """Execute one action."""

    @abstractmethod
    def has_succeeded(self) -> bool:
        """Return whether the task is done; lets things settle first where success must be held."""

    @property
    @abstractmethod
    def is_success(self) -> bool:
        """Whether the world considers the task done at this step."""

    @abstractmethod
    def concept_points(self) -> Float[Array, "K 3"]:
        """Return one point per concept in the base frame, metres; NaN for what is absent."""

    def view(self) -> View:
        """Return images and state, with the location of every concept."""
        seen = self.observe()
        uv, visible = locations(self._design, seen, self.concept_points())
        images = {c: to_network(self._design, seen.frames[c].for_policy) for c in self._design.cameras}
        return View(seen, images, uv, visible)

    def observe(self) -> Observation:
        """Return images and state as a policy gets them."""
        return self._world.observe()

    @abstractmethod
    def save(self) -> bytes:
        """Return the exact state."""

    @abstractmethod
    def restore(self, state: bytes) -> None:
        """Return to a state."""

    def close(self) -> None:
        """Free the world."""
        self._world.close()


@dataclass(frozen=True, slots=True)
class Calibrations:
    """What the network computes places from; see `Places.set_cameras`."""

    mounts: Float[Array, "C 3 4"]
    slopes: Float[Array, " C"]
    heights: Float[Array, " K"]
    """At which concepts rest, base frame, metres."""


def locations(
    design: Design, observation: Observation, points: Float[Array, "K 3"]
) -> tuple[Float[Array, "K C 2"], UInt8[Array, "K C"]]:
    """Return where points of the base frame are in each image, and whether they are inside it; see `View`.

    What stands in front of them is not considered. NaN stands for absent things, which are not visible.
    """
    uv = np.zeros((len(points), len(design.cameras), 2), dtype=np.float32)
    visible = np.zeros(uv.shape[:2], dtype=np.uint8)
    is_there = np.isfinite(points).all(axis=1)
    for j, camera in enumerate(design.cameras):
        calibration = observation.frames[camera].calibration
        assert calibration is not None
        at, is_front = calibration.project(np.nan_to_num(points))
        at = (at + 0.5) / [calibration.width, calibration.height]
        is_in = is_there & is_front & np.all((at > 0.0) & (at < 1.0), axis=-1)
        visible[:, j] = is_in
        uv[:, j] = np.where(is_in[:, None], at, 0.0)
    return uv, visible


def camera_slopes(design: Design, observation: Observation) -> Float[Array, " C"]:
    """Return the tangent of half of each camera's field of view."""
    slopes = []
    for camera in design.cameras:
        calibration = observation.frames[camera].calibration
        assert calibration is not None
        slopes.append(calibration.width / 2 / calibration.K[0, 0])
    return np.array(slopes)


@dataclass(frozen=True, slots=True)
class Course:
    """A generalist in the making. Functions are those of a module, so that other processes can be given a course."""

    design: Design
    tasks: tuple[str, ...]
    """That are demonstrated."""
    held_out: tuple[str, ...]
    describe: Callable[[np.random.Generator, str], Int[Array, " L"]]
    """Returns a random description of a task's demonstration as word indices."""
    enter: Callable[[], ExpertWorld]
    """Starts a world; in the process that calls it."""
    calibrations: Callable[[], Calibrations]
    variation: Variation
    hidden_below: float
    """Below this share of the tool camera's image is the hand itself: nothing can be seen there."""
    episodes: int
    """Demonstrations that the shipped weights are made from."""
    see_steps: int = 1100
    act_steps: int = 7500
    mend_steps: int = 5000
    """Training steps that the shipped weights are made with."""
    corrections: int = 1000
    """Episodes of corrections that they are made from."""
    in_a_row: int = 1
    """Demonstrations of one task before the next, where another task's scene takes long to set."""
    first_demonstration: int = 1_000_000
    """Scene seeds of demonstrations."""
    first_correction: int = 2_000_000
    """Scene seeds of corrections."""
