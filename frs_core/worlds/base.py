"""What the product needs from a robot or a simulator.

A `World` is synchronous and owned by one thread of its own process; `worlds.process` hosts one behind shared memory.
It enforces limits itself: nothing above it is trusted.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError, unknown_name
from frs_core.robot.actions import ActionKind
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation
from frs_core.runtime.registry import require_words


@dataclass(frozen=True, slots=True, eq=False)
class WorldSpec:
    """Fixed facts about a world."""

    name: str
    cameras: tuple[str, ...]
    control_hz: float
    tasks: tuple[str, ...]
    """Task names `reset` accepts; empty where a person sets the scene."""
    titles: tuple[str, ...] = field(default=(), kw_only=True)
    """Titles shown for the tasks, in the same order; empty = the names are shown."""
    limits: Limits
    """The limits under which actions are executed; previews are drawn and checked under the same."""
    is_simulated: bool
    action_kinds: tuple[ActionKind, ...] = field(
        default=(ActionKind.EE_DELTA, ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION)
    )
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """The options it was created with, as given, without secrets; stored in recordings."""
    example_task: str = ""
    """Task that a window and a demonstration begin with; empty = none in particular."""
    operator: str = ""
    """`module:Class` of a `Chooser` constructed from the world, which steers as a person would; empty = none."""
    remote_operator: str = ""
    """The same for a world in another process: constructed from a function that returns the world's state at the present chunk
    boundary."""
    gripper_mm: float = float("nan")
    """Between the open fingers, mm; NaN = not known."""
    robot: str = ""
    """Name of the robot, such as "panda" or "fr3", which recordings and exported data sets state; empty = not stated."""
    demonstrator: str = ""
    """`module:function` of (world, task, seed) that returns a `Demonstrator` for the scene just set; empty = none."""

    def __post_init__(self) -> None:
        """Refuse facts without words to show. Raises ConfigError."""
        require_words("world", self.name, name=self.name)
        for field_name, words in (("camera", self.cameras), ("task", self.tasks), ("title of a task", self.titles)):
            for text in words:
                require_words("world", self.name, **{field_name: text})

    @property
    def resets_itself(self) -> bool:
        """A simulator that sets the scene of a named task without a person; a robot never does."""
        return self.is_simulated and bool(self.tasks)


@dataclass(frozen=True, slots=True)
class StepResult:
    """Outcome of one action."""

    executed: Array
    """The action after limits, robot units."""
    clipped: bool
    """Whether a limit changed it."""
    reason: str = ""
    """Which limit, in words; empty when not clipped."""


class World(abc.ABC):
    """A robot with cameras, real or simulated."""

    spec: WorldSpec
    installer: ClassVar[str] = ""
    """`module:function` of (tell, folder=) that installs what this world needs beside the product's own environment, and returns one
    line about what is there: `frs worlds install`. A fact of the class, because the world cannot start before. Empty = nothing."""
    limits_itself: ClassVar[bool] = False
    """Whether `step` calls `limit_action` under `spec.limits`, on a state that it reads right before it sends. The guard then leaves
    actions as they are: a limit on the change between two steps counts once. False = the guard limits."""
    doctor: ClassVar[str] = ""
    """`module:function` of (is_quick=) that returns a list of `runtime.finding.Finding` about what this world needs: `frs doctor` shows it.
    With `--world NAME --world-options …` it is also called with those options. Nothing may move. A fact of the class, as
    `installer`. Empty = nothing."""
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Further options that are left out of `spec.options` and so of recordings. Those whose names contain token, password, secret or key
    are kept nowhere; name a secret so, because conditions of results and practices keep all others."""
    may_move: Callable[[], bool] = staticmethod(lambda: True)
    """Whether the act that requested the present `reset` or `step` is still valid. Set from outside; a world that waits within one of
    them checks it right before it sends each command, and raises `StaleAct` instead of sending it."""

    still_here: Callable[[], None] = staticmethod(lambda: None)
    """Sends a heartbeat. Set from outside; a world whose `observe` takes long calls it between images."""
    display_side: ClassVar[int] = 0
    """Largest side of `CameraFrame.display` that this world renders, pixels; 0 = it renders none."""
    is_watched: bool = False
    """Whether a person is shown the frames. Set from outside; used only by worlds that render separate images for people and policies."""

    def require_task(self, task: str) -> None:
        """Do nothing, unless `reset` would refuse a task. Worlds that accept more than the names of `spec.tasks` override it.

        Raises:
            ConfigError: unknown task; the text says which there are.
        """
        if self.spec.tasks and task not in self.spec.tasks:
            raise unknown_name("task", task, self.spec.tasks)

    @abc.abstractmethod
    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        """Set up the start of a task and return the first observation.

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
        """Return an observation for display between chunk boundaries, if cheaper than `observe`: frames may be `is_glance`.

        The default is `observe`.
        """
        return self.observe()

    def show(self, sizes: Mapping[str, tuple[int, int]]) -> None:  # noqa: B027
        """Take the sizes at which cameras are shown; frames may then have a `display` of at most that size.

        The default ignores them.

        Args:
            sizes: (height, width) by camera, pixels of the screen; a camera that is not shown is missing.
        """

    def state(self) -> Observation:
        """Return the state without camera frames (`frames` empty), if cheaper than `observe`.

        The default is `observe`. Worlds that render override it: a headless run uses no images between chunk boundaries.
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
