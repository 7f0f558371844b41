"""A chooser that always goes the same way, `left` unless given another: `frs --chooser-options homing up`."""

from frs_core.choosers.base import Choice, Chooser
from frs_core.choosers.registry import ChooserSpec, Setting
from frs_core.events import Driver
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import UNSTEERED, Fan
from frs_core.steering.directions import Command, Direction


class Homing(Chooser):
    """Goes one way."""

    driver = Driver("homing")

    def __init__(self, direction: Direction) -> None:
        self._command = Command(direction)

    def wants(self, observation: Observation) -> tuple[Command, ...]:
        return (self._command,)

    def choose(self, fan: Fan) -> Choice:
        label = next(
            (c.label for c in fan.candidates if c.command and c.command.direction is self._command.direction), ""
        )
        return Choice(label or UNSTEERED, "homing")


def from_setting(setting: Setting) -> Chooser:
    return Homing(Direction(setting.options.get("homing", "left")))


ROW = ChooserSpec(
    id="homing",
    title="Homing",
    tooltip="Goes one way; your keys override",
    why_not="Homing was not loaded; restart the cockpit",
    picked="Homing picked",
    make="frs_toy.chooser:from_setting",
    options={"homing": Direction},
)
