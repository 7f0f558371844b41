"""What the product needs from a robot or a simulator.

A `World` is synchronous and owned by one thread of its own process; `worlds.process` hosts one behind shared memory.
It enforces limits itself: nothing above it is trusted.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError
from frs_core.robot.actions import ActionKind
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation


@dataclass(frozen=True, slots=True, eq=False)
class WorldSpec:
    """Fixed facts about a world."""

    name: str
    cameras: tuple[str, ...]
    control_hz: float
    tasks: tuple[str, ...]
    """Task names `reset` accepts; empty where a person sets the scene."""
    titles: tuple[str, ...] = field(default=(), kw_only=True)
    """What people read of each task, in the same order; empty where the names say it."""
    limits: Limits
    """What the world keeps to; previews are judged by the same."""
    is_simulated: bool
    action_kinds: tuple[ActionKind, ...] = field(
        default=(ActionKind.EE_DELTA, ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION)
    )
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """The options it was made with, as given; recordings keep them. Without secrets."""
    example_task: str = ""
    """What a first look plays; empty = none in particular."""
    operator: str = ""
    """`module:Class` of a `Chooser` made of the world, which steers as a person would; empty = none."""
    remote_operator: str = ""
    """The same for a world in another process: made of what returns the world's state at the present chunk boundary."""
    demonstrator: str = ""
    """`module:function` of (world, task, seed) that returns a `Demonstrator` for the scene just set; empty = none."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one action."""

    executed: Array
    """The action after limits, robot units."""
    clipped: bool
    """Whether a limit changed it."""
    reason: str = ""
    """Which limit, in words; empty when not clipped."""


class World(abc.ABC):
    """A robot with cameras, real or simulated."""

    spec: WorldSpec
    may_move: Callable[[], bool] = staticmethod(lambda: True)
    """Whether the act that asked for the present `reset` or `step` still counts. Set from outside; a world that waits within one
    of them asks right before each command leaves, and raises `StaleAct` instead of sending it."""

    still_here: Callable[[], None] = staticmethod(lambda: None)
    """Tells whoever waits that the world lives. Set from outside; a world whose look takes long calls it between images."""
    is_watched: bool = False
    """Whether a person is shown the frames. Set from outside; only a world that draws apart for people and policies asks."""

    @abc.abstractmethod
    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        """Bring the world to the start of a task and return what it sees.

        A real robot moves only here and in `step`, and only because a person asked.

        Args:
            task: a name of `spec.tasks`; None keeps the present one.
            seed: which scene (simulation).
        Raises:
            ConfigError: unknown task.
        """

    @abc.abstractmethod
    def observe(self) -> Observation:
        """Return fresh camera frames and state."""

    def glance(self) -> Observation:
        """Return what a person is shown between chunk boundaries, where that is cheaper than `observe`: frames may be `is_glance`.

        The default is `observe`.
        """
        return self.observe()

    def state(self) -> Observation:
        """Return the state without camera frames (`frames` empty), where that is cheaper than `observe`.

        The default is `observe`. Worlds that render override it: between chunk boundaries nobody looks at the images
        of a headless run.
        """
        return self.observe()

    @abc.abstractmethod
    def step(self, action: Float[Array, " A"], kind: ActionKind) -> StepResult:
        """Execute one action for one control period, under the limits.

        Args:
            action: robot units of `kind`.
            kind: how to read it.
        """

    @abc.abstractmethod
    def hold(self) -> None:
        """Keep the arm where it is."""

    def snapshot(self) -> bytes:
        """Return the exact state, for `restore`. Simulation only."""
        raise ConfigError(f"World '{self.spec.name}' cannot be snapshotted: it is not a simulation.")

    def restore(self, state: bytes) -> Observation:
        """Return to a snapshot exactly. Simulation only."""
        raise ConfigError(f"World '{self.spec.name}' cannot be restored: it is not a simulation.")

    @abc.abstractmethod
    def close(self) -> None:
        """Free cameras and connections; safe to call twice."""
