"""The tabletop's scripted operator for a session whose world lives in another process.

Problem: the script reads the simulator, which runs in another process. Idea: the world sends its exact state at every chunk
boundary (going back one chunk uses it too); a twin simulator without cameras is set to that state before the script is asked.

Example: `choosers={Driver.SCRIPTED: MirrorOperator(lambda: session.boundary_state)}`. The twin is built on the chooser worker's
thread when the first episode begins, 0.3 s; looking takes 1 ms, on any thread.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frs_core.choosers.base import Choice, Chooser
from frs_core.choosers.steering_script import answer
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Command

if TYPE_CHECKING:
    from frs_core.worlds.tabletop.operator import ScriptedOperator
    from frs_core.worlds.tabletop.sim import TabletopSim


@dataclass(slots=True, eq=False)
class _Twin:
    """The part of a world that the script needs."""

    sim: "TabletopSim"


class MirrorOperator(Chooser):
    """Answers like a person at the arrow keys, from a twin of the simulator.

    Args:
        state: the world's state at the present chunk boundary; None before the first.
    """

    def __init__(self, state: Callable[[], bytes | None]) -> None:
        """Store the source of states; the twin is built later."""
        self._state = state
        self._lock = threading.Lock()
        self._twin: _Twin | None = None
        self._operator: ScriptedOperator | None = None
        self._seen: bytes | None = None
        self._said: tuple[Command | None, str] = (None, "")

    def begin(self, observation: Observation) -> None:
        """Forget the last episode; build the twin before the first one."""
        self._build()
        with self._lock:
            assert self._operator is not None
            self._operator.begin(observation)
            self._seen = None

    def wants(self, observation: Observation) -> tuple[Command, ...] | None:
        """Return the command it is about to give, so that the fan offers its gripper setting; None while no state is known."""
        if self._twin is None or not self._look():
            return None
        command = self._said[0]
        return () if command is None else (command,)

    def choose(self, fan: Fan) -> Choice | None:
        """Return what a person would pick; None if the world's state is not known."""
        self._build()
        if not self._look():
            return None
        command, reason = self._said
        label = answer(command, fan)
        return Choice(label, reason) if label in fan else None

    def _build(self) -> None:
        with self._lock:
            if self._twin is None:
                from frs_core.worlds.tabletop.operator import ScriptedOperator
                from frs_core.worlds.tabletop.sim import TabletopSim

                twin = _Twin(TabletopSim())
                self._operator = ScriptedOperator(twin)
                self._twin = twin

    def _look(self) -> bool:
        """Decide once per chunk boundary; return whether there is one."""
        state = self._state()
        if state is None:
            return False
        with self._lock:
            if state is not self._seen:
                assert self._twin is not None
                assert self._operator is not None
                self._twin.sim.restore(state)
                self._said, self._seen = self._operator.say(), state
        return True
