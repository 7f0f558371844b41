"""What every chooser keeps to."""

from frs_core.choosers.base import Chooser, HelpCall
from frs_core.choosers.registry import ChooserSpec
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Command


class ChooserContract:
    """Inherit it and say how your chooser is made, by which row, and what it is offered."""

    row: ChooserSpec | None = None
    """Its row; None for a chooser that is used without one, in scripts."""

    def make(self) -> Chooser:
        """Return a chooser that can drive."""
        raise NotImplementedError

    def fan(self) -> Fan:
        """Return a fan of a world and a policy that it knows; `frs_core.candidates.fan.build_fan` makes one."""
        raise NotImplementedError

    def test_it_can_drive_or_says_why_not(self) -> None:
        assert self.make().why_not() == ""

    def test_its_picks_are_recorded_under_the_name_of_its_row(self) -> None:
        assert self.row is None or self.make().driver is self.row.driver

    def test_it_picks_what_is_offered_or_waits(self) -> None:
        chooser, fan = self.make(), self.fan()
        chooser.begin(fan.observation)
        wanted = chooser.wants(fan.observation)
        assert wanted is None or all(isinstance(command, Command) for command in wanted)
        choice = chooser.choose(fan)
        choice = choice.choice if isinstance(choice, HelpCall) else choice
        assert choice is None or choice.label in fan

    def test_a_new_episode_starts_afresh(self) -> None:
        chooser, fan = self.make(), self.fan()
        answers = []
        for _ in range(2):
            chooser.begin(fan.observation)
            chooser.wants(fan.observation)
            answers.append(chooser.choose(fan))
        assert answers[0] == answers[1]
