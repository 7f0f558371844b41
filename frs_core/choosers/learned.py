"""Let the noise policy drive: pick the learned candidate of every fan."""

from typing import ClassVar

from frs_core.choosers.base import Choice, Chooser
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

    def choose(self, fan: Fan) -> Choice:
        """Return the learned candidate.

        Raises:
            ConfigError: no noise policy is loaded.
        """
        if LEARNED not in fan:
            raise ConfigError(
                "No noise policy is loaded, so there is no learned candidate. Load one, or drive yourself."
            )
        return Choice(LEARNED)
