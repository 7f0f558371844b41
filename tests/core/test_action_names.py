"""What the names of an action's numbers say, and what they contradict."""

import pytest

from frs_core.robot.action_names import ACTION_NAMES, why_not_named
from frs_core.robot.actions import ActionKind

SPEEDS, POSITIONS, TOOL = ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION, ActionKind.EE_DELTA
AXES = ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]


@pytest.mark.parametrize("kind", ActionKind)
@pytest.mark.parametrize("of", ActionKind)
def test_our_own_names_say_their_kind_and_no_other(kind, of) -> None:
    assert (why_not_named(kind, ACTION_NAMES[of]) is None) is (kind is of)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (SPEEDS, [*(f"joint_{i}" for i in range(7)), "gripper"]),
        (SPEEDS, [*(f"fr3_joint{i}" for i in range(1, 8)), "gripper"]),
        (POSITIONS, [*(f"joint_{i}.pos" for i in range(7)), "gripper.pos"]),
        (
            POSITIONS,
            ["shoulder_yaw", "shoulder_roll", "shoulder_pitch", "elbow", "wrist_yaw", "wrist_roll", "wrist_pitch"],
        ),
        (SPEEDS, ["motors"]),
        (SPEEDS, [f"motor_{i}" for i in range(8)]),
        (SPEEDS, [f"a{i}" for i in range(8)]),
        (SPEEDS, []),
        (TOOL, AXES),
        (TOOL, ["delta_x", "delta_y", "delta_z", "rot_x", "rot_y", "rot_z", "gripper"]),
    ],
)
def test_names_that_agree_or_say_nothing_contradict_nothing(kind, names) -> None:
    assert why_not_named(kind, names) is None


@pytest.mark.parametrize(
    ("kind", "names", "words"),
    [
        (SPEEDS, ["gripper", *(f"joint_{i}" for i in range(7))], "number 1 is called 'gripper', where joint 1's speed"),
        (SPEEDS, [*AXES, "terminate"], "number 1 is called 'x', where joint 1's speed"),
        (SPEEDS, [f"joint_{i}.pos" for i in range(7)], "number 1 is called 'joint_0.pos', where joint 1's speed"),
        (SPEEDS, ["joint_positions"], "number 1 is called 'joint_positions'"),
        (POSITIONS, [f"vel_joint_{i}" for i in range(7)], "number 1 is called 'vel_joint_0', where joint 1's position"),
        (POSITIONS, [f"joint_{i}" for i in (1, 2, 4, 3)], "number 3 is called 'joint_4', where joint 3's position"),
        (SPEEDS, [f"joint_{i}" for i in range(2, 9)], "number 1 is called 'joint_2'"),
        (POSITIONS, [f"joint_{i}" for i in range(8)], "number 8 is called 'joint_7', where the gripper"),
        (POSITIONS, [*(f"joint_{i}" for i in range(7)), "gripper_velocity"], "number 8 is called 'gripper_velocity'"),
        (TOOL, ["y", "x"], "number 1 is called 'y', where the motion along x"),
        (TOOL, ["x", "y", "z", "qx", "qy", "qz", "qw"], "number 4 is called 'qx', where the motion about x"),
        (TOOL, ["joint_1"], "number 1 is called 'joint_1', where the motion along x"),
    ],
)
def test_names_of_another_kind_or_order_are_found(kind, names, words) -> None:
    assert words in (why_not_named(kind, names) or "")
