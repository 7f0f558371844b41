"""What a chunk of actions means on a robot: units, normalisation, limits, and the path it draws.

Three action spaces, all with the gripper position (0 open .. 1 closed) as last number:

| kind | numbers | unit per control step |
|---|---|---|
| EE_DELTA | dx dy dz, rx ry rz, gripper | metres and rad (rotation vector), base frame |
| JOINT_VELOCITY | 7 joints, gripper | fraction of 0.2 rad per step, in [-1, 1] (DROID) |
| JOINT_POSITION | 7 joints, gripper | rad, absolute |
"""

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError, ShapeMismatch
from frs_core.robot import kinematics
from frs_core.robot.observation import Observation

JOINT_STEP = 0.2
"""rad per control step at joint velocity 1. Source: droid/robot_ik/robot_ik_solver.py (reference §1.4)."""


class ActionKind(enum.Enum):
    """The three ways a chunk can drive the arm."""

    EE_DELTA = "ee_delta"
    JOINT_VELOCITY = "joint_velocity"
    JOINT_POSITION = "joint_position"

    @property
    def size(self) -> int:
        """Numbers per action."""
        return 7 if self is ActionKind.EE_DELTA else 8


@dataclass(frozen=True, slots=True, eq=False)
class ActionSpace:
    """Units, normalisation and limits of one policy's actions."""

    kind: ActionKind
    offset: Float[Array, " A"]
    """Robot value that normalised 0 stands for."""
    scale: Float[Array, " A"]
    """Robot units per normalised 1; > 0."""
    low: Float[Array, " A"]
    """Smallest robot value that may be sent."""
    high: Float[Array, " A"]
    """Largest robot value that may be sent."""
    control_hz: float = 15.0
    reach: float = 1.0
    """Share of an asked tool step that the arm makes (EE_DELTA): less than 1 where the controller is soft and is asked anew from
    where the arm is, as LIBERO's."""

    def __post_init__(self) -> None:
        for name in ("offset", "scale", "low", "high"):
            got = getattr(self, name).shape
            if got != (self.kind.size,):
                raise ShapeMismatch(
                    f"Action space field '{name}' has shape {got}, {self.kind.value} needs ({self.kind.size},)."
                )

    @property
    def size(self) -> int:
        """Numbers per action, the gripper included."""
        return self.kind.size

    def normalise(self, chunk: Float[Array, "*b A"]) -> Float[Array, "*b A"]:
        """Return robot units as policy units."""
        return (np.asarray(chunk, dtype=np.float32) - self.offset) / self.scale

    def unnormalise(self, x: Float[Array, "*b A"]) -> Float[Array, "*b A"]:
        """Return policy units as robot units, not clipped."""
        return np.asarray(x, dtype=np.float32) * self.scale + self.offset

    def clip(self, chunk: Float[Array, "*b A"]) -> Float[Array, "*b A"]:
        """Return the chunk inside `low`..`high`."""
        return np.clip(chunk, self.low, self.high)

    def path(self, chunk: Float[Array, "B H A"], observation: Observation) -> Float[Array, "B H+1 3"]:
        """Return the tool-centre path each chunk draws, starting at the present position.

        Args:
            chunk: robot units.
            observation: state the chunk starts from.
        Returns:
            Points in the base frame, metres; row 0 is the present tool centre.
        """
        start = np.broadcast_to(observation.p_tcp, (chunk.shape[0], 1, 3))
        clipped = self.clip(chunk)
        if self.kind is ActionKind.EE_DELTA:
            return np.concatenate([start, start + self.reach * np.cumsum(clipped[..., :3], axis=1)], axis=1)
        if self.kind is ActionKind.JOINT_VELOCITY:
            q = observation.q + JOINT_STEP * np.cumsum(clipped[..., :7], axis=1)
        else:
            q = clipped[..., :7]
        # A tool other than the simulated hand's is carried by its constant pose on the flange.
        T_flange_tcp = kinematics.tool_on_flange(observation.q, observation.T_base_tcp)
        points = (kinematics.flange_pose(q) @ T_flange_tcp)[..., :3, 3]
        return np.concatenate([start, points], axis=1)


def ee_delta_space(*, translation: float, rotation: float, control_hz: float = 15.0) -> ActionSpace:
    """Return the end-effector delta space with normalised 1 = the largest step.

    Args:
        translation: metres per step and axis at normalised 1.
        rotation: rad per step and axis at normalised 1.
        control_hz: actions per second.
    """
    scale = np.array([translation] * 3 + [rotation] * 3 + [0.5], dtype=np.float32)
    offset = np.array([0.0] * 6 + [0.5], dtype=np.float32)
    low = np.array([-translation * 1.5] * 3 + [-rotation * 1.5] * 3 + [0.0], dtype=np.float32)
    high = np.array([translation * 1.5] * 3 + [rotation * 1.5] * 3 + [1.0], dtype=np.float32)
    return ActionSpace(ActionKind.EE_DELTA, offset, scale, low, high, control_hz)


def joint_space(kind: ActionKind, *, control_hz: float = 15.0) -> ActionSpace:
    """Return DROID's joint space in plain robot units, the gripper centred.

    Args:
        kind: JOINT_VELOCITY or JOINT_POSITION.
        control_hz: actions per second.
    Source: openpi examples/droid (velocities in [-1, 1], gripper 0 open .. 1 closed, 15 Hz).
    """
    if kind is ActionKind.EE_DELTA:
        raise ConfigError("End-effector deltas are not a joint space. Use joint_velocity or joint_position.")
    one, is_velocity = np.ones(7), kind is ActionKind.JOINT_VELOCITY
    low, high = (-one, one) if is_velocity else (kinematics.Q_LOW, kinematics.Q_HIGH)
    offset, scale = np.append(np.zeros(7), 0.5), np.append(one, 0.5)
    numbers = (offset, scale, np.append(low, 0.0), np.append(high, 1.0))
    return ActionSpace(kind, *(n.astype(np.float32) for n in numbers), control_hz=control_hz)
