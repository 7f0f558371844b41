"""A scripted expert for LIBERO's tasks, which gives demonstrations.

It reads where things are (`geometry`), which policies never see, and meets the goals of the task's file one after the other: a thing is
grasped where it fits between the fingers, carried over everything in between and released where LIBERO wants it; drawers are pulled and
pushed, knobs turned. A goal that was missed or undone is tried again.

    world.reset(task="libero_object/0", seed=50)
    act = demonstrator(world, "libero_object/0", 50).act      # until it returns None

docs/libero.md has its measured success per task. One thread, the world's.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.worlds.libero.arm import Arm, Path, downward
from frs_core.worlds.libero.fixtures import close, open_up, turn
from frs_core.worlds.libero.geometry import CLOSE, IN, ON, OPEN, Goal, Joint, Readable, Scene
from frs_core.worlds.libero.grasps import Grasp, grasps, hand_points, lowest_height, surface_points
from frs_core.worlds.libero.order import in_order, next_goal
from frs_core.worlds.libero.places import target, turn_to_fit
from frs_core.worlds.libero.tasks import LONGEST, find

if TYPE_CHECKING:
    from frs_core.worlds.libero.world import LiberoWorld

CLEAR = 0.04
"""Metres between what is carried and what it is carried over."""
CLOSING, OPENING = 9, 6
"""Control steps until the fingers have closed or opened. Measured: eight from end to end."""
TRIES = 6
"""Goals are begun this often at most."""
HIGH = 0.62
"""Height above which the tool is not taken, metres over the base: the arm's reach."""


class LiberoDemonstrator:
    """Performs the task of the scene that a world shows; call `act` once per control step until it returns None."""

    def __init__(self, world: Readable, *, seed: int = 0, longest: int = 400, pace: float = 1.0) -> None:
        """Begin; nothing moves yet.

        Args:
            world: whose scene was just set.
            seed: of its choices between equally good grasps.
            longest: control steps after which the public evaluation would end the episode.
            pace: of its motion, 1 = as fast as the controller goes.
        """
        self.longest = longest
        self._arm, self._rng = Arm(world, pace=pace), np.random.default_rng([seed, 7])
        self._goals = in_order(self._arm.scene)
        self._aside: set[str] = set()
        """Things that were put aside; once each."""
        self.doing = ""
        """What it does at present, in words; for reports."""
        self.is_travelling = False
        """Whether it is on the way to above something, from where it recovers if it is moved."""
        self._path = self._perform()

    def act(self) -> Float[Array, " 7"] | None:
        """Return the next action (EE_DELTA, robot units), or None when done or at a loss."""
        return next(self._path, None)

    def _perform(self) -> Path:
        for _ in range(TRIES):
            goal = next_goal(self._arm.scene, self._goals)
            if goal is None:
                break
            blocking = self._in_the_way(goal)
            yield from self._put_aside(blocking) if blocking else self._meet(goal)
        self.doing = "done" if all(self._arm.scene.met) else f"gave up: {self.doing}"

    def _meet(self, goal: Goal) -> Path:
        self.doing = f"{goal.relation} {goal.thing} {goal.place}".strip()
        if goal.relation in (ON, IN):
            yield from self._put(goal)
        elif goal.relation == OPEN:
            yield from open_up(self._arm, goal.thing)
        elif goal.relation == CLOSE:
            yield from close(self._arm, goal.thing)
        else:
            yield from turn(self._arm, goal)

    # --- put ----------------------------------------------------------------------------------------------------------

    def _put(self, goal: Goal) -> Path:
        if goal.thing not in self._arm.scene.held:
            self.doing = f"grasp {goal.thing}"
            yield from self._grasp(goal.thing)
        if goal.thing not in self._arm.scene.held:
            yield from self._rise(grip=0.0)
            return
        self.doing = f"carry {goal.thing} to {goal.place}"
        scene = self._arm.scene
        yield from self._carry(goal.thing, target(scene, goal), twist=turn_to_fit(scene, goal), goal=goal)

    def _in_the_way(self, goal: Goal) -> str:
        """Return a thing of the task that stands where a drawer would be once open; empty if there is none."""
        scene = self._arm.scene
        joint = scene.joint_of(goal.thing) if goal.relation == OPEN else None
        if joint is None or joint.is_door:
            return ""
        swept = _swept(scene, joint)
        for other in scene.goals:
            if other.relation not in (ON, IN) or other.thing in self._aside:
                continue
            low, high = scene.bounds(other.thing)
            if (low[:2] < swept[1]).all() and (high[:2] > swept[0]).all() and low[2] < scene.table_height + 0.02:
                return other.thing
        return ""

    def _put_aside(self, thing: str) -> Path:
        """Carry a thing to the nearest free spot of the table."""
        scene = self._arm.scene
        self._aside.add(thing)
        low, high = scene.bounds(thing)
        origin, half = scene.pose(thing)[:2, 3], (high - low)[:2] / 2
        free = surface_points(*scene.boxes(but=(thing,)), spacing=0.02)[:, :2]
        taken = [_swept(scene, j) for j in scene.joints.values() if not j.is_door]
        spots = [np.array([x, y]) for x in np.arange(0.38, 0.64, 0.04) for y in np.arange(-0.28, 0.29, 0.04)]
        good = [
            spot
            for spot in spots
            if not (np.abs(free - spot) < half + 0.05).all(axis=1).any()
            and not any(((spot + half > a) & (spot - half < b)).all() for a, b in taken)
        ]
        if not good:
            return
        self.doing = f"put {thing} aside"
        yield from self._grasp(thing)
        if thing in self._arm.scene.held:
            spot = min(good, key=lambda at: float(np.linalg.norm(at - origin)))
            yield from self._carry(thing, spot)
        else:
            yield from self._rise(grip=0.0)

    def _grasp(self, thing: str) -> Path:
        grasp = self._choose(thing)
        if grasp is None:
            return
        hand = downward(grasp.yaw)
        yield from self._over(grasp.point, hand, grip=0.0, hang=0.0, but=(thing,))
        yield from self._arm.to(grasp.point, hand, grip=0.0, within=0.004, speed=0.6)
        yield from self._arm.stay(hand, grip=1.0, steps=CLOSING)
        yield from self._arm.to(self._arm.point + [0.0, 0.0, 0.03], hand, grip=1.0, within=0.015, speed=0.6)

    def _choose(self, thing: str) -> Grasp | None:
        scene = self._arm.scene
        points = surface_points(*scene.boxes(of=(thing,)))
        others = surface_points(*scene.boxes(but=(thing,)))
        found = grasps(points, others, floor=scene.table_height)
        if not found:
            self.doing = f"no grasp of {thing}"
            return None
        good = [grasp for grasp in found[:6] if grasp.cost < found[0].cost + 0.01]
        return good[self._rng.integers(len(good))]

    def _carry(self, thing: str, place: Float[Array, " 2"], *, twist: float = 0.0, goal: Goal | None = None) -> Path:
        """Carry a held thing to a place and let go.

        Args:
            thing: that is held.
            place: of its origin in the plane.
            twist: about the vertical on the way, rad.
            goal: that is met by it; it may be met before the thing is all the way down.
        """
        arm = self._arm
        scene = arm.scene
        yaw = self._yaw() + twist
        held = arm.turn.T @ (surface_points(*scene.boxes(of=(thing,)), spacing=0.01) - arm.point).T
        origin = arm.turn.T @ (scene.pose(thing)[:3, 3] - arm.point)
        hand = downward(yaw)
        # What hangs from the tool once it points straight down at that yaw.
        hanging = (hand @ held).T
        at = place - (hand @ origin)[:2]
        others = surface_points(*scene.boxes(but=(thing,)))
        moving = np.concatenate([hanging, hand_points(yaw)])
        height = lowest_height(moving, others, at, floor=scene.table_height) + 0.004
        release = np.array([*at, height])
        yield from self._out_from_under(np.concatenate([(arm.turn @ held).T, hand_points(self._yaw())]), others)
        yield from self._over(release, hand, grip=1.0, hang=-float(hanging[:, 2].min()), but=(thing,))
        if thing not in arm.scene.held:
            return
        yield from self._lower(release, hand, goal)
        yield from arm.stay(hand, grip=0.0, steps=OPENING)
        yield from self._rise(grip=0.0)

    def _lower(self, release: Float[Array, " 3"], hand: Float[Array, "3 3"], goal: Goal | None) -> Path:
        arm = self._arm
        for action in arm.to(release, hand, grip=1.0, within=0.004, speed=0.5, steps=60):
            is_met = goal is not None and goal.relation == ON and goal in met_goals(arm.scene)
            if is_met and arm.point[2] < release[2] + 0.01:
                return
            yield action

    # --- motion -------------------------------------------------------------------------------------------------------

    def _over(
        self, goal: Float[Array, " 3"], hand: Float[Array, "3 3"], *, grip: float, hang: float, but: tuple[str, ...]
    ) -> Path:
        """Go above a point, over everything on the way.

        Args:
            goal: the tool is brought above it.
            hand: its orientation then.
            grip: 0 open, 1 closed.
            hang: metres that what is held hangs below the tool.
            but: things that are no obstacles.
        """
        self.is_travelling = True
        yield from self._travel(goal, hand, grip=grip, hang=hang, but=but)
        self.is_travelling = False

    def _travel(
        self, goal: Float[Array, " 3"], hand: Float[Array, "3 3"], *, grip: float, hang: float, but: tuple[str, ...]
    ) -> Path:
        arm = self._arm
        start = arm.point
        top = _highest_between(surface_points(*arm.scene.boxes(but=but), spacing=0.02), start, goal)
        height = min(HIGH, max(goal[2] + 0.05, top + hang + CLEAR))
        if start[2] < height - 0.02 and np.linalg.norm((goal - start)[:2]) > 0.03:
            up = np.array([*start[:2], height])
            yield from arm.to(up, hand, grip=grip, within=0.03, turned=3.0)
        yield from arm.to(np.array([*goal[:2], max(height, goal[2])]), hand, grip=grip, within=0.02, turned=0.3)
        above = np.array([*goal[:2], min(height, goal[2] + 0.05)])
        yield from arm.to(above, hand, grip=grip, within=0.01, turned=0.06)

    def _out_from_under(self, moving: Float[Array, "P 3"], others: Float[Array, "Q 3"]) -> Path:
        """Go sideways, low, to where nothing is above the hand and what it holds.

        Args:
            moving: points of both, relative to the tool.
            others: points of everything else.
        """
        arm = self._arm
        start = arm.point
        low = float(moving[:, 2].min()) + start[2]
        above = others[others[:, 2] > low + 0.02]
        room = float(np.abs(moving[:, :2]).max())
        low_corner, high_corner = moving[:, :2].min(axis=0) - 0.01, moving[:, :2].max(axis=0) + 0.01
        for distance in np.arange(0.0, 0.3, 0.02):
            for angle in np.arange(0.0, 2 * np.pi, np.pi / 4):
                at = start[:2] + distance * np.array([np.cos(angle), np.sin(angle)])
                near = above[np.abs(above[:, :2] - at).max(axis=1, initial=0.0) < room + 0.02]
                off = near[:, :2] - at
                if not ((off > low_corner) & (off < high_corner)).all(axis=1).any():
                    if distance > 0.0:
                        aside = np.array([*at, start[2]])
                        yield from arm.to(aside, arm.turn, grip=1.0, within=0.015, speed=0.6)
                    return

    def _rise(self, *, grip: float) -> Path:
        up = self._arm.point + [0.0, 0.0, 0.1]
        yield from self._arm.to(up, downward(self._yaw()), grip=grip, within=0.03)

    def _yaw(self) -> float:
        """Return the hand's present yaw, rad."""
        x = self._arm.turn[:, 0]
        return float(np.arctan2(x[1], x[0]))


def met_goals(scene: Scene) -> set[Goal]:
    """Return the goals that LIBERO considers met."""
    return {goal for goal, is_met in zip(scene.goals, scene.met, strict=True) if is_met}


def _swept(scene: Scene, joint: Joint) -> tuple[Float[Array, " 2"], Float[Array, " 2"]]:
    """Return the corners, in the plane, of where a drawer is or can come to, with some room."""
    points = surface_points(*scene.boxes(of=(joint.owner,), body=joint.body), spacing=0.05)[:, :2]
    way = joint.opening[:2] * (abs(joint.far) - abs(joint.position))
    both = np.concatenate([points, points + way])
    return both.min(axis=0) - 0.01, both.max(axis=0) + 0.01


def _highest_between(points: Float[Array, "P 3"], start: Float[Array, " 3"], goal: Float[Array, " 3"]) -> float:
    """Return the height of the highest point within 12 cm of the way in the plane; -1 without any."""
    way = (goal - start)[:2]
    share = np.clip((points[:, :2] - start[:2]) @ way / max(1e-9, float(way @ way)), 0.0, 1.0)
    off = np.linalg.norm(points[:, :2] - start[:2] - share[:, None] * way, axis=1)
    return float(points[off < 0.12, 2].max(initial=-1.0))


def demonstrator(world: "LiberoWorld", task: str, seed: int) -> LiberoDemonstrator:
    """Return a demonstrator for the scene a world was just reset to; see `WorldSpec.demonstrator`."""
    return LiberoDemonstrator(world, seed=seed, longest=LONGEST[find(task).suite])


__all__ = ["LiberoDemonstrator", "demonstrator"]
