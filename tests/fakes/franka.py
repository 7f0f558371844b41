"""What DROID's robot computer answers, on top of an arm that exists only in numbers.

`FakeFranka` has the methods a DROID server exposes (the names and the units are DROID's) and drives any `Drive`; the
`KinematicDrive` moves every joint towards its target at 3 rad/s, so a full joint-velocity step takes one control period.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP

HOME = np.array([0.0, -np.pi / 5, 0.0, -4 * np.pi / 5, 0.0, 3 * np.pi / 5, 0.0])
"""DROID's start pose, rad."""
_GRIPPER_STEP = 0.25


class Drive(ABC):
    """An arm that goes towards a target in real time."""

    @abstractmethod
    def go(self, q: Float[np.ndarray, " 7"], *, blocking: bool) -> None:
        """Take a joint target, rad; wait for arrival if blocking."""

    @abstractmethod
    def grip(self, position: float, *, blocking: bool) -> None:
        """Take a gripper target, 0 open .. 1 closed."""

    @abstractmethod
    def read(self) -> tuple[Float[np.ndarray, " 7"], Float[np.ndarray, " 7"], float]:
        """Return joints (rad), joint velocities (rad/s) and gripper position."""


class KinematicDrive(Drive):
    """Joints run at constant speed to their targets; no dynamics."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, speed: float = 3.0) -> None:
        """Start at rest in DROID's start pose, a little off so that a reset is a motion.

        Args:
            clock: seconds.
            speed: rad/s.
        """
        self._clock, self._speed = clock, speed
        self._q = HOME + 0.05
        self._target, self._at = self._q.copy(), clock()
        self._gripper = self._gripper_target = 0.0

    def go(self, q: Float[np.ndarray, " 7"], *, blocking: bool) -> None:
        """Take a joint target; a blocking one is reached at once."""
        self.read()
        self._target = np.clip(np.asarray(q, dtype=np.float64), kinematics.Q_LOW, kinematics.Q_HIGH)
        if blocking:
            self._q = self._target.copy()

    def grip(self, position: float, *, blocking: bool) -> None:
        """Take a gripper target; a blocking one is reached at once."""
        self._gripper_target = float(np.clip(position, 0.0, 1.0))
        if blocking:
            self._gripper = self._gripper_target

    def read(self) -> tuple[Float[np.ndarray, " 7"], Float[np.ndarray, " 7"], float]:
        """Advance to now and return the state."""
        now = self._clock()
        elapsed, self._at = now - self._at, now
        way = self._target - self._q
        moved = np.clip(way, -self._speed * elapsed, self._speed * elapsed)
        self._q = self._q + moved
        self._gripper += float(np.clip(self._gripper_target - self._gripper, -2.0 * elapsed, 2.0 * elapsed))
        still = np.abs(way) <= self._speed * elapsed
        return self._q.copy(), np.where(still, 0.0, np.sign(way) * self._speed), self._gripper


class FakeFranka:
    """The methods of DROID's server, with its units; `broken` makes the next calls fail as a controller would."""

    def __init__(self, drive: Drive | None = None) -> None:
        """Wrap a drive; a kinematic one by default."""
        self.drive = drive or KinematicDrive()
        self.is_launched = False
        self.broken = ""
        self.is_clock_frozen = False
        self.commands: list[tuple[str, list[float]]] = []
        """Every command that reached the robot: (action space, numbers)."""
        self._frozen_stamp = (0, 0)

    def launch_controller(self) -> None:
        """Start the controller."""

    def launch_robot(self) -> None:
        """Attach to the controller."""
        self.is_launched = True

    def kill_controller(self) -> None:
        """Stop the controller."""
        self.is_launched = False

    def get_robot_state(self) -> tuple[dict[str, object], dict[str, int]]:
        """Return DROID's state and time stamps."""
        self._check()
        q, dq, gripper = self.drive.read()
        T = kinematics.flange_pose(q)
        zeros = [0.0] * 7
        state: dict[str, object] = {
            "cartesian_position": [*T[:3, 3].tolist(), *euler_from_matrix(T[:3, :3]).tolist()],
            "gripper_position": gripper,
            "joint_positions": q.tolist(),
            "joint_velocities": dq.tolist(),
            "joint_torques_computed": zeros,
            "prev_joint_torques_computed": zeros,
            "prev_joint_torques_computed_safened": zeros,
            "motor_torques_measured": zeros,
            "prev_controller_latency_ms": 0.4,
            "prev_command_successful": True,
        }
        if not self.is_clock_frozen:
            now = time.time_ns()
            self._frozen_stamp = (now // 1_000_000_000, now % 1_000_000_000)
        seconds, nanos = self._frozen_stamp
        return state, {"robot_timestamp_seconds": seconds, "robot_timestamp_nanos": nanos}

    def update_command(
        self, command: Sequence[float], action_space: str, gripper_action_space: str | None, blocking: bool
    ) -> dict[str, object]:
        """Execute one action of a joint space and return what DROID returns."""
        self._check()
        state = self.get_robot_state()[0]
        q = np.array(state["joint_positions"])
        arm = np.asarray(command[:7], dtype=np.float64)
        if action_space == "joint_velocity":
            target = q + JOINT_STEP * arm / max(1.0, float(np.abs(arm).max()))
        elif action_space == "joint_position":
            target = arm
        else:
            raise ValueError(f"this server has no inverse kinematics for {action_space}")
        position = float(command[7])
        if gripper_action_space == "velocity":
            position = float(str(state["gripper_position"])) + _GRIPPER_STEP * position
        self.commands.append((action_space, [float(x) for x in command]))
        self.drive.grip(position, blocking=blocking)
        self.drive.go(target, blocking=blocking)
        velocity = (target - q) / JOINT_STEP
        return {
            "robot_state": state,
            "joint_position": target.tolist(),
            "joint_velocity": velocity.tolist(),
            "gripper_position": float(np.clip(position, 0.0, 1.0)),
        }

    def update_joints(
        self, command: Sequence[float], velocity: bool, blocking: bool, cartesian_noise: Sequence[float] | None
    ) -> None:
        """Move the joints; noise is ignored."""
        self._check()
        target = np.asarray(command, dtype=np.float64)
        if velocity:
            target = self.drive.read()[0] + JOINT_STEP * target
        self.commands.append(("update_joints", target.tolist()))
        self.drive.go(target, blocking=blocking)

    def update_gripper(self, command: float, velocity: bool, blocking: bool) -> None:
        """Move the gripper."""
        self._check()
        position = self.drive.read()[2] + _GRIPPER_STEP * command if velocity else command
        self.commands.append(("update_gripper", [float(position)]))
        self.drive.grip(position, blocking=blocking)

    def command_count(self) -> int:
        """Return how many commands reached the robot (tests ask this over the wire)."""
        return len(self.commands)

    def _check(self) -> None:
        if not self.is_launched:
            raise RuntimeError("the controller is not launched")
        if self.broken:
            raise RuntimeError(self.broken)


def euler_from_matrix(R: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
    """Return extrinsic xyz Euler angles, rad (DROID's convention: R = Rz @ Ry @ Rx)."""
    pitch = -np.arcsin(np.clip(R[2, 0], -1.0, 1.0))
    return np.array([np.arctan2(R[2, 1], R[2, 2]), pitch, np.arctan2(R[1, 0], R[0, 0])])
