"""A scripted expert for the tabletop's tasks, which gives demonstrations.

It reads the simulator's state, which the generalist never sees. It is a feedback controller with a few phases, so it also
recovers from disturbances, and its style (`Taste`) varies with a seed: speed, heights, detours along a cardinal direction.
Source of the settings: measured success, see docs/generalist.md.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.worlds.tabletop.objects import MOVABLES
from frs_core.worlds.tabletop.sim import WORKSPACE_HIGH, WORKSPACE_LOW, TabletopSim
from frs_core.worlds.tabletop.tasks import DRAWER, Task, TaskKind, find

if TYPE_CHECKING:
    from frs_core.worlds.tabletop.world import TabletopWorld


@dataclass(slots=True)
class Taste:
    """What varies between demonstrations of one task."""

    speed: float
    """Metres per control step."""
    hover: float
    """Height above the grasp before descending, metres."""
    travel: float
    """Height of the tool while carrying, metres."""
    detours: tuple[Array, Array]
    """Detour before grasping and while carrying, metres; zero for none."""


def draw_taste(rng: np.random.Generator) -> Taste:
    """Return a random style."""

    def detour() -> Array:
        if rng.random() > 0.45:
            return np.zeros(3)
        axis = np.eye(3)[rng.choice(3, p=[0.38, 0.38, 0.24])] * rng.choice([-1, 1])
        return axis * rng.uniform(0.06, 0.22)

    return Taste(rng.uniform(0.013, 0.019), rng.uniform(0.06, 0.12), rng.uniform(0.17, 0.26), (detour(), detour()))


class Player:
    """Performs one task in one simulator; call `act` once per control step until it returns None."""

    def __init__(self, sim: TabletopSim, task: Task, taste: Taste) -> None:
        self._sim, self._task, self._taste = sim, task, taste
        self._phase = "detour"
        self._wait = 0
        self._has_detour = False
        self._carry_goal: Array | None = None
        self._detour_goal = self._clip(sim.p_command + taste.detours[0])
        if task.kind is TaskKind.CLOSE:
            self._push_x = float(np.random.default_rng(sim.seed).uniform(-0.03, 0.03))

    @classmethod
    def take_over(cls, sim: TabletopSim, task: Task, taste: Taste) -> "Player":
        """Return a player that continues from the simulator's present state, without detours."""
        player = cls(sim, task, Taste(taste.speed, taste.hover, taste.travel, (np.zeros(3), np.zeros(3))))
        player._phase = "reach"
        if sim.is_done_now():
            player._phase, player._wait = "retreat", 14
            player._retreat_goal = player._clip(sim.p_command + [0, 0, 0.12])
        elif task.kind is TaskKind.PUT and sim.is_holding(task.movable):
            player._phase = "lift"
            player._carry_goal, player._has_detour = None, False
        elif task.kind is TaskKind.OPEN and sim.gripper_command > 0.5 and 0.3 < sim.gripper < 0.95:
            is_at_handle = np.linalg.norm(sim.p_command - sim.handle_pose()) < 0.03
            player._phase = "pull" if is_at_handle else "drop"
        elif task.kind is not TaskKind.CLOSE and sim.gripper_command > 0.5:
            player._phase, player._wait = "drop", 4
        return player

    @property
    def phase(self) -> str:
        """Name of the present phase."""
        return self._phase

    def act(self) -> Float[Array, " 7"] | None:
        """Return the next action (EE_DELTA, robot units), or None when done."""
        if self._phase == "detour":
            if self._reached(self._detour_goal, 0.02):
                self._phase = "reach"
            else:
                return self._move(self._detour_goal, yaw=0.0, grip=0.0)
        if self._phase == "drop":
            self._wait -= 1
            if self._wait <= 0:
                self._phase = "reach"
            return self._move(self._sim.p_command + [0, 0, 0.02], yaw=0.0, grip=0.0)
        return self._put() if self._task.kind is TaskKind.PUT else self._drawer()

    # --- put --------------------------------------------------------------------------------------

    def _put(self) -> Array | None:
        sim, taste, task = self._sim, self._taste, self._task
        assert task.movable
        assert task.place
        item = MOVABLES[task.movable]
        p, yaw, _ = sim.object_pose(task.movable)
        grasp = np.array([p[0], p[1], p[2] + item.grasp_height])
        yaw = _fold(yaw) if item.has_yaw else 0.0
        if self._phase == "reach":
            above = grasp + [0, 0, taste.hover]
            if (
                self._near_xy(grasp, 0.006)
                and abs(self._yaw() - yaw) < 0.08
                and self._sim.p_command[2] < above[2] + 0.03
            ):
                self._phase = "descend"
            else:
                return self._move(above, yaw=yaw, grip=0.0, keep_high=item.height + 0.05)
        if self._phase == "descend":
            if not self._near_xy(grasp, 0.02):
                self._phase = "reach"
                return self._move(grasp + [0, 0, taste.hover], yaw=yaw, grip=0.0)
            if self._reached(grasp, 0.006):
                self._phase, self._wait = "close", 5
            else:
                return self._move(grasp, yaw=yaw, grip=0.0, slow=0.8)
        if self._phase == "close":
            self._wait -= 1
            if self._wait <= 0:
                self._phase = "lift"
                self._carry_goal = self._clip(sim.p_command + [0, 0, 0.12] + taste.detours[1])
                self._has_detour = bool(np.any(taste.detours[1]))
            return self._move(sim.p_command, yaw=self._yaw(), grip=1.0)
        if self._phase in ("lift", "carry", "lower") and not sim.is_holding(task.movable) and sim.gripper > 0.9:
            self._phase = "reach"
            return self._move(sim.p_command + [0, 0, 0.03], yaw=0.0, grip=0.0)
        target = sim.place_pose(task.place)
        bottom_to_tcp = sim.p_command[2] - p[2] if sim.is_holding(task.movable) else item.grasp_height
        release = self._release(target, float(np.clip(bottom_to_tcp, 0.01, 0.09)))
        if self._phase == "lift":
            if self._has_detour:
                assert self._carry_goal is not None
                done = self._reached(self._carry_goal, 0.03)
                goal = self._carry_goal
                if sim.p_command[2] < self._carry_goal[2] - 0.05:
                    goal = np.array([*sim.p_command[:2], self._carry_goal[2]])
            else:
                goal = np.array([*sim.p_command[:2], taste.travel])
                done = sim.p_command[2] > max(release[2], 0.12)
            if done:
                self._phase = "carry"
            else:
                return self._move(goal, yaw=self._yaw() * 0.7, grip=1.0)
        if self._phase == "carry":
            if self._near_xy(release, 0.012):
                self._phase = "lower"
            else:
                height = max(taste.travel, release[2] + 0.03)
                return self._move(np.array([release[0], release[1], height]), yaw=0.0, grip=1.0, keep_high=release[2])
        if self._phase == "lower":
            if self._reached(release, 0.008):
                self._phase, self._wait = "open", 4
            else:
                return self._move(release, yaw=0.0, grip=1.0, slow=0.8)
        if self._phase == "open":
            self._wait -= 1
            if self._wait <= 0:
                self._phase, self._wait = "retreat", 14
                self._retreat_goal = self._clip(sim.p_command + [0, 0, 0.12])
            return self._move(sim.p_command, yaw=self._yaw(), grip=0.0)
        self._wait -= 1
        return None if self._wait <= 0 else self._move(self._retreat_goal, yaw=0.0, grip=0.0)

    def _release(self, target: Array, bottom_to_tcp: float) -> Array:
        place = self._task.place
        if place == DRAWER:
            return np.array([target[0], target[1], max(0.105, target[2] + bottom_to_tcp + 0.03)])
        return np.array([target[0], target[1], target[2] + bottom_to_tcp + 0.010])

    # --- drawer -----------------------------------------------------------------------------------

    def _drawer(self) -> Array | None:
        sim, taste = self._sim, self._taste
        handle = sim.handle_pose()
        if self._task.kind is TaskKind.OPEN:
            grasp = handle + [0, 0, -0.004]
            if self._phase == "reach":
                if self._near_xy(grasp, 0.006) and sim.p_command[2] < grasp[2] + taste.hover + 0.03:
                    self._phase = "descend"
                else:
                    return self._move(grasp + [0, 0, taste.hover], yaw=0.0, grip=0.0, keep_high=0.13)
            if self._phase == "descend":
                if self._reached(grasp, 0.006):
                    self._phase, self._wait = "close", 5
                else:
                    return self._move(grasp, yaw=0.0, grip=0.0, slow=0.8)
            if self._phase == "close":
                self._wait -= 1
                if self._wait <= 0:
                    self._phase = "pull"
                return self._move(sim.p_command, yaw=0.0, grip=1.0)
            if self._phase == "pull":
                if sim.drawer_opening > 0.108:
                    self._phase, self._wait = "open", 3
                elif sim.gripper > 0.95 or not self._near_xy(grasp, 0.05):
                    self._phase = "reach"
                else:
                    return self._move(sim.p_command + [0, -0.05, 0], yaw=0.0, grip=1.0, slow=0.8)
        else:
            contact = handle + [self._push_x, -0.035, -0.005]
            if self._phase == "reach":
                before = contact + [0, -0.025, 0]
                if self._near_xy(before, 0.02) and sim.p_command[2] < before[2] + 0.012:
                    self._phase = "push"
                elif self._near_xy(before, 0.02):
                    return self._move(before, yaw=0.0, grip=1.0)
                else:
                    return self._move(before + [0, 0, taste.hover], yaw=0.0, grip=1.0, keep_high=0.12)
            if self._phase == "push":
                if sim.drawer_opening < 0.006:
                    self._phase, self._wait = "open", 2
                else:
                    return self._move(sim.p_command + [0, 0.05, 0], yaw=0.0, grip=1.0, slow=0.9)
        if self._phase == "open":
            self._wait -= 1
            if self._wait <= 0:
                self._phase, self._wait = "retreat", 14
                lift = [0, 0, 0.14] if self._task.kind is TaskKind.OPEN else [0, -0.04, 0.12]
                self._retreat_goal = self._clip(sim.p_command + lift)
            return self._move(sim.p_command, yaw=0.0, grip=0.0)
        if self._phase == "reach":
            return self._move(sim.p_command + [0, 0, 0.02], yaw=0.0, grip=0.0)
        self._wait -= 1
        return None if self._wait <= 0 else self._move(self._retreat_goal, yaw=0.0, grip=0.0)

    # --- motion -----------------------------------------------------------------------------------

    def _move(
        self, goal: Array, *, yaw: float, grip: float, keep_high: float = 0.0, slow: float = 1.0
    ) -> Float[Array, " 7"]:
        """Return a step towards a goal; with `keep_high`, first rise above that height while far away."""
        sim = self._sim
        goal = self._clip(np.asarray(goal, dtype=np.float64))
        error = goal - sim.p_command
        speed = self._taste.speed * slow
        if keep_high and np.hypot(*error[:2]) > 0.05 and sim.p_command[2] < keep_high:
            error = np.array([0.3 * error[0], 0.3 * error[1], keep_high + 0.02 - sim.p_command[2]])
        distance = float(np.linalg.norm(error))
        step = error * (min(speed, 0.45 * distance + 0.0015) / max(distance, 1e-9))
        if distance < 0.0015:
            step = error
        turn = float(np.clip(0.5 * (yaw - self._yaw()), -0.08, 0.08))
        return np.array([*step, 0.0, 0.0, turn, grip])

    def _yaw(self) -> float:
        R = self._sim.R_command
        return float(np.arctan2(R[1, 0], R[0, 0]))

    def _near_xy(self, p: Array, tolerance: float) -> bool:
        return bool(np.hypot(*(self._sim.p_command - p)[:2]) < tolerance)

    def _reached(self, p: Array, tolerance: float) -> bool:
        return bool(np.linalg.norm(self._sim.p_command - p) < tolerance)

    @staticmethod
    def _clip(p: Array) -> Array:
        return np.clip(p, WORKSPACE_LOW + [0.01, 0.01, 0.002], WORKSPACE_HIGH - [0.01, 0.01, 0.06])


def demonstrator(world: "TabletopWorld", task: str, seed: int) -> Player:
    """Return a player with a random style for the scene a world was just reset to."""
    return Player(world.sim, find(task), draw_taste(np.random.default_rng([seed, 7])))


def _fold(yaw: float) -> float:
    """Return the equivalent grasp yaw in (-pi/2, pi/2]: the two fingers are interchangeable."""
    return float((yaw + np.pi / 2) % np.pi - np.pi / 2)
