"""A scripted operator: steers like a person at the arrow keys, once per chunk, from coarse geometry only.

It knows roughly where the object and its goal are and what the hand holds, as a person sees them. It commands one of six
directions, less or more, opens the gripper over the goal, or lets the policy act where precision is needed. While it carries
an object, every direction also commands a closed gripper: otherwise the policy opens it on the way. It never rotates the
hand, never gives a number, and never looks at a candidate before picking.

Example: the can is 14 cm to the left and the hand is high: "left/more". Over the can within 3 cm: let the policy grasp. The
can is in the hand: "up/more/close", "right/more/close", over the plate "down/less/close", "stay/open".
"""

from typing import Protocol, runtime_checkable

import numpy as np

from frs_core.choosers.steering_script import SteeringScript, amount, over
from frs_core.robot.observation import Observation
from frs_core.steering.directions import Amount, Command, Direction, Gripper
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES
from frs_core.worlds.tabletop.sim import TabletopSim
from frs_core.worlds.tabletop.tasks import DRAWER, TaskKind

HIGH = 0.13
"""Metres over the grasp above which the hand is first brought down."""
CENTRED = 0.013
"""Metres beside the object within which closing the fingers would grasp it."""
ROOM = {"plate": 0.035, "bowl": 0.03, "stand": 0.03, "basket": 0.03, DRAWER: 0.035}
"""Metres in the plane within which a held object counts as over each place."""
CARRY = 0.08
"""Height of a held object's bottom under which it is not carried past other objects, metres."""


@runtime_checkable
class Simulated(Protocol):
    """The part of a world that the operator needs: `TabletopWorld` has it, and so does the owner of a simulator alone."""

    sim: TabletopSim


class ScriptedOperator(SteeringScript):
    """Steers one tabletop world towards its task."""

    def __init__(self, world: Simulated, *, seed: int = 0, wrong: float = 0.0) -> None:
        """Make an operator.

        Args:
            world: whose simulator it reads.
            seed: of its mistakes.
            wrong: fraction of chunks in which it commands a random direction.
        """
        super().__init__(seed=seed, wrong=wrong)
        self._sim = world.sim
        self._tries = 0

    def begin(self, observation: Observation) -> None:
        """Forget the last episode."""
        super().begin(observation)
        self._tries = 0

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
        go = over(tool, thing, clear=thing[2] + MOVABLES[task.movable].height + 0.04)
        if go is not None:
            self._tries = 0
            return go, f"towards the {task.movable}"
        height = tool[2] - thing[2] - MOVABLES[task.movable].grasp_height
        if height > HIGH:
            return Command(Direction.DOWN, amount(height - 0.06)), f"down to the {task.movable}"
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
        go = over(bottom, goal, clear=max(CARRY, rim + 0.03), beside=beside, within=ROOM[place], gripper=Gripper.CLOSE)
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
        go = over(tool, handle, clear=0.12, within=0.03)
        if go is not None:
            return go, "towards the handle"
        if tool[2] > handle[2] + 0.13:
            return Command(Direction.DOWN, amount(tool[2] - handle[2] - 0.06)), "down to the handle"
        return None, "grasp the handle"

    def _close(self) -> tuple[Command | None, str]:
        sim = self._sim
        tool, handle = sim.T_base_tcp[:3, 3], sim.handle_pose()
        if sim.is_done_now():
            return Command(Direction.UP, Amount.LESS), "done, move away"
        before = handle + [0, -0.06, 0]
        if tool[1] > handle[1] - 0.015 or abs(tool[0] - handle[0]) > 0.05:
            go = over(tool, before, clear=0.13, within=0.03)
            if go is not None:
                return go, "in front of the drawer"
        if tool[2] > handle[2] + 0.03:
            return Command(Direction.DOWN, amount(tool[2] - handle[2])), "down in front of it"
        return Command(Direction.LEFT, Amount.MORE), "push"
