"""What names say of an action's numbers: which joint, axis or gripper each one is, and whether joints are speeds or positions.

Problem: data sets and checkpoints name the numbers of their actions freely, and numbers that are taken for others move the arm elsewhere.
Idea: our own names of each kind are one table; of foreign ones the words are read that everybody uses, and a name without any says
nothing, which contradicts nothing.

Example: `why_not_named(ActionKind.JOINT_VELOCITY, ["gripper", "joint_1"])` says that 'gripper' stands where joint 1 belongs. Any thread.
"""

import re
from collections.abc import Sequence

from frs_core.robot.actions import ActionKind

ACTION_NAMES = {
    ActionKind.JOINT_VELOCITY: [*(f"joint_velocity_{i}" for i in range(1, 8)), "gripper_position"],
    ActionKind.JOINT_POSITION: [*(f"joint_position_{i}" for i in range(1, 8)), "gripper_position"],
    ActionKind.EE_DELTA: ["dx", "dy", "dz", "rx", "ry", "rz", "gripper_position"],
}
"""Names of an action's numbers in this product's exports, in their order."""

_WORD = re.compile(r"[a-z]+|\d+")
_SPEED = {"velocity", "velocities", "vel", "speed", "speeds"}
_POSITION = {"position", "positions", "pos"}
_JOINT = {"joint", "joints", "j", "q"}
_LIMB = {"shoulder", "elbow", "wrist", "forearm", "waist", "base", "torso"}
"""Beside roll, pitch and yaw: the name of a joint, which states no order."""
_ROTATION = {"rot", "rotation", "rotvec", "orientation", "ori", "angular", "angle", "euler"}
_AXES = {
    **{word: f"along {axis}" for axis in "xyz" for word in (axis, f"d{axis}", f"v{axis}")},
    **{word: f"about {axis}" for axis in "xyz" for word in (f"r{axis}", f"w{axis}", f"dr{axis}")},
    **{word: f"about {axis}" for axis, word in zip("xyz", ("roll", "pitch", "yaw"), strict=True)},
    **{word: "of a quaternion" for word in ("qx", "qy", "qz", "qw")},
}


def why_not_named(kind: ActionKind, names: Sequence[str]) -> str | None:
    """Return how names contradict a kind of action: the first number, its name and what belongs there; None if they do not.

    Args:
        kind: what the actions are taken for.
        names: of their numbers, in their order; words such as joint, gripper, velocity, pos, x or roll count, with any signs between.
    """
    found = [_read(name) for name in names]
    numbers = [part for part, _ in found if isinstance(part, int)]
    # Joints are counted from 0 or from 1.
    first = 0 if 0 in numbers else 1
    for i, (expected, name) in enumerate(zip(_expected(kind), names, strict=False)):
        part, quantity = found[i]
        stands_for = part - first + 1 if isinstance(part, int) else part
        is_joint = isinstance(expected, int)
        wanted = "speed" if is_joint and kind is ActionKind.JOINT_VELOCITY else "position"
        is_other_part = stands_for is not None and stands_for != expected
        is_other_quantity = quantity is not None and quantity != wanted and (is_joint or expected == "gripper")
        if is_other_part or is_other_quantity:
            what = f"joint {expected}'s {wanted}" if is_joint else f"the {expected}"
            return f"number {i + 1} is called '{name}', where {what} belongs"
    return None


def _expected(kind: ActionKind) -> list[int | str]:
    """Return joint numbers from 1, motions and the gripper in a kind's order."""
    if kind is ActionKind.EE_DELTA:
        return [*(f"motion {way} {axis}" for way in ("along", "about") for axis in "xyz"), "gripper"]
    return [*range(1, 8), "gripper"]


def _read(name: str) -> tuple[int | str | None, str | None]:
    """Return what one name says: a joint's number as written, a motion or the gripper; "speed" or "position"."""
    words: list[str] = _WORD.findall(name.lower())
    quantity = "speed" if _SPEED & set(words) else "position" if _POSITION & set(words) else None
    if any(word.startswith("gripper") for word in words):
        return "gripper", quantity
    if _JOINT & set(words) and (numbers := [int(word) for word in words if word.isdigit()]):
        return numbers[-1], quantity
    axes = {_AXES[word] for word in words if word in _AXES}
    if len(axes) != 1 or _LIMB & set(words):
        return None, quantity
    motion = f"motion {axes.pop()}"
    return motion.replace("along", "about") if _ROTATION & set(words) else motion, quantity
