"""A robot without a simulator: a kinematic Franka over a chequered table, seen by three small exact cameras.

Actions move the tool exactly (differential inverse kinematics, iterated until it fits), images are ray-cast onto the
table in numpy, so a step costs about a millisecond and everything is deterministic. `frozen_camera`, `die_at_step` and
`hang_at_step` break it on purpose.
"""

import json
import time

import numpy as np
from jaxtyping import Float, UInt8

from frs_core.errors import ConfigError, unknown_name
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind, ee_delta_space
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Calibration, CameraFrame, Observation
from frs_core.steering.directions import Direction
from frs_core.worlds.base import StepResult, World, WorldSpec

HOME = np.array([0.0, -np.pi / 5, 0.0, -4 * np.pi / 5, 0.0, 3 * np.pi / 5, 0.0])
"""Joints of the start pose, rad."""
HELD_STEPS = 3
"""Control steps a success must last."""
_SIZE = 64
_T_FLANGE_TCP = np.block([[np.eye(3), np.array([[0.0], [0.0], [kinematics.HAND_TCP_OFFSET]])], [np.zeros((1, 3)), 1.0]])
_TASKS = {f"reach_{d.value}": d for d in Direction}


class PointWorld(World):
    """Tool moves, table stays: tasks are 'reach_left', 'reach_up', and so on."""

    def __init__(
        self,
        *,
        frozen_camera: str | None = None,
        die_at_step: int | None = None,
        hang_at_step: int | None = None,
        step_delay_s: float = 0.0,
        step_work_s: float = 0.0,
    ) -> None:
        """Build the world at its home pose.

        Args:
            frozen_camera: this camera repeats its first image.
            die_at_step: the process exits without a word at this step.
            hang_at_step: `step` never returns at this step.
            step_delay_s: extra time per step, seconds.
            step_work_s: the same, computing.
        """
        self.spec = WorldSpec(
            name="point",
            cameras=("left", "right", "wrist"),
            control_hz=15.0,
            tasks=tuple(_TASKS),
            limits=Limits(
                np.array([0.25, -0.35, 0.02]), np.array([0.62, 0.35, 0.7]), kinematics.Q_LOW, kinematics.Q_HIGH
            ),
            is_simulated=True,
        )
        self._frozen_camera, self._die_at, self._hang_at = frozen_camera, die_at_step, hang_at_step
        self._delay_s, self._work_s = step_delay_s, step_work_s
        self._frozen: UInt8[np.ndarray, "H W 3"] | None = None
        self._limits = ee_delta_space(translation=0.02, rotation=0.1)
        self.task = "reach_left"
        self.is_closed = False
        self.holds = 0
        self.reset(task="reach_left", seed=0)

    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        """Return to the home pose, a few millimetres off by seed."""
        if task is not None and task not in _TASKS:
            raise unknown_name("task", task, _TASKS)
        self.task = task or self.task
        rng = np.random.default_rng(seed)
        self._q = HOME.copy()
        self._move(rng.uniform(-0.01, 0.01, 3), np.zeros(3))
        self._start = self._T[:3, 3].copy()
        self._goal_m = float(rng.uniform(0.12, 0.16))
        self._gripper = self._gripper_command = 0.0
        self._dq = np.zeros(7)
        self._step = self._held = 0
        return self.observe()

    def observe(self) -> Observation:
        """Return three images and the state."""
        now = time.monotonic_ns()
        return self._observation({name: self._frame(name, now) for name in self.spec.cameras}, now)

    def state(self) -> Observation:
        """Return the state alone."""
        return self._observation({}, time.monotonic_ns())

    def _observation(self, frames: dict[str, CameraFrame], now: int) -> Observation:
        return Observation(
            frames=frames,
            q=self._q.copy(),
            dq=self._dq.copy(),
            gripper=self._gripper,
            T_base_tcp=self._T.copy(),
            instruction=self.task.replace("_", " "),
            captured_ns=now,
            step=self._step,
            gripper_command=self._gripper_command,
            success=self._held >= HELD_STEPS,
        )

    def step(self, action: Float[np.ndarray, " A"], kind: ActionKind) -> StepResult:
        """Move the tool or the joints by one action, stopping at the workspace."""
        if self._step == self._die_at:
            raise SystemExit(7)
        until = time.monotonic() + self._work_s
        while time.monotonic() < until:
            pass
        while self._step == self._hang_at:
            time.sleep(0.05)
        if self._delay_s:
            time.sleep(self._delay_s)
        asked = np.asarray(action, dtype=np.float64)
        if asked.shape != (kind.size,):
            raise ConfigError(f"Action has shape {asked.shape}, {kind.value} needs ({kind.size},).")
        executed, before = asked.copy(), self._q.copy()
        executed[-1] = np.clip(asked[-1], 0.0, 1.0)
        if kind is ActionKind.EE_DELTA:
            executed[:6] = np.clip(asked[:6], self._limits.low[:6], self._limits.high[:6])
            target = self._T[:3, 3] + executed[:3]
            limits = self.spec.limits
            executed[:3] += np.clip(target, limits.workspace_low, limits.workspace_high) - target
            if not self._move(executed[:3], executed[3:6]):
                executed[:6] = 0.0
        else:
            wanted = executed[:7] * JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else executed[:7] - self._q
            self._set_joints(self._q + np.clip(wanted, -JOINT_STEP, JOINT_STEP))
            moved = self._q - before
            executed[:7] = moved / JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else self._q
        self._gripper_command = float(executed[-1])
        self._gripper += np.clip(self._gripper_command - self._gripper, -0.25, 0.25)
        self._dq = (self._q - before) * self.spec.control_hz
        self._step += 1
        self._held = self._held + 1 if self._is_reached() else 0
        clipped = not np.allclose(executed, asked, atol=1e-6)
        return StepResult(executed.astype(np.float32), clipped, "the workspace or speed limit" if clipped else "")

    def hold(self) -> None:
        """Stop where it is."""
        self.holds += 1
        self._dq = np.zeros(7)

    def snapshot(self) -> bytes:
        """Return the whole state as JSON (Python's floats survive it exactly)."""
        state = {
            "q": self._q.tolist(),
            "dq": self._dq.tolist(),
            "start": self._start.tolist(),
            "numbers": [self._goal_m, self._gripper, self._gripper_command],
            "counts": [self._step, self._held],
            "task": self.task,
        }
        return json.dumps(state).encode()

    def restore(self, state: bytes) -> Observation:
        """Return to a snapshot exactly."""
        data = json.loads(state)
        self._dq, self._start = np.array(data["dq"]), np.array(data["start"])
        self._goal_m, self._gripper, self._gripper_command = data["numbers"]
        self._step, self._held = data["counts"]
        self.task = data["task"]
        self._set_joints(np.array(data["q"]))
        return self.observe()

    def close(self) -> None:
        """Nothing to free."""
        self.is_closed = True

    def _is_reached(self) -> bool:
        moved = self._T[:3, 3] - self._start
        return float(moved @ _TASKS[self.task].axis) >= self._goal_m

    def _set_joints(self, q: Float[np.ndarray, " 7"]) -> None:
        self._q = np.clip(q, kinematics.Q_LOW, kinematics.Q_HIGH)
        self._T = kinematics.flange_pose(self._q) @ _T_FLANGE_TCP

    def _move(self, shift: Float[np.ndarray, " 3"], rotation: Float[np.ndarray, " 3"]) -> bool:
        """Move the tool by metres and by a rotation vector (base frame); stay and return False if out of reach."""
        before = self._q
        self._set_joints(before)
        target, turn = self._T[:3, 3] + shift, _rotation(rotation) @ self._T[:3, :3]
        for _ in range(4):
            error = turn @ self._T[:3, :3].T
            spin = 0.5 * np.array([error[2, 1] - error[1, 2], error[0, 2] - error[2, 0], error[1, 0] - error[0, 1]])
            twist = np.concatenate([target - self._T[:3, 3], spin])
            if np.abs(twist).max() < 1e-5:
                return True
            self._set_joints(self._q + kinematics.joint_step(self._q, twist, damping=1e-3))
        if float(np.linalg.norm(target - self._T[:3, 3])) < 1e-3:
            return True
        self._set_joints(before)
        return False

    def _frame(self, name: str, now: int) -> CameraFrame:
        calibration = self._calibration(name)
        image = _render(calibration, self._T[:3, 3])
        if name == self._frozen_camera:
            self._frozen = image if self._frozen is None else self._frozen
            image = self._frozen
        return CameraFrame(image, now, calibration)

    def _calibration(self, name: str) -> Calibration:
        K = np.array([[55.0, 0.0, 31.5], [0.0, 55.0, 31.5], [0.0, 0.0, 1.0]])
        if name == "wrist":
            mount = np.eye(4)
            mount[:3, 3] = [0.06, 0.0, -0.12]
            return Calibration(K, self._T @ mount, _SIZE, _SIZE)
        eye = np.array([1.05, 0.55 if name == "left" else -0.55, 0.65])
        return Calibration(K, _look_at(eye, np.array([0.4, 0.0, 0.2])), _SIZE, _SIZE)


def _render(calibration: Calibration, p_tcp: Float[np.ndarray, " 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Return the table's smooth chequers and a disc at the projected tool centre."""
    v, u = np.mgrid[0 : calibration.height, 0 : calibration.width]
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(calibration.K).T
    rays = rays @ calibration.T_base_camera[:3, :3].T
    eye = calibration.T_base_camera[:3, 3]
    down = np.where(rays[..., 2] < -1e-6, rays[..., 2], np.nan)
    ground = eye[:2] - rays[..., :2] * (eye[2] / down)[..., None]
    shade = 128 + 90 * np.sin(ground[..., 0] * 40) * np.sin(ground[..., 1] * 40)
    shade = np.nan_to_num(np.where(np.abs(ground).max(axis=-1) < 3.0, shade, np.nan), nan=60.0)
    image = np.stack([shade, shade * 0.9, shade * 0.8], axis=-1)
    uv, is_front = calibration.project(p_tcp)
    if bool(is_front):
        near = (u - uv[0]) ** 2 + (v - uv[1]) ** 2 < 3.0**2
        image[near] = (230, 40, 30)
    return image.astype(np.uint8)


def _look_at(eye: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "4 4"]:
    """Return the pose of a camera at `eye` looking at `target`, its image upright."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, np.array([0.0, 0.0, 1.0]))
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    T[:3, 3] = eye
    return T


def _rotation(vector: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Return the rotation matrix of a rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-9:
        return np.eye(3)
    x, y, z = vector / angle
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
