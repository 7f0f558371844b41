"""The few things an operator can ask for, and the reference chunk each one means.

A direction is one of six along the base frame's axes, with an amount; it becomes a constant translation in every row of
a normalised chunk. What the command does not speak of (rotation, usually the gripper) is left to the policy.

In an end-effector space with 20 mm per step at normalised 1, (LEFT, MORE) writes +1 into the y column: 20 mm of leftward
motion per step.
"""

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from frs_core import kinematics
from frs_core.actions import JOINT_STEP, ActionKind, ActionSpace
from frs_core.observation import Observation


class Direction(enum.Enum):
    """The six cardinal directions of the base frame."""

    FORWARD = "forward"
    BACK = "back"
    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"

    @property
    def axis(self) -> Float[np.ndarray, " 3"]:
        """Unit vector in the base frame."""
        return _AXES[self].copy()

    @property
    def opposite(self) -> "Direction":
        """The direction pointing the other way."""
        return next(d for d in Direction if np.array_equal(d.axis, -self.axis))

    @property
    def glyph(self) -> str:
        """One arrow-like character for lists and keys."""
        return _GLYPHS[self]


_AXES = {
    Direction.FORWARD: np.array([1.0, 0.0, 0.0]),
    Direction.BACK: np.array([-1.0, 0.0, 0.0]),
    Direction.LEFT: np.array([0.0, 1.0, 0.0]),
    Direction.RIGHT: np.array([0.0, -1.0, 0.0]),
    Direction.UP: np.array([0.0, 0.0, 1.0]),
    Direction.DOWN: np.array([0.0, 0.0, -1.0]),
}
_GLYPHS = {
    Direction.FORWARD: "↑",
    Direction.BACK: "↓",
    Direction.LEFT: "←",
    Direction.RIGHT: "→",
    Direction.UP: "⤒",
    Direction.DOWN: "⤓",
}


class Amount(enum.Enum):
    """How far a direction goes. Source: paper appendix D, "less" is half."""

    LESS = "less"
    MORE = "more"

    @property
    def factor(self) -> float:
        """Length of the reference in normalised units."""
        return 0.5 if self is Amount.LESS else 1.0


class Gripper(enum.Enum):
    """What the command says about the gripper."""

    OPEN = "open"
    CLOSE = "close"
    POLICY = "policy"
    """Left to the policy."""


@dataclass(frozen=True, slots=True)
class Command:
    """One thing an operator can ask for."""

    direction: Direction | None
    """None with a gripper order means: stay, and open or close."""
    amount: Amount = Amount.MORE
    gripper: Gripper = Gripper.POLICY

    @property
    def label(self) -> str:
        """Stable identifier, e.g. 'left/more' or 'stay/close'."""
        where = self.direction.value if self.direction else "stay"
        tail = f"/{self.gripper.value}" if self.gripper is not Gripper.POLICY else ""
        return f"{where}/{self.amount.value}{tail}" if self.direction else f"{where}{tail}"

    @classmethod
    def parse(cls, label: str) -> "Command":
        """Return the command of a `label`."""
        parts = label.split("/")
        if parts[0] == "stay":
            return cls(None, gripper=Gripper(parts[1]) if len(parts) > 1 else Gripper.POLICY)
        return cls(
            Direction(parts[0]),
            Amount(parts[1]),
            Gripper(parts[2]) if len(parts) > 2 else Gripper.POLICY,
        )


def fan_commands(*, gripper: Gripper = Gripper.POLICY) -> tuple[Command, ...]:
    """Return the commands of a fan: six directions, less and more, then stay-and-open and stay-and-close.

    Args:
        gripper: what the twelve directed ones say about the gripper.
    """
    directed = tuple(Command(d, a, gripper) for a in Amount for d in Direction)
    return (*directed, Command(None, gripper=Gripper.OPEN), Command(None, gripper=Gripper.CLOSE))


def reference_chunk(
    command: Command,
    space: ActionSpace,
    *,
    horizon: int,
    observation: Observation,
    strength: float = 1.0,
) -> tuple[Float[np.ndarray, "H A"], Bool[np.ndarray, " A"]]:
    """Return the normalised reference of a command and which dimensions it speaks for.

    In joint spaces the translation is turned into joint motion along the arm's Jacobian, step by step, with the tool's
    orientation held.

    Args:
        command: what is asked.
        space: the policy's action space.
        horizon: rows of a chunk.
        observation: the state the command starts from.
        strength: factor on the translation.
    Returns:
        The reference in policy units, and a mask of the commanded dimensions (False = left to the policy).
    """
    axis = np.zeros(3) if command.direction is None else command.direction.axis
    step = axis * command.amount.factor * strength
    raw = np.zeros((horizon, space.size), dtype=np.float32)
    commanded = np.zeros(space.size, dtype=bool)
    if space.kind is ActionKind.EE_DELTA:
        reference = space.normalise(raw)
        reference[:, :3] = step
        commanded[:3] = True
    else:
        raw[:, :7] = _joint_reference(space, step, horizon=horizon, observation=observation)
        reference = space.normalise(raw)
        commanded[:7] = True
    if command.gripper is Gripper.POLICY:
        raw_gripper = np.full(space.size, observation.gripper_command, dtype=np.float32)
        reference[:, -1] = space.normalise(raw_gripper)[-1]
    else:
        target = np.full(space.size, 1.0 if command.gripper is Gripper.CLOSE else 0.0)
        reference[:, -1] = space.normalise(target)[-1]
        commanded[-1] = True
    return reference.astype(np.float32), commanded


CARTESIAN_STEP = 0.02
"""Metres per control step that normalised 1 stands for in joint spaces (0.3 m/s at 15 Hz). Guess; close to the tabletop
generalist's own scale and well under DROID's 0.075 m limit."""


def _joint_reference(
    space: ActionSpace, step: Float[np.ndarray, " 3"], *, horizon: int, observation: Observation
) -> Float[np.ndarray, "H 7"]:
    """Return joint velocities (fractions) or positions (rad) that move the tool by `step` per row."""
    tool = float(np.linalg.norm(observation.p_tcp - kinematics.flange_pose(observation.q)[:3, 3]))
    twist = np.concatenate([step * CARTESIAN_STEP, np.zeros(3)])
    q, rows = observation.q.astype(np.float64), []
    for _ in range(horizon):
        dq = kinematics.joint_step(q, twist, tool_offset=tool)
        dq *= min(1.0, JOINT_STEP / max(float(np.abs(dq).max()), 1e-9))
        q = np.clip(q + dq, kinematics.Q_LOW + 0.02, kinematics.Q_HIGH - 0.02)
        rows.append(dq / JOINT_STEP if space.kind is ActionKind.JOINT_VELOCITY else q)
    return np.stack(rows)
