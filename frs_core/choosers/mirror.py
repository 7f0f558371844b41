"""The tabletop's scripted operator for a session whose world lives in another process.

Problem: the script watches the simulator, and the simulator is elsewhere. Idea: the world sends its exact state at every chunk
boundary (that is what "back one chunk" uses); a twin simulator without cameras is set to it before the script is asked.

Example: `choosers={Driver.SCRIPTED: MirrorOperator(lambda: session.boundary_state)}`. Runs on the chooser worker's thread; the
twin is built there on the first question, 0.3 s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from frs_core.choosers.base import Choice, Chooser
from frs_core.events import Fan
from frs_core.observation import Observation

if TYPE_CHECKING:
    from frs_core.worlds.tabletop.sim import TabletopSim


@dataclass(slots=True, eq=False)
class _Twin:
    """What the script needs of a world."""

    sim: "TabletopSim"


class MirrorOperator(Chooser):
    """Answers like a person at the arrow keys, from a twin of the simulator.

    Args:
        state: the world's state at the present chunk boundary; None before the first.
    """

    def __init__(self, state: Callable[[], bytes | None]) -> None:
        """Remember where states come from."""
        self._state = state
        self._sim: TabletopSim | None = None
        self._operator: Any = None

    def begin(self, observation: Observation) -> None:
        """Forget the last episode."""
        if self._operator is not None:
            self._operator.begin(observation)

    def choose(self, fan: Fan) -> Choice | None:
        """Return what a person would say; None when the world's state is not known."""
        state = self._state()
        if state is None:
            return None
        if self._sim is None:
            from frs_core.worlds.tabletop.operator import ScriptedOperator
            from frs_core.worlds.tabletop.sim import TabletopSim

            self._sim = TabletopSim()
            self._operator = ScriptedOperator(_Twin(self._sim))  # pyright: ignore[reportArgumentType]
        self._sim.restore(state)
        choice = self._operator.choose(fan)
        return choice if choice.label in fan else None
