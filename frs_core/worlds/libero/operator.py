"""A scripted operator for LIBERO: steers like a person at the arrow keys, once per chunk, from coarse geometry only.

It knows roughly where the things of the task's goals are, what both fingers touch, and which goals LIBERO considers met. It says "more"
where "less" in the same direction had no effect. Near a thing, a
handle or a knob it lets the policy act, and helps where a person would: lower, close, open. It never turns the hand, never gives a
number, and never looks at a candidate before picking.

Example, "pick up the alphabet soup and place it in the basket": "left/more" until the hand is over the can, "down/less", then the policy
grasps; "up/more/close", "right/more/close", over the basket "stay/open".
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.choosers.steering_script import OVER, Saying, SteeringScript, amount, nearest_direction, over
from frs_core.robot.observation import Observation
from frs_core.steering.directions import Amount, Command, Direction, Gripper
from frs_core.worlds.libero.fixtures import handle_of
from frs_core.worlds.libero.geometry import CLOSE, IN, ON, OPEN, Goal, Readable, Scene
from frs_core.worlds.libero.grasps import OUTSIDE, TIP, grasps, surface_points
from frs_core.worlds.libero.order import in_order, next_goal
from frs_core.worlds.libero.places import target

HIGH = 0.13
"""Metres over the grasp above which the hand is first brought down."""
CENTRED = 0.02
"""Metres beside the grasp within which closing the fingers would take hold."""
STILL_CENTRED = 0.03
"""The same once it is at the thing: small drifts are not corrected."""
NO_EFFECT = 0.01
"""Metres along a direction under which a chunk counts as not having followed it."""
ABOVE = 0.04
"""Metres that the hand, or what it holds, is kept above what it passes."""
LOW = 0.04
"""Metres above its place at which a held thing is released."""
CLOSED = 0.5
"""Gripper command from which the fingers are closing."""
LOWERED = 0.015
"""Metres over the grasp under which the fingers can close."""
AS_GOOD = 0.03
"""Cost over the best grasp's up to which another is as good, as for 8 mm off the middle."""
PATIENCE = 3
"""Chunks at a thing, every second of them the policy's own, before a person takes it: down, close."""


class LiberoOperator(SteeringScript):
    """Steers one LIBERO world towards its task."""

    def __init__(self, world: Readable, *, seed: int = 0, wrong: float = 0.0) -> None:
        """Make an operator.

        Args:
            world: that it reads.
            seed: of its mistakes.
            wrong: fraction of chunks in which it commands a random direction.
        """
        super().__init__(seed=seed, wrong=wrong)
        self._world, self._waited, self._is_taking, self._has_lifted = world, 0, False, False
        self._goals: tuple[Goal, ...] = ()
        self._grasps: tuple[Float[Array, " 3"], Float[Array, "G 3"]] | None = None
        """Where the thing was, and where it can be taken."""
        self._before: tuple[Direction, Float[Array, " 3"]] | None = None
        """The direction last said, and where the tool was then."""

    def begin(self, observation: Observation) -> None:
        """Forget the last episode."""
        super().begin(observation)
        self._waited, self._is_taking, self._has_lifted = 0, False, False
        self._grasps = self._before = None
        self._goals = in_order(self._world.geometry())

    def _decide(self) -> Saying:
        command, reason = self._choose()
        tool = self._world.state().p_tcp
        if command is None or command.direction is None:
            self._before = None
            return command, reason
        before, self._before = self._before, (command.direction, tool)
        if before is not None and before[0] is command.direction and command.amount is Amount.LESS:
            moved = float((tool - before[1]) @ command.direction.axis)
            if moved < NO_EFFECT:
                return replace(command, amount=Amount.MORE), reason
        return command, reason

    def _choose(self) -> Saying:
        scene, seen = self._world.geometry(), self._world.state()
        if not self._goals:
            self._goals = in_order(scene)
        goal = next_goal(scene, self._goals)
        if goal is None:
            return Command(Direction.UP, Amount.LESS, Gripper.OPEN), "done, move away"
        if goal.relation in (ON, IN):
            return self._put(scene, seen, goal)
        if goal.relation in (OPEN, CLOSE):
            return self._slide(scene, seen, goal)
        return self._turn(scene, seen, goal)

    # --- put ----------------------------------------------------------------------------------------------------------

    def _put(self, scene: Scene, seen: Observation, goal: Goal) -> Saying:
        is_closed = seen.gripper_command > CLOSED
        if goal.thing in scene.held and is_closed:
            self._waited, self._has_lifted = 0, False
            return self._carry(scene, goal)
        if is_closed:
            return self._look_whether_held(scene)
        self._has_lifted = False
        spot = self._where_to_grasp(scene, seen.p_tcp, goal.thing)
        top = float(scene.bounds(goal.thing)[1, 2])
        within = STILL_CENTRED if self._is_taking else CENTRED
        go = over(seen.p_tcp, spot, clear=top + TIP + ABOVE, beside=top + TIP, within=within)
        self._is_taking = go is None
        if go is not None:
            return go, f"towards {_plain(goal.thing)}"
        height = float(seen.p_tcp[2] - spot[2])
        if height > HIGH:
            return Command(Direction.DOWN, amount(height - 0.06)), f"down to {_plain(goal.thing)}"
        return self._take(height)

    def _look_whether_held(self, scene: Scene) -> Saying:
        """Return what to say with the fingers closed and the thing not between them: lift, and if that shows nothing, open."""
        if scene.held:
            return Command(None, gripper=Gripper.OPEN), "wrong thing, let go"
        self._has_lifted = not self._has_lifted
        if self._has_lifted:
            return Command(Direction.UP, Amount.LESS, Gripper.CLOSE), "lift it"
        return Command(None, gripper=Gripper.OPEN), "missed it, open"

    def _take(self, height: float) -> Saying:
        """Return what to say at the thing: the policy grasps, and a person helps if it hesitates."""
        self._waited += 1
        if self._waited <= PATIENCE and self._waited % 2 == 1:
            return None, "grasp it"
        if height > LOWERED:
            return Command(Direction.DOWN, Amount.LESS), "lower"
        return Command(None, gripper=Gripper.CLOSE), "grasp it"

    def _where_to_grasp(self, scene: Scene, tool: Float[Array, " 3"], thing: str) -> Float[Array, " 3"]:
        """Return where an upright hand would take a thing: of the places that are as good, the nearest to the hand."""
        at = scene.pose(thing)[:3, 3]
        if self._grasps is None or np.linalg.norm(self._grasps[0] - at) > 0.01:
            points, rest = surface_points(*scene.boxes(of=(thing,))), surface_points(*scene.boxes(but=(thing,)))
            found = grasps(points, rest, floor=scene.table_height, yaws=(0.0,))
            low, high = scene.bounds(thing)
            middle = np.array([*(low + high)[:2] / 2, max(high[2] - 0.02, scene.table_height + TIP)])
            good = [grasp.point for grasp in found if grasp.cost < found[0].cost + AS_GOOD]
            self._grasps = (at, np.stack(good or [middle]))
        places = self._grasps[1]
        return places[np.linalg.norm((places - tool)[:, :2], axis=1).argmin()]

    def _carry(self, scene: Scene, goal: Goal) -> Saying:
        """Return the command with the thing in the hand: over its place, down, release."""
        place = _plain(goal.place)
        origin = scene.pose(goal.thing)[:3, 3]
        bottom = np.array([*origin[:2], scene.bounds(goal.thing)[0, 2]])
        ground = _top_at(scene, goal)
        spot = np.array([*target(scene, goal), ground])
        rim = _rim(scene, goal)
        clear = max(rim, scene.table_height) + ABOVE
        go = over(bottom, spot, clear=clear, beside=rim, within=_room(scene, goal), gripper=Gripper.CLOSE)
        if go is not None:
            return go, f"towards {place}"
        if bottom[2] - max(ground, rim - 0.05) > LOW:
            return Command(Direction.DOWN, Amount.LESS, Gripper.CLOSE), f"down to {place}"
        return Command(None, gripper=Gripper.OPEN), "let go"

    # --- drawers and knobs --------------------------------------------------------------------------------------------

    def _slide(self, scene: Scene, seen: Observation, goal: Goal) -> Saying:
        joint = scene.joint_of(goal.thing)
        handle = None if joint is None else handle_of(scene, joint)
        if joint is None or handle is None:
            return None, f"{goal.relation} it"
        out = joint.opening
        if goal.relation == OPEN:
            if joint.owner in scene.held and seen.gripper_command > CLOSED:
                return Command(nearest_direction(out), Amount.MORE, Gripper.CLOSE), "pull"
            before = handle + (OUTSIDE + 0.02) * out
            go = over(seen.p_tcp, before, clear=handle[2] + 0.03, within=OVER)
            if go is not None:
                return go, "towards the handle"
            if seen.p_tcp[2] > handle[2] + 0.06:
                return Command(Direction.DOWN, amount(float(seen.p_tcp[2] - handle[2]))), "down to the handle"
            return None, "grasp the handle"
        before = handle + 0.07 * out
        is_beside = abs(float(np.cross(out, [0.0, 0.0, 1.0]) @ (seen.p_tcp - handle))) > 0.05
        if float((seen.p_tcp - handle) @ out) < 0.01 or is_beside:
            go = over(seen.p_tcp, before, clear=float(scene.bounds(joint.owner)[1, 2]) + ABOVE, within=0.03)
            if go is not None:
                return go, "in front of it"
        if seen.p_tcp[2] > handle[2] + 0.03:
            return Command(Direction.DOWN, amount(float(seen.p_tcp[2] - handle[2]))), "down in front of it"
        return Command(nearest_direction(-out), Amount.MORE, Gripper.CLOSE), "push"

    def _turn(self, scene: Scene, seen: Observation, goal: Goal) -> Saying:
        joint = scene.joint_of(goal.thing)
        if joint is None:
            return None, "turn it"
        go = over(seen.p_tcp, joint.anchor, clear=joint.anchor[2] + 0.12)
        if go is not None:
            return go, "towards the knob"
        height = float(seen.p_tcp[2] - joint.anchor[2])
        if height > HIGH:
            return Command(Direction.DOWN, amount(height - 0.06)), "down to the knob"
        # Nobody can say "turn" with six directions.
        return None, "turn the knob"


def _plain(name: str) -> str:
    """Return a thing's or region's name in words, without its number."""
    return "the " + " ".join(part for part in name.split("_") if not part.isdigit())


def _top_at(scene: Scene, goal: Goal) -> float:
    """Return the height that a thing's underside has when it lies in its place."""
    if goal.place in scene.regions:
        region = scene.regions[goal.place]
        return float(region.centre[2] - (region.reach[2] if goal.relation == IN else 0.0))
    low, high = scene.bounds(goal.place)
    return float(low[2] if _is_hollow(scene, goal.place) else high[2])


def _rim(scene: Scene, goal: Goal) -> float:
    """Return the height that a thing must be lifted over to get to its place."""
    region = scene.regions.get(goal.place)
    if region is None:
        return float(scene.bounds(goal.place)[1, 2])
    if goal.relation == ON or not region.owner:
        return float(region.centre[2])
    joint = scene.joint_of(goal.place)
    boxes = scene.boxes(of=(region.owner,), body=joint.body if joint else None)
    return float(surface_points(*boxes, spacing=0.03)[:, 2].max())


def _room(scene: Scene, goal: Goal) -> float:
    """Return metres in the plane within which a held thing counts as over its place."""
    region = scene.regions.get(goal.place)
    # LIBERO wants 30 mm between origins.
    return 0.025 if region is None else float(np.clip(0.6 * region.reach[:2].min(), 0.015, 0.035))


def _is_hollow(scene: Scene, thing: str) -> bool:
    return any(word in scene.kinds[thing] for word in ("bowl", "plate", "basket", "tray", "ramekin"))
