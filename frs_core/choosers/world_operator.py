"""The world's own scripted operator, made once the world has started.

Problem: the choosers are made before the world's process has sent its `WorldSpec`. Idea: a placeholder that creates the
operator (`WorldSpec.remote_operator`) when the spec is known.
"""

from frs_core.choosers.base import Choice, Chooser, HelpCall
from frs_core.choosers.registry import Setting, find_chooser
from frs_core.robot.observation import Observation
from frs_core.runtime.registry import resolve
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Command


class WorldOperator(Chooser):
    """The world's own operator.

    Args:
        setting: provides the operator's name and the world's state.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._made: Chooser | None = None

    def why_not(self) -> str:
        """Return why it cannot drive: the world has no operator."""
        return "" if self._setting.world_operator() else find_chooser("scripted").why_not

    def begin(self, observation: Observation) -> None:
        """Start a new episode."""
        operator = self._operator()
        if operator is not None:
            operator.begin(observation)

    def wants(self, observation: Observation) -> tuple[Command, ...] | None:
        """Return the operator's commands; None before it has been made."""
        return None if self._made is None else self._made.wants(observation)

    def choose(self, fan: Fan) -> Choice | HelpCall | None:
        """Return its pick; None without an operator."""
        operator = self._operator()
        return None if operator is None else operator.choose(fan)

    def _operator(self) -> Chooser | None:
        path = self._setting.world_operator()
        if self._made is None and path:
            self._made = resolve("operator", path, {})(self._setting.boundary_state)
        return self._made
