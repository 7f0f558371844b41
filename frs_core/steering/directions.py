"""The commands that an operator can give, and the reference chunk of each.

A direction is one of six along the base frame's axes, with an amount; it becomes a constant translation in every row of
a normalised chunk. What the command does not set (rotation, usually the gripper) is left to the policy.

In an end-effector space with 20 mm per step at normalised 1, (LEFT, MORE) writes +1 into the y column: 20 mm of leftward
motion per step.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind, ActionSpace
from frs_core.robot.observation import Observation
from frs_core.robot.tracking import follow_poses


class Direction(enum.Enum):
    """The six cardinal directions of the base frame."""

    FORWARD = "forward"
    BACK = "back"
    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"

    @property
    def axis(self) -> Float[Array, " 3"]:
        """Unit vector in the base frame."""
        return _AXES[self].copy()

    @property
    def opposite(self) -> "Direction":
        """The opposite direction."""
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
) -> tuple[Float[Array, "H A"], Bool[Array, " A"]]:
    """Return the normalised reference of one command and which dimensions it sets; see `reference_chunks`."""
    references, commanded = reference_chunks(
        (command,), space, horizon=horizon, observation=observation, strength=strength
    )
    return references[0], commanded[0]


def reference_chunks(
    commands: Sequence[Command],
    space: ActionSpace,
    *,
    horizon: int,
    observation: Observation,
    strength: float = 1.0,
) -> tuple[Float[Array, "B H A"], Bool[Array, "B A"]]:
    """Return the normalised references of commands and which dimensions each sets.

    In joint spaces the translation is turned into joint motion along the arm's Jacobian, step by step, with the tool's
    orientation held; all commands share one pass.

    Args:
        commands: what is asked.
        space: the policy's action space.
        horizon: rows of a chunk.
        observation: the state the commands start from.
        strength: factor on the translation.
    Returns:
        The references in policy units, and masks of the commanded dimensions (False = left to the policy, as are numbers that never moved
        in the policy's training).
    """
    axes = np.array([np.zeros(3) if c.direction is None else c.direction.axis for c in commands])
    steps = axes * np.array([[c.amount.factor * strength] for c in commands])
    raw = np.zeros((len(commands), horizon, space.size))
    commanded = np.zeros((len(commands), space.size), dtype=bool)
    commanded[:, : -1 if space.kind is not ActionKind.EE_DELTA else 3] = True
    if space.kind is not ActionKind.EE_DELTA:
        raw[..., :7] = _joint_references(space, steps, horizon=horizon, observation=observation)
    for i, command in enumerate(commands):
        if command.gripper is Gripper.POLICY:
            raw[i, :, -1] = observation.gripper_command
        else:
            raw[i, :, -1] = 1.0 if command.gripper is Gripper.CLOSE else 0.0
            commanded[i, -1] = True
    references = space.normalise(raw)
    if space.kind is ActionKind.EE_DELTA:
        references[..., :3] = steps[:, None]
    # Divided by next to nothing, a command for such a number would drown the others in the network.
    stuck = space.scale < NEVER_MOVED
    references[..., stuck], commanded[:, stuck] = 0.0, False
    return references.astype(np.float32), commanded


CARTESIAN_STEP = 0.02
"""Metres per control step that normalised 1 stands for in joint spaces (0.3 m/s at 15 Hz). Guess; close to the tabletop
generalist's own scale and well under DROID's 0.075 m limit."""

NEVER_MOVED = 1e-4
"""Robot units per normalised 1 below which a number counts as constant in the training: fractions of 0.2 rad, rad, metres. Guess; what
trainers add to an empty range is at most 1e-6."""

_MAX_TURN = 0.05
"""rad per row by which a lost orientation is won back. Guess."""


def _joint_references(
    space: ActionSpace, steps: Float[Array, "B 3"], *, horizon: int, observation: Observation
) -> Float[Array, "B H 7"]:
    """Return joint velocities (fractions) or positions (rad) that move the tool by `steps` per row."""
    T_flange_tcp = kinematics.tool_on_flange(observation.q, observation.T_base_tcp)
    p_start, R_start = observation.T_base_tcp[:3, 3], observation.T_base_tcp[:3, :3]
    way = steps * CARTESIAN_STEP
    # A target that ran away (joint limit, singularity) is not chased: at most twice a row's way is asked of a row.
    path = follow_poses(
        p_start + np.arange(1, horizon + 1)[:, None] * way[:, None],
        R_start[None, None],
        q=observation.q,
        T_flange_tcp=T_flange_tcp,
        longest_shift=2.0 * np.linalg.norm(way, axis=-1, keepdims=True),
        longest_turn=_MAX_TURN,
    )
    if space.kind is ActionKind.JOINT_POSITION:
        return path
    start = np.broadcast_to(observation.q, (len(steps), 1, 7))
    return np.diff(np.concatenate([start, path], axis=1), axis=1) / JOINT_STEP
