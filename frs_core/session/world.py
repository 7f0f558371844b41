"""What a session knows of its world: its facts, the last observation, and the scene being set.

A reset or restore is asked for under a ticket, in the hold epoch of the act behind it; only the answer to the last ticket counts.

Example: reset -> ticket 4; the scene takes too long, the world is restarted, restore -> ticket 5; a late `SceneSet` of 4 is ignored.

Used on the session's thread.
"""

import dataclasses
import time
from collections.abc import Callable

from frs_core import events as ev
from frs_core.robot.observation import Observation
from frs_core.worlds import link as wl
from frs_core.worlds.base import WorldSpec


@dataclasses.dataclass(frozen=True, slots=True)
class SceneChange:
    """A reset or restore that the world was asked for."""

    ticket: int
    asked_at: float
    cause: ev.SessionCommand
    epoch: int
    """Of the act behind it."""


class WorldState:
    """The world as the session knows it, and the reset or restore under way."""

    def __init__(self, link: wl.WorldLink, *, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet.

        Args:
            link: to the world.
            timeout_s: longest reset or restore.
            clock: seconds, monotonic.
        """
        self._link, self._timeout_s, self._clock = link, timeout_s, clock
        self.spec: WorldSpec | None = None
        self.observation: Observation | None = None
        """The newest one."""
        self.look: Observation | None = None
        """What the wanted fan is made from: the newest chunk boundary."""
        self.boundary_state: bytes | None = None
        """Simulator state at that boundary."""
        self.change: SceneChange | None = None
        """A reset or restore under way."""
        self.instruction: str | None = None
        """The operator's words in place of the task's."""
        self._tickets = 0

    @property
    def is_real(self) -> bool:
        """The world is known, and is a robot."""
        return self.spec is not None and not self.spec.is_simulated

    # --- what is asked -----------------------------------------------------------------------------------------------

    def reset(self, order: ev.StartEpisode, epoch: int) -> None:
        """Have an episode's start set."""
        self._link.reset(self._ticket(order, epoch), task=order.task, seed=order.seed, epoch=epoch)

    def restore(self, cause: ev.SessionCommand, state: bytes, epoch: int) -> None:
        """Have a simulator state restored."""
        self._link.restore(self._ticket(cause, epoch), state, epoch=epoch)

    def bring_back(self) -> None:
        """Have a new world brought to where the old one was lost; simulation only."""
        assert self.boundary_state is not None
        self.restore(ev.Reconnect(), self.boundary_state, self._link.epoch)

    def overdue(self) -> str | None:
        """Return a sentence about a scene that takes too long."""
        if self.change is None or self._clock() - self.change.asked_at <= self._timeout_s:
            return None
        return f"The scene was not set within {self._timeout_s:g} s. Reconnect."

    def _ticket(self, cause: ev.SessionCommand, epoch: int) -> int:
        self._tickets += 1
        self.change = SceneChange(self._tickets, self._clock(), cause, epoch)
        return self._tickets

    # --- what is answered and seen -----------------------------------------------------------------------------------

    def connect(self, fact: wl.Ready) -> None:
        """Take over the facts of a world that has come up."""
        self.spec = fact.spec
        self.look = self.see(fact.observation)

    def take_answer(self, fact: wl.SceneSet | wl.Refused) -> SceneChange | None:
        """Return the change that is over with this answer; None when nobody waits for it any more."""
        change = self.change
        if change is None or fact.ticket != change.ticket:
            return None
        self.change = None
        if isinstance(fact, wl.SceneSet):
            self.boundary_state = fact.state
            if isinstance(change.cause, ev.StartEpisode):
                self.instruction = change.cause.instruction
            self.look = self.see(fact.observation)
        return change

    def see(self, observation: Observation) -> Observation:
        """Take the newest observation and return it in the operator's words."""
        self.observation = observation = self._worded(observation)
        return observation

    def instruct(self, instruction: str) -> None:
        """Use other words, also for what was seen."""
        self.instruction = instruction
        self.observation = self._worded(self.observation) if self.observation else None
        self.look = self._worded(self.look) if self.look else None

    def disconnect(self) -> None:
        """Forget a world that is gone."""
        self.spec = self.observation = None

    def _worded(self, observation: Observation) -> Observation:
        if self.instruction is None or observation.instruction == self.instruction:
            return observation
        return dataclasses.replace(observation, instruction=self.instruction)
