"""A scripted operator for the point world: always the direction that the task names."""

from frs_core.choosers.base import Choice, Chooser
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Command, Direction
from frs_core.worlds.base import World
from tests.fakes.world import PointWorld


class PointOperator(Chooser):
    """Knows the way."""

    def __init__(self, world: World) -> None:
        """Look at a point world."""
        assert isinstance(world, PointWorld)
        self._world = world

    def wants(self, observation: Observation) -> tuple[Command, ...] | None:
        """Ask for the task's direction."""
        return (Command(Direction(self._world.task.removeprefix("reach_"))),)

    def choose(self, fan: Fan) -> Choice | None:
        """Return it."""
        return Choice(self.wants(fan.observation)[0].label, "the task says so")  # type: ignore[index]
