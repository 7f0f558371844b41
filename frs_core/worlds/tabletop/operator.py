"""A scripted operator: steers like a person at the arrow keys, once per chunk, from coarse geometry only.

It knows roughly where the object and its goal are and what the hand holds, as a person sees them. It commands one of six
directions, less or more, opens the gripper over the goal, or lets the policy act where precision is needed. While it carries
an object, every direction also commands a closed gripper: otherwise the policy opens it on the way. It never rotates the
hand, never gives a number, and never looks at a candidate before picking.

Example: the can is 14 cm to the left and the hand is high: "left/more". Over the can within 3 cm: let the policy grasp. The
can is in the hand: "up/more/close", "right/more/close", over the plate "down/less/close", "stay/open".
"""

from collections.abc import Container
from typing import Protocol, runtime_checkable

import numpy as np

from frs_core.arrays import Array
from frs_core.choosers.base import Choice, Chooser
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import UNSTEERED, Fan
from frs_core.steering.directions import Amount, Command, Direction, Gripper
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES
from frs_core.worlds.tabletop.sim import TabletopSim
from frs_core.worlds.tabletop.tasks import DRAWER, TaskKind

OVER = 0.035
"""Metres in the plane within which the hand counts as over something; about half an object's width."""
FAR = 0.085
"""Metres from which "more" is commanded."""
HIGH = 0.13
"""Metres over the grasp above which the hand is first brought down."""
CENTRED = 0.013
"""Metres beside the object within which closing the fingers would grasp it."""
ROOM = {"plate": 0.035, "bowl": 0.03, "stand": 0.03, "basket": 0.03, DRAWER: 0.035}
"""Metres in the plane within which a held object counts as over each place."""
CARRY = 0.08
"""Height of a held object's bottom under which it is not carried past other objects, metres."""
NEAR = 0.06
"""Metres in the plane within which the hand need not rise to get over something."""


@runtime_checkable
class Simulated(Protocol):
    """The part of a world that the operator needs: `TabletopWorld` has it, and so does the owner of a simulator alone."""

    sim: TabletopSim


class ScriptedOperator(Chooser):
    """Steers one tabletop world towards its task."""

    def __init__(self, world: Simulated, *, seed: int = 0, wrong: float = 0.0) -> None:
        """Make an operator.

        Args:
            world: whose simulator it reads.
            seed: of its mistakes.
            wrong: fraction of chunks in which it commands a random direction.
        """
        self._sim = world.sim
        self._wrong, self._rng = wrong, np.random.default_rng(seed)
        self._tries = 0
        self._said: tuple[Command | None, str] | None = None

    def begin(self, observation: Observation) -> None:
        """Forget the last episode."""
        self._tries, self._said = 0, None

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

    def say(self) -> tuple[Command | None, str]:
        """Return the command for the present state (None: let the policy act) and the reason in a few words; once per chunk."""
        if self._wrong and self._rng.random() < self._wrong:
            return Command(list(Direction)[self._rng.integers(6)], Amount.LESS), "by mistake"
        return self._decide()

    def _decide(self) -> tuple[Command | None, str]:
        task = self._sim.task
        if task.kind is TaskKind.PUT:
            return self._put()
        return self._open() if task.kind is TaskKind.OPEN else self._close()

    # --- put --------------------------------------------------------------------------------------

    def _put(self) -> tuple[Command | None, str]:
        sim, task = self._sim, self._sim.task
        assert task.movable
        assert task.place
        tool = sim.T_base_tcp[:3, 3]
        if sim.is_done_now():
            return Command(Direction.UP, Amount.LESS, Gripper.OPEN), "done, move away"
        if sim.is_holding(task.movable):
            self._tries = 0
            return self._carry(task.movable, task.place)
        off = sim.object_pose(task.movable)[0] - sim.place_pose(task.place)
        if sim.gripper_command > 0.5 and np.abs(off).max() < 0.045:
            return Command(None, gripper=Gripper.OPEN), "it stands there, let go"
        others = [m for m in MOVABLES if m != task.movable]
        if any(sim.is_holding(m) for m in others):
            return Command(None, gripper=Gripper.OPEN), "wrong thing, let go"
        thing, _, _ = sim.object_pose(task.movable)
        go = self._over(tool, thing, clear=thing[2] + MOVABLES[task.movable].height + 0.04)
        if go is not None:
            self._tries = 0
            return go, f"towards the {task.movable}"
        height = tool[2] - thing[2] - MOVABLES[task.movable].grasp_height
        if height > HIGH:
            return Command(Direction.DOWN, _amount(height - 0.06)), f"down to the {task.movable}"
        return self._grasp(height, aside=float(np.abs((thing - tool)[:2]).max()))

    def _grasp(self, height: float, *, aside: float) -> tuple[Command | None, str]:
        """Return the command near the object: the policy grasps, and a person helps if it hesitates.

        Args:
            height: of the tool over the height to grasp at, metres.
            aside: the larger horizontal distance to the object, metres.
        """
        self._tries += 1
        is_turn = self._tries % 2 == 1
        if height > 0.04:
            is_over = not is_turn and aside < CENTRED
            return (Command(Direction.DOWN, Amount.LESS), "lower") if is_over else (None, "grasp it")
        if self._sim.gripper_command > 0.5 and self._tries > 3:
            self._tries = 0
            return Command(None, gripper=Gripper.OPEN), "missed it, open"
        if is_turn and aside < CENTRED and self._sim.gripper_command <= 0.5:
            return Command(None, gripper=Gripper.CLOSE), "grasp it"
        return None, "grasp it"

    def _carry(self, name: str, place: str) -> tuple[Command | None, str]:
        """Return the command with the object in the hand: move over the place, go down, release."""
        sim = self._sim
        bottom, goal = sim.object_pose(name)[0], sim.place_pose(place)
        rim = 0.06 if place == DRAWER else RECEPTACLES[place].rim
        off = np.abs(goal - bottom)[:2].max()
        if bottom[2] < rim - 0.006 and off < 0.05 and place in ("basket", "bowl"):
            return Command(None, gripper=Gripper.OPEN), "let go"
        beside = goal[2] if place in ("plate", "stand") else rim + 0.015
        go = self._over(
            bottom, goal, clear=max(CARRY, rim + 0.03), beside=beside, over=ROOM[place], gripper=Gripper.CLOSE
        )
        if go is not None:
            return go, f"towards the {place}"
        if bottom[2] - goal[2] > (0.09 if place == DRAWER else 0.035):
            return Command(Direction.DOWN, Amount.LESS, Gripper.CLOSE), f"down to the {place}"
        return Command(None, gripper=Gripper.OPEN), "let go"

    # --- drawer -----------------------------------------------------------------------------------

    def _open(self) -> tuple[Command | None, str]:
        sim = self._sim
        tool, handle = sim.T_base_tcp[:3, 3], sim.handle_pose()
        if sim.is_done_now():
            return Command(None, gripper=Gripper.OPEN), "done, let go"
        is_gripped = sim.gripper > 0.3 and sim.gripper_command > 0.5 and np.linalg.norm(tool - handle) < 0.04
        if is_gripped:
            return Command(Direction.RIGHT, Amount.MORE), "pull"
        go = self._over(tool, handle, clear=0.12, over=0.03)
        if go is not None:
            return go, "towards the handle"
        if tool[2] > handle[2] + 0.13:
            return Command(Direction.DOWN, _amount(tool[2] - handle[2] - 0.06)), "down to the handle"
        return None, "grasp the handle"

    def _close(self) -> tuple[Command | None, str]:
        sim = self._sim
        tool, handle = sim.T_base_tcp[:3, 3], sim.handle_pose()
        if sim.is_done_now():
            return Command(Direction.UP, Amount.LESS), "done, move away"
        before = handle + [0, -0.06, 0]
        if tool[1] > handle[1] - 0.015 or abs(tool[0] - handle[0]) > 0.05:
            go = self._over(tool, before, clear=0.13, over=0.03)
            if go is not None:
                return go, "in front of the drawer"
        if tool[2] > handle[2] + 0.03:
            return Command(Direction.DOWN, _amount(tool[2] - handle[2])), "down in front of it"
        return Command(Direction.LEFT, Amount.MORE), "push"

    # --- moving -----------------------------------------------------------------------------------

    @staticmethod
    def _over(
        tool: Array,
        goal: Array,
        *,
        clear: float,
        beside: float = 0.0,
        over: float = OVER,
        gripper: Gripper = Gripper.POLICY,
    ) -> Command | None:
        """Return the direction that brings the hand, or what it holds, over a goal, or None when it is.

        Args:
            tool: where it is.
            goal: where it should be.
            clear: height to travel at, metres.
            beside: height for the last NEAR metres, metres.
            over: tolerance in the plane, metres.
            gripper: commanded on the way.
        """
        error = (goal - tool)[:2]
        axis = int(np.abs(error).argmax())
        distance = abs(float(error[axis]))
        if distance < over:
            return None
        lift = (clear if distance > NEAR else beside) - tool[2]
        if lift > 0:
            return Command(Direction.UP, _amount(lift + 0.03), gripper)
        pairs = ((Direction.FORWARD, Direction.BACK), (Direction.LEFT, Direction.RIGHT))
        return Command(pairs[axis][0 if error[axis] > 0 else 1], _amount(distance), gripper)


def _amount(distance: float) -> Amount:
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
