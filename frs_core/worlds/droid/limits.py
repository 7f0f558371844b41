"""The last limits on what is sent to a DROID arm: joint speed and jumps first, then the limits every world has.

Problem: DROID's own numbers allow 3 rad/s, more than the arm's limit, and nothing checks the transition between two chunks.
Idea: the joint step of one control period (`dq`, rad) is scaled as a whole under the joint speeds, its change against the step
before is capped, and `safety.limit_action` does the rest (step size, joint limits, workspace box).

Example: at 15 Hz a joint may do 2.175 rad/s, that is 0.145 rad per step. Joint velocity 1.0 asks for 0.2 rad on joint 1: the
whole vector is scaled by 0.725, and the operator reads "the joint speed".
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ShapeMismatch, WorldError
from frs_core.robot import kinematics, safety
from frs_core.robot.actions import JOINT_STEP, ActionKind
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation

SEAM_S = 0.3
"""After a pause this long the arm has settled, and the next step is measured against standing still."""


@dataclass(frozen=True, slots=True, eq=False)
class DroidLimits:
    """Limits of the arm."""

    base: Limits
    """Workspace, joint limits, largest joint step."""
    joint_speed: Float[Array, " 7"] = field(default_factory=kinematics.DQ_MAX.copy)
    """rad/s."""
    jump: float = 0.1
    """rad per step by which one joint step may differ from the one before (0.1 = 22 rad/s² at 15 Hz). Guess; half of the
    largest DROID step, so a fast motion needs two steps to start, to stop or to reverse."""
    control_hz: float = 15.0


def limit_action(
    action: Float[Array, " A"],
    kind: ActionKind,
    *,
    observation: Observation,
    last_dq: Float[Array, " 7"],
    limits: DroidLimits,
) -> tuple[Float[Array, " 8"], Float[Array, " 7"], tuple[str, ...]]:
    """Return what may be sent, its joint step in rad, and every limit that changed the action, in words.

    Args:
        action: joint velocities (fractions of 0.2 rad per step) or joint positions (rad), then the gripper.
        kind: which of the two.
        observation: measured state; no images needed.
        last_dq: joint step sent one period ago, rad; zero after a pause.
        limits: what is allowed.
    Raises:
        ShapeMismatch: wrong size or kind.
        WorldError: a number is not finite.
    """
    asked = np.asarray(action, dtype=np.float64)
    if kind is ActionKind.EE_DELTA or asked.shape != (kind.size,):
        raise ShapeMismatch(
            f"A DROID action is joint_velocity or joint_position with 8 numbers, got {kind.value} with shape {asked.shape}. "
            f"Choose a policy with one of these action spaces."
        )
    if not np.isfinite(asked).all():
        raise WorldError(f"The action holds non-finite numbers: {asked}. Check the policy with `frs policy check`.")
    is_velocity = kind is ActionKind.JOINT_VELOCITY
    dq = JOINT_STEP * asked[:7] if is_velocity else asked[:7] - observation.q
    reasons: list[str] = []
    speed = float((np.abs(dq) * limits.control_hz / limits.joint_speed).max())
    if speed > 1.0 + 1e-9:
        dq = dq / speed
        reasons.append("the joint speed")
    change = dq - last_dq
    jump = float(np.abs(change).max()) / limits.jump
    if jump > 1.0 + 1e-9:
        # Scaled as a whole: each joint gets the same share of its change, so the motion bends but does not twist.
        dq = last_dq + change / jump
        reasons.append("the jump between steps")
    eased = np.append(dq / JOINT_STEP if is_velocity else observation.q + dq, asked[7])
    sent, more = safety.limit_action(eased, kind, observation=observation, limits=limits.base)
    dq = JOINT_STEP * sent[:7] if is_velocity else sent[:7] - observation.q
    return sent, dq, (*reasons, *more)
