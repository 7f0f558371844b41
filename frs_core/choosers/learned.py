"""Let the noise policy drive: pick the learned candidate of every fan, or ask for help where it is unsure."""

from typing import ClassVar

from frs_core.choosers.base import Choice, Chooser, HelpCall
from frs_core.errors import ConfigError
from frs_core.events import Driver
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import LEARNED, Fan
from frs_core.steering.directions import Command


class LearnedChooser(Chooser):
    """Picks the learned candidate."""

    driver: ClassVar[Driver] = Driver.LEARNED

    def wants(self, observation: Observation) -> tuple[Command, ...]:
        """Return no commands."""
        return ()

    def choose(self, fan: Fan) -> Choice | HelpCall:
        """Return the learned candidate; a call for help where the noise policy is unsure of it.

        Raises:
            ConfigError: no noise policy is loaded.
        """
        if LEARNED not in fan:
            raise ConfigError(
                "No noise policy is loaded, so there is no learned candidate. Load one, or drive yourself."
            )
        if fan.doubt is not None and fan.doubt.is_unsure:
            return HelpCall(Choice(LEARNED), fan.doubt.sentence)
        return Choice(LEARNED)
