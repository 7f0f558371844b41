"""What DROID writes beside an action: the same motion in joint, Cartesian and gripper terms.

Problem: DROID's readers and its replay want every action in all of its spaces, an episode of ours knows the one that was
sent. Idea: turn each into the joint step it makes, and derive the rest by forward kinematics, with DROID's units.

Example: joint velocity 0.5 on joint 1 is a joint position 0.1 rad further, the flange pose there, and the Cartesian velocity
that pose difference makes at 0.075 m and 0.15 rad per step.

Pure functions; any thread.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind
from frs_core.robot.rotations import euler_angles
from frs_core.worlds.droid.calibration import pose_numbers

LINEAR_STEP = 0.075
"""Metres per step at Cartesian velocity 1. Source: droid/robot_ik/robot_ik_solver.py (max_lin_delta)."""
ROTATION_STEP = 0.15
"""rad per step at Cartesian velocity 1. Source: same (max_rot_delta)."""
GRIPPER_STEP = 0.25
"""Opening per step at gripper velocity 1. Source: same (max_gripper_delta)."""


@dataclass(frozen=True, slots=True, eq=False)
class DroidActions:
    """One episode's actions in all of DROID's spaces."""

    joint_position: Float[Array, "N 7"]
    joint_velocity: Float[Array, "N 7"]
    cartesian_position: Float[Array, "N 6"]
    """Flange pose, metres and extrinsic xyz Euler angles."""
    cartesian_velocity: Float[Array, "N 6"]
    gripper_position: Float[Array, " N"]
    gripper_velocity: Float[Array, " N"]


def flange_numbers(q: Float[Array, "N 7"]) -> Float[Array, "N 6"]:
    """Return DROID's `cartesian_position` of joint positions."""
    return np.array([pose_numbers(T) for T in kinematics.flange_pose(q)]).reshape(-1, 6)


def droid_actions(
    actions: Float[Array, "N a"],
    kind: ActionKind,
    *,
    q: Float[Array, "N 7"],
    gripper: Float[Array, " N"],
    T_base_tcp: Float[Array, "N 4 4"],
) -> DroidActions:
    """Return actions in all of DROID's spaces.

    Args:
        actions: as sent, robot units of `kind`.
        kind: how to read them.
        q: measured joints before each, rad.
        gripper: measured opening before each, 0 open .. 1 closed.
        T_base_tcp: measured tool pose before each.
    """
    arm = np.asarray(actions[:, :-1], dtype=np.float64)
    if kind is ActionKind.JOINT_VELOCITY:
        dq = JOINT_STEP * arm
    elif kind is ActionKind.JOINT_POSITION:
        dq = arm - q
    else:
        dq = np.array([_joint_step(*row) for row in zip(q, arm, T_base_tcp, strict=True)]).reshape(-1, 7)
    now, then = kinematics.flange_pose(q), kinematics.flange_pose(q + dq)
    shift = (then - now)[:, :3, 3] / LINEAR_STEP
    turn = then[:, :3, :3] @ np.swapaxes(now[:, :3, :3], -1, -2)
    target = np.clip(np.asarray(actions[:, -1], dtype=np.float64), 0.0, 1.0)
    return DroidActions(
        joint_position=q + dq,
        joint_velocity=dq / JOINT_STEP,
        cartesian_position=flange_numbers(q + dq),
        cartesian_velocity=np.concatenate([shift, euler_angles(turn) / ROTATION_STEP], axis=1),
        gripper_position=target,
        gripper_velocity=(target - gripper) / GRIPPER_STEP,
    )


def _joint_step(
    q: Float[Array, " 7"], action: Float[Array, " 6"], T_base_tcp: Float[Array, "4 4"]
) -> Float[Array, " 7"]:
    """Return the joint step of a tool motion."""
    tool = float(np.linalg.norm(T_base_tcp[:3, 3] - kinematics.flange_pose(q)[:3, 3]))
    return kinematics.joint_step(q, action, tool_offset=tool)
