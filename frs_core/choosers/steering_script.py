"""What scripted operators of simulations share: they say one command per chunk, from coarse geometry, and pick its candidate.

Problem: each world needs a script of its own, because only it knows what is where; what a person can say at the arrow keys is the same
everywhere. Idea: a script decides what to say (`_decide`); asking once per chunk, mistakes on purpose, and finding the candidate are
here, and so is the decision "which direction, less or more" (`over`).

    over(tool, goal, clear=0.2)      # Command(Direction.LEFT, Amount.MORE): 14 cm to the left, high enough

Base frame, metres. The world's or the session's thread.
"""

import abc
from collections.abc import Container

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.choosers.base import Choice, Chooser
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import UNSTEERED, Fan
from frs_core.steering.directions import Amount, Command, Direction, Gripper

OVER = 0.035
"""Metres in the plane within which the hand counts as over something; about half an object's width."""
FAR = 0.085
"""Metres from which "more" is commanded."""
NEAR = 0.06
"""Metres in the plane within which the hand need not rise to get over something."""

Saying = tuple[Command | None, str]
"""What to command (None: let the policy act), and the reason in a few words."""


class SteeringScript(Chooser):
    """Says one command per chunk."""

    def __init__(self, *, seed: int = 0, wrong: float = 0.0) -> None:
        """Make an operator.

        Args:
            seed: of its mistakes.
            wrong: fraction of chunks in which it commands a random direction.
        """
        self._wrong, self._rng = wrong, np.random.default_rng(seed)
        self._said: Saying | None = None

    def begin(self, observation: Observation) -> None:
        """Forget the last episode."""
        self._said = None

    def wants(self, observation: Observation) -> tuple[Command, ...]:
        """Return the one command it is about to give, or none if the policy should act."""
        self._said = self.say()
        command = self._said[0]
        return () if command is None else (command,)

    def choose(self, fan: Fan) -> Choice:
        """Return what a person would pick."""
        command, reason = self._said or self.say()
        self._said = None
        return Choice(answer(command, fan), reason)

    def say(self) -> Saying:
        """Return the command for the present state (None: let the policy act) and the reason in a few words; once per chunk."""
        if self._wrong and self._rng.random() < self._wrong:
            return Command(list(Direction)[self._rng.integers(6)], Amount.LESS), "by mistake"
        return self._decide()

    @abc.abstractmethod
    def _decide(self) -> Saying:
        """Return what to say in the present state."""


def over(
    tool: Float[Array, " 3"],
    goal: Float[Array, " 3"],
    *,
    clear: float,
    beside: float = 0.0,
    within: float = OVER,
    gripper: Gripper = Gripper.POLICY,
) -> Command | None:
    """Return the direction that brings the hand, or what it holds, over a goal, or None when it is.

    Args:
        tool: where it is.
        goal: where it should be.
        clear: height to travel at, metres.
        beside: height for the last NEAR metres, metres.
        within: tolerance in the plane, metres.
        gripper: commanded on the way.
    """
    error = (goal - tool)[:2]
    axis = int(np.abs(error).argmax())
    distance = abs(float(error[axis]))
    if distance < within:
        return None
    lift = (clear if distance > NEAR else beside) - tool[2]
    if lift > 0:
        return Command(Direction.UP, amount(lift + 0.03), gripper)
    pairs = ((Direction.FORWARD, Direction.BACK), (Direction.LEFT, Direction.RIGHT))
    return Command(pairs[axis][0 if error[axis] > 0 else 1], amount(distance), gripper)


def nearest_direction(way: Float[Array, " 3"]) -> Direction:
    """Return the direction that is closest to a vector of the base frame."""
    return max(Direction, key=lambda direction: float(direction.axis @ way))


def amount(distance: float) -> Amount:
    """Return how far to go: "more" from `FAR` on."""
    return Amount.MORE if distance > FAR else Amount.LESS


def answer(command: Command | None, offered: Container[str]) -> str:
    """Return the label on offer that answers a command.

    Without one for its gripper setting, that of the same direction with the gripper left to the policy; else the unsteered one.

    Args:
        command: of the operator; None lets the policy act.
        offered: a fan, or its labels.
    """
    if command is None:
        return UNSTEERED
    plain = Command(command.direction, command.amount)
    return next((c.label for c in (command, plain) if c.label in offered), UNSTEERED)
