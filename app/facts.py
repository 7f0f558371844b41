"""Facts about the world and the policy of a run, filled in when they have started. GUI thread."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.blinding import Blinding
from app.names import in_words
from frs_core.arrays import Array
from frs_core.choosers.base import Chooser
from frs_core.events import Driver
from frs_core.policies import NamedPolicy
from frs_core.steering.policy_spec import PolicySpec
from frs_core.worlds.base import WorldSpec


@dataclass(slots=True, eq=False)
class Facts:
    """World, policy and folders of this run; shared by all views."""

    world: str
    """Registry name of the world."""
    policy: str
    """Name of the policy."""
    tasks: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    """What people read of each task; empty = the names."""
    example_task: str = ""
    """The task to begin with; empty = the first."""
    new_tasks: frozenset[str] = frozenset()
    """Those that the policy was not trained on; empty where it does not state what it was trained on."""
    is_simulated: bool = False
    """False until the world says so: what is not known is treated as a real robot."""
    resets_itself: bool = False
    """A simulator that sets its scenes without a person; False until the world says so."""
    control_hz: float = 15.0
    gripper_mm: float = float("nan")
    """Between the open fingers; NaN = not known."""
    table_height: float | None = None
    """Above the robot's base, metres; None = not known."""
    workspace: tuple[Array, Array] | None = None
    """Low and high corner, base frame, metres."""
    drivers: tuple[Driver, ...] = (Driver.PERSON, Driver.LEARNED)
    """Who can drive in this run."""
    choosers: Mapping[Driver, Chooser] = field(default_factory=dict)
    """Choosers of this run; which of them can drive is known once the world has started."""
    fingerprint: str = ""
    """Of the policy; empty until it is loaded."""
    policy_spec: PolicySpec | None = None
    """Of the policy; None until it is loaded."""
    generalist: NamedPolicy | None = None
    """The policy for other processes, with its options and action space; None = they cannot load it."""
    world_options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Options that the world was made with."""
    can_evaluate: bool = False
    """Whether fresh episodes can be run in the background to compare policies."""
    root: Path | None = None
    """Recording folder; None = nothing is recorded."""
    blinding: Blinding = field(default_factory=Blinding)
    """Hides who drives while a blinded comparison runs."""
    notes: tuple[str, ...] = ()
    """Messages to show once at the start."""

    @property
    def is_world_known(self) -> bool:
        """Whether the world has started and said what it is."""
        return self.workspace is not None

    def title_of(self, task: str) -> str:
        """Return what people read of a task."""
        return dict(zip(self.tasks, self.titles, strict=False)).get(task) or in_words(task)

    @property
    def floor(self) -> float:
        """Height of the table, or else of the workspace's bottom, base frame, metres."""
        if self.table_height is not None:
            return self.table_height
        return float(self.workspace[0][2]) if self.workspace is not None else 0.0

    def learn(self, world: WorldSpec | None, policy: PolicySpec | None) -> bool:
        """Update the facts of world and policy; return whether anything changed."""
        former = (self._told(), self.drivers)
        if world is not None:
            self.tasks, self.titles, self.example_task = world.tasks, world.titles, world.example_task
            self.is_simulated, self.control_hz = world.is_simulated, world.control_hz
            self.resets_itself = world.resets_itself
            self.workspace = (world.limits.workspace_low, world.limits.workspace_high)
            self.gripper_mm, self.table_height = world.gripper_mm, world.limits.table_height
            self.world_options = world.options
            self.can_evaluate |= self.generalist is not None and world.is_simulated and bool(world.tasks)
            able = [driver for driver, chooser in self.choosers.items() if not chooser.why_not()]
            self.drivers = tuple(dict.fromkeys((*self.drivers, *able)))
        if policy is not None:
            self.fingerprint, self.policy_spec = policy.fingerprint, policy
        if policy is not None and world is not None and world.name in policy.shown:
            self.new_tasks = frozenset(world.tasks).difference(policy.shown[world.name])
        return former != (self._told(), self.drivers)

    def _told(self) -> tuple[object, ...]:
        return (self.is_world_known, self.is_simulated, self.tasks, self.new_tasks, self.fingerprint)
