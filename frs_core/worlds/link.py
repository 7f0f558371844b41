"""The session's interface to a world: requests go out, and what happened comes back as facts.

The same session code drives a world in its own process (`worlds.process`) and one in the same thread (`InlineLink`, for
evaluation): both are a `WorldLink`. Nothing here waits; `poll` returns the facts since the last call, in order.

Every request that moves the arm carries the hold epoch of the act behind it. `hold` begins a new epoch, and so do a loss and a
restart; the world refuses requests of older epochs, whoever sends them and however late. A hold never has to be released.

Example: execute(7, rows [4, 7], epoch=3) is answered by four `Stepped` with chunk_id 7, then one `ChunkEnded`. After hold() -> 4
the same call is answered by a `ChunkEnded` alone.
"""

import abc
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError, StaleAct
from frs_core.events import HoldReason
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.worlds.base import StepResult, World, WorldSpec
from frs_core.worlds.guard import GuardedWorld


@dataclass(frozen=True, slots=True, eq=False)
class _Fact:
    """Base class of facts."""


@dataclass(frozen=True, slots=True, eq=False)
class Ready(_Fact):
    """The world has started; the first of all facts, and again after a restart."""

    spec: WorldSpec
    observation: Observation


@dataclass(frozen=True, slots=True, eq=False)
class SceneSet(_Fact):
    """A reset or restore is done."""

    ticket: int
    observation: Observation
    state: bytes | None
    """Snapshot of it, in simulation."""


@dataclass(frozen=True, slots=True, eq=False)
class Refused(_Fact):
    """A reset or restore failed; the world is unchanged."""

    ticket: int
    sentence: str
    is_stale: bool = False
    """It was requested before the last hold."""


@dataclass(frozen=True, slots=True, eq=False)
class Observed(_Fact):
    """A new observation between steps."""

    observation: Observation


@dataclass(frozen=True, slots=True, eq=False)
class Stepped(_Fact):
    """One row was executed."""

    chunk_id: int
    row: int
    asked: Float[Array, " a"]
    result: StepResult
    observation: Observation
    """After the step."""
    overrun_ms: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ChunkEnded(_Fact):
    """A chunk has ended: all rows were executed, or a hold interrupted it."""

    chunk_id: int
    is_complete: bool
    state: bytes | None
    """Snapshot after its last row, in simulation."""
    rows: int | None = None
    """Number of executed rows, if the world counts them; as many `Stepped` came before."""


@dataclass(frozen=True, slots=True, eq=False)
class Tripped(_Fact):
    """The world has started a hold by itself."""

    reason: HoldReason
    sentence: str


@dataclass(frozen=True, slots=True, eq=False)
class Lost(_Fact):
    """The world no longer runs; only `restart` brings it back."""

    sentence: str


WorldFact = Ready | SceneSet | Refused | Observed | Stepped | ChunkEnded | Tripped | Lost
"""What a link reports."""


@dataclass(frozen=True, slots=True)
class LoopTiming:
    """How well the control loop keeps its rate."""

    hz: float = float("nan")
    jitter_ms: float = float("nan")
    """95th percentile of how late ticks begin."""


class WorldLink(abc.ABC):
    """One world, used from one thread; only `hold` and `epoch` may be used from any thread."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start the world; `Ready` follows."""

    @abc.abstractmethod
    def restart(self) -> None:
        """Start it again after `Lost`, in a new hold epoch; `Ready` follows."""

    @abc.abstractmethod
    def reset(self, ticket: int, *, task: str | None, seed: int, epoch: int) -> None:
        """Request the start of a task; `SceneSet` or `Refused` follows."""

    @abc.abstractmethod
    def restore(self, ticket: int, state: bytes, *, epoch: int) -> None:
        """Request the state of a snapshot; `SceneSet` or `Refused` follows."""

    @abc.abstractmethod
    def execute(self, chunk_id: int, rows: Float[Array, "E a"], kind: ActionKind, *, epoch: int) -> None:
        """Execute rows one control period each; `Stepped`s and one `ChunkEnded` follow.

        Args:
            chunk_id: repeated in the facts.
            rows: robot units of `kind`.
            kind: how to read them.
            epoch: of the act that picked them; in a later one the chunk ends at once.
        """

    def show(self, sizes: Mapping[str, tuple[int, int]]) -> None:  # noqa: B027
        """Pass on the sizes at which cameras are shown; see `World.show`. The default drops them: nobody watches.

        Args:
            sizes: (height, width) by camera, pixels of the screen.
        """

    @property
    @abc.abstractmethod
    def epoch(self) -> int:
        """The hold epoch: how often motion has been stopped so far."""

    @abc.abstractmethod
    def hold(self) -> int:
        """Begin a new hold epoch and return it: the world stops at its next tick and drops what is queued.

        A running chunk's `ChunkEnded` follows.
        """

    @abc.abstractmethod
    def poll(self) -> list[WorldFact]:
        """Return the facts since the last call, in order. Also sends this side's heartbeat."""

    @abc.abstractmethod
    def close(self) -> None:
        """Shut the world down; safe to call twice."""

    @property
    def timing(self) -> LoopTiming:
        """The control loop's rate; NaN where there is no clock."""
        return LoopTiming()


class InlineLink(WorldLink):
    """A world in the caller's thread: no clock, one row per `poll`, errors raised to the caller."""

    def __init__(self, world: World, *, step_images: bool = False, snapshots: bool = False) -> None:
        """Wrap a world.

        Args:
            world: the world; closed by its owner.
            step_images: observe with all cameras after every row, not only at a chunk's end and at a success.
            snapshots: keep the simulator's state at every chunk boundary (to go back one chunk, and for recordings).
        """
        self._epoch = 0
        self._guard = GuardedWorld(world, epoch=lambda: self._epoch)
        self._step_images = step_images
        self._snapshots = snapshots and world.spec.is_simulated
        self._facts: deque[WorldFact] = deque()
        self._rows: deque[Float[Array, " a"]] = deque()
        self._kind = ActionKind.EE_DELTA
        self._chunk_id, self._row, self._chunk_epoch = -1, 0, 0

    def start(self) -> None:
        """Observe once and report `Ready`."""
        self._facts.append(Ready(self._guard.world.spec, self._guard.observe()))

    def restart(self) -> None:
        """Begin a new hold epoch and observe again."""
        self.hold()
        self.start()

    def reset(self, ticket: int, *, task: str | None, seed: int, epoch: int) -> None:
        """Reset at once."""
        self._set_scene(ticket, lambda: self._guard.reset(task=task, seed=seed, epoch=epoch))

    def restore(self, ticket: int, state: bytes, *, epoch: int) -> None:
        """Restore at once."""
        self._set_scene(ticket, lambda: self._guard.restore(state, epoch=epoch))

    def execute(self, chunk_id: int, rows: Float[Array, "E a"], kind: ActionKind, *, epoch: int) -> None:
        """Queue the rows."""
        if epoch != self._epoch:
            self._facts.append(ChunkEnded(chunk_id, False, self._state()))
            return
        self._rows = deque(np.asarray(rows))
        self._kind, self._chunk_id, self._row, self._chunk_epoch = kind, chunk_id, 0, epoch

    @property
    def epoch(self) -> int:
        """The hold epoch."""
        return self._epoch

    def hold(self) -> int:
        """Drop the rows."""
        self._epoch += 1
        if self._rows:
            self._rows.clear()
            self._guard.world.hold()
            self._facts.append(ChunkEnded(self._chunk_id, False, self._state()))
        return self._epoch

    def poll(self) -> list[WorldFact]:
        """Execute the next row, if any, and return what happened."""
        if self._rows and not self._facts:
            self._step()
        facts = list(self._facts)
        self._facts.clear()
        return facts

    def close(self) -> None:
        """Drop the rows; the world is closed by its owner."""
        self._rows.clear()

    def _set_scene(self, ticket: int, bring: Callable[[], Observation]) -> None:
        self._rows.clear()
        try:
            observation = bring()
        except (ConfigError, StaleAct) as error:
            self._facts.append(Refused(ticket, str(error), isinstance(error, StaleAct)))
            return
        self._facts.append(SceneSet(ticket, observation, self._state()))

    def _step(self) -> None:
        asked = self._rows.popleft()
        result = self._guard.step(asked, self._kind, epoch=self._chunk_epoch)
        is_last = not self._rows
        observation = self._guard.observe() if is_last or self._step_images else self._guard.state()
        if observation.success and not observation.frames:
            # An episode may end here, and its last images are judged and shown.
            observation = self._guard.observe()
        self._facts.append(Stepped(self._chunk_id, self._row, asked, result, observation))
        self._row += 1
        if is_last:
            self._facts.append(ChunkEnded(self._chunk_id, True, self._state()))

    def _state(self) -> bytes | None:
        return self._guard.world.snapshot() if self._snapshots else None
