"""An operator who errs: a share of the chunks gets a wrong direction, to measure how much of it a method withstands.

Whether a chunk gets one, and which of the other directions, is drawn from the scene's number and the chunk's place in the episode alone, so that
every method errs in the same chunks of a scene. Amount and gripper stay as the operator commanded them; where it commanded no direction
(the policy acts, or the gripper alone), it is the smaller amount. A chunk that is left to the policy errs as often as a steered one.

Example: `NoisyOperator(operator, 0.3, seed=100_004)` gives 3 chunks of 10 one of the five other directions, or one of six where none
was commanded. Used where the operator is.
"""

from dataclasses import replace

import numpy as np

from frs_core.choosers.base import Choice, Chooser, HelpCall
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Amount, Command, Direction

_STREAM = 61
"""Sets these draws apart from others of the same scene."""


class NoisyOperator(Chooser):
    """Gives an operator's picks a wrong direction now and then.

    Args:
        operator: who picks.
        share: of chunks that get a wrong direction, 0..1.
        seed: of the scene.
    """

    def __init__(self, operator: Chooser, share: float, *, seed: int) -> None:
        self.driver = operator.driver  # pyright: ignore[reportAttributeAccessIssue]  recorded as the operator's
        self._operator, self._share, self._seed = operator, share, seed
        self._chunk = 0
        self.wrong_chunks = 0

    def why_not(self) -> str:
        """Return why the operator cannot drive."""
        return self._operator.why_not()

    def begin(self, observation: Observation) -> None:
        """Start a new episode."""
        self._chunk = self.wrong_chunks = 0
        self._operator.begin(observation)

    def wants(self, observation: Observation) -> tuple[Command, ...] | None:
        """Return the operator's commands, with the same in all directions where this chunk gets a wrong one."""
        asked = self._operator.wants(observation)
        if asked is None or not self._is_wrong():
            return asked
        others = [_turned(command, direction) for command in asked or (None,) for direction in Direction]
        return tuple(dict.fromkeys((*asked, *others)))

    def choose(self, fan: Fan) -> Choice | HelpCall | None:
        """Return the operator's pick, or a wrong one; its own where the fan has no other direction."""
        choice, is_wrong = self._operator.choose(fan), self._is_wrong()
        draw, self._chunk = self._draws()[1], self._chunk + 1
        if not isinstance(choice, Choice) or not is_wrong or choice.label not in fan:
            return choice
        others = _other_directions(fan, fan[choice.label].command)
        if not others:
            return choice
        self.wrong_chunks += 1
        return Choice(others[int(draw * len(others))], f"by mistake, not {choice.label}")

    def _is_wrong(self) -> bool:
        return self._draws()[0] < self._share

    def _draws(self) -> tuple[float, float]:
        """Return two numbers of this chunk, uniform in [0, 1)."""
        first, second = np.random.default_rng([abs(self._seed), self._chunk, _STREAM]).random(2)
        return float(first), float(second)


def _turned(command: Command | None, direction: Direction) -> Command:
    if command is None:
        return Command(direction, Amount.LESS)
    amount = command.amount if command.direction else Amount.LESS
    return replace(command, direction=direction, amount=amount)


def _other_directions(fan: Fan, command: Command | None) -> list[str]:
    """Return one label for each direction on offer but a command's own: its amount and gripper where there is such a one."""
    own = command.direction if command else None
    labels: list[str] = []
    for direction in Direction:
        fits = [c for c in fan.candidates if c.command is not None and c.command.direction is direction]
        if direction is own or not fits:
            continue
        wanted = _turned(command, direction)
        near = sorted(fits, key=lambda c: (c.command != wanted, c.command is None or c.command.amount != wanted.amount))
        labels.append(near[0].label)
    return labels
