"""What may be sent of an action: the one limiter, of the arm's world and of every path that is drawn before.

Problem: what a robot is sent of a chunk differs from the chunk, and an operator picks by what is drawn. Idea: `limit_action` says what
is left of one action; a world calls it before it sends a row, `safety.preview` calls it for the rows of all candidates. Speed and
jump depend on the row before, so the state between two rows (`Moving`) is an argument and a result.

Example: at 15 Hz a joint may do 2.175 rad/s, that is 0.145 rad per step. Joint velocity 1.0 asks for 0.2 rad on joint 1: the
whole vector is scaled by 0.725, and the operator reads "the joint speed".

Pure functions without state; called from the inference worker and from the world process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind
from frs_core.robot.cartesian import joints_for, moved_pose, pose_delta
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation

_HAIR = 1e-4
"""Metres outside the box that a joint step may end: joints follow a wall in small arcs."""
_PARTS = 4
"""Of a joint step that would pass a wall. 8 gain little over 4."""
_DAMPING = 0.01
"""Of the least squares; trades accuracy for small steps near singularities."""
JOINT_SPEED, JUMP, WORKSPACE, JOINT_LIMIT = (
    "the joint speed",
    "the jump between steps",
    "the workspace",
    "the limit of joint",
)
"""Limits in words; the last is followed by the joint's number."""


@dataclass(frozen=True, slots=True, eq=False)
class Moving:
    """How an arm moves when an action begins, as far as the limits depend on it."""

    dq: Float[Array, " 7"] = field(default_factory=lambda: np.zeros(7))
    """Joint step of the action before, rad; zero at rest."""
    T_base_command: Float[Array, "4 4"] | None = None
    """Tool pose that was commanded last, to which the next delta is added; None = the measured one."""


AT_REST = Moving()


@dataclass(frozen=True, slots=True, eq=False)
class Limited:
    """What is left of one action."""

    action: Float[Array, " a"]
    """What may be sent, in the kind that was asked for."""
    reasons: tuple[str, ...]
    """Every limit that changed the action, in words; empty if none did."""
    moving: Moving
    """State for the next action, once this one was sent."""
    joints: Float[Array, " 8"] | None = None
    """The same as joint position and gripper, for an end-effector delta that was limited in joints."""


def limit_action(
    action: Float[Array, " a"],
    kind: ActionKind,
    *,
    observation: Observation,
    limits: Limits,
    moving: Moving = AT_REST,
) -> Limited:
    """Return what may be sent of an action, and which limits changed it.

    First the joint speed and the jump against the action before, then the largest step, joint limits and workspace box. An end-effector
    delta is converted to joints where the arm has a joint speed or jump to keep to, else limited as it is.

    Args:
        action: robot units of `kind`, finite.
        kind: how to read it.
        observation: present state; no images needed.
        limits: what to keep to.
        moving: of the action before; at rest after a pause.
    """
    return limit_actions([action], kind, observations=[observation], limits=limits, moving=[moving])[0]


def limit_actions(
    actions: Sequence[Float[Array, " a"]],
    kind: ActionKind,
    *,
    observations: Sequence[Observation],
    limits: Limits,
    moving: Sequence[Moving],
) -> list[Limited]:
    """Return `limit_action` of several actions, each in its own state of one arm with one tool, in one go."""
    sent = [np.array(action, dtype=np.float64) for action in actions]
    for row in sent:
        row[-1] = np.clip(row[-1], 0.0, 1.0)
    if kind is not ActionKind.EE_DELTA:
        return _limit_joints(sent, kind, observations=observations, limits=limits, moving=moving)
    reasons = [_limit_tool_step(row, observation=o, limits=limits) for row, o in zip(sent, observations, strict=True)]
    if not limits.depends_on_motion:
        return [Limited(row, tuple(r), m) for row, r, m in zip(sent, reasons, moving, strict=True)]
    return _limit_as_joints(sent, reasons, observations=observations, limits=limits, moving=moving)


def _limit_joints(
    sent: Sequence[Float[Array, " 8"]],
    kind: ActionKind,
    *,
    observations: Sequence[Observation],
    limits: Limits,
    moving: Sequence[Moving],
) -> list[Limited]:
    """Limit joint velocities or positions; `sent` is the caller's own copy."""
    is_velocity, reasons = kind is ActionKind.JOINT_VELOCITY, [list[str]() for _ in sent]
    q, arm = np.stack([o.q for o in observations]), np.stack(sent)[:, :7]
    steps = arm * JOINT_STEP if is_velocity else arm - q
    steps = _ease(steps, limits=limits, last=np.stack([m.dq for m in moving]), reasons=reasons)
    steps = _limit_joint_steps(steps, observations=observations, limits=limits, reasons=reasons)
    for i, row in enumerate(sent):
        if reasons[i]:
            row[:7] = steps[i] / JOINT_STEP if is_velocity else q[i] + steps[i]
    return [Limited(row, tuple(r), Moving(dq)) for row, r, dq in zip(sent, reasons, steps, strict=True)]


def _ease(
    steps: Float[Array, "B 7"], *, limits: Limits, last: Float[Array, "B 7"], reasons: list[list[str]]
) -> Float[Array, "B 7"]:
    """Return joint steps under the joint speed and the jump, rad; appends the limits that changed them.

    Steps and changes are scaled as a whole: each joint gets the same share, so the motion bends but does not twist.
    """
    if limits.joint_speed is not None:
        speed = (np.abs(steps) / limits.joint_speed).max(axis=1, keepdims=True)
        is_over = speed > 1.0 + 1e-9
        steps = np.where(is_over, steps / np.where(is_over, speed, 1.0), steps)
        _note(is_over[:, 0], JOINT_SPEED, reasons)
    if limits.joint_jump is not None:
        change = steps - last
        jump = np.abs(change).max(axis=1, keepdims=True) / limits.joint_jump
        is_over = jump > 1.0 + 1e-9
        steps = np.where(is_over, last + change / np.where(is_over, jump, 1.0), steps)
        _note(is_over[:, 0], JUMP, reasons)
    return steps


def _note(is_over: Bool[Array, " B"], reason: str, reasons: list[list[str]]) -> None:
    for i in np.flatnonzero(is_over):
        reasons[i].append(reason)


def _limit_as_joints(
    deltas: Sequence[Float[Array, " 7"]],
    reasons: Sequence[list[str]],
    *,
    observations: Sequence[Observation],
    limits: Limits,
    moving: Sequence[Moving],
) -> list[Limited]:
    """Limit end-effector deltas in joints; deltas add up on a commanded pose until the arm rests."""
    T_flange_tcp = kinematics.tool_on_flange(observations[0].q, observations[0].T_base_tcp)
    before = [
        o.T_base_tcp if m.T_base_command is None else m.T_base_command
        for o, m in zip(observations, moving, strict=True)
    ]
    targets = [
        np.append(joints_for(moved_pose(T, delta[:6]), q=o.q, T_flange_tcp=T_flange_tcp), delta[6])
        for T, delta, o in zip(before, deltas, observations, strict=True)
    ]
    allowed = _limit_joints(targets, ActionKind.JOINT_POSITION, observations=observations, limits=limits, moving=moving)
    done: list[Limited] = []
    for T, delta, why, joints in zip(before, deltas, reasons, allowed, strict=True):
        made = delta[:6]
        if joints.reasons:
            made = pose_delta(T, kinematics.flange_pose(joints.action[:7]) @ T_flange_tcp)
        words = tuple(dict.fromkeys((*why, *joints.reasons)))
        now = Moving(joints.moving.dq, moved_pose(T, made))
        done.append(Limited(np.append(made, delta[6]), words, now, joints=joints.action))
    return done


def _limit_tool_step(sent: Float[Array, " 7"], *, observation: Observation, limits: Limits) -> list[str]:
    """Limit an end-effector delta in place; return the limits that changed it."""
    reasons: list[str] = []
    if _scale_down(sent[:3], limits.max_translation):
        reasons.append("the largest tool step")
    if _scale_down(sent[3:6], limits.max_rotation):
        reasons.append("the largest tool turn")
    target = observation.p_tcp + sent[:3]
    inside = _into_box(target, observation.p_tcp, limits)
    if not np.allclose(inside, target, atol=1e-9):
        sent[:3] = inside - observation.p_tcp
        reasons.append(WORKSPACE)
    return reasons


def _limit_joint_steps(
    steps: Float[Array, "B 7"], *, observations: Sequence[Observation], limits: Limits, reasons: list[list[str]]
) -> Float[Array, "B 7"]:
    """Return the joint steps that may be made, rad; appends the limits that changed them."""
    q = np.stack([o.q for o in observations])
    largest = np.abs(steps).max(axis=1, keepdims=True)
    is_over = largest > limits.max_joint_step + 1e-9
    limited = np.where(is_over, steps * (limits.max_joint_step / np.where(is_over, largest, 1.0)), steps)
    _note(is_over[:, 0], "the largest joint step", reasons)
    # A joint already past its margin may stay or come back, not move further.
    low = np.minimum(limits.joint_low + limits.joint_margin, q)
    high = np.maximum(limits.joint_high - limits.joint_margin, q)
    target = np.clip(q + limited, low, high)
    for i in np.flatnonzero(~np.isclose(target, q + limited, atol=1e-9).all(axis=1)):
        reasons[i].append(f"{JOINT_LIMIT} {int(np.argmax(np.abs(target - q - limited)[i])) + 1}")
    limited = target - q
    T_flange_tcp = kinematics.tool_on_flange(observations[0].q, observations[0].T_base_tcp)
    after = (kinematics.flange_pose(q + limited) @ T_flange_tcp)[:, :3, 3]
    most_outside = np.maximum(outside(np.stack([o.p_tcp for o in observations]), limits), _HAIR)
    for i in np.flatnonzero(outside(after, limits) > most_outside):
        reasons[i].append(WORKSPACE)
        limited[i] = _step_at_the_wall(
            limited[i], observation=observations[i], T_flange_tcp=T_flange_tcp, limits=limits, low=low[i], high=high[i]
        )
    return limited


def _step_at_the_wall(
    step: Float[Array, " 7"],
    *,
    observation: Observation,
    T_flange_tcp: Float[Array, "4 4"],
    limits: Limits,
    low: Float[Array, " 7"],
    high: Float[Array, " 7"],
) -> Float[Array, " 7"]:
    """Return the joint step that may be made instead of one that leaves the box, rad."""
    q = observation.q
    most_outside = max(float(outside(observation.p_tcp, limits)), _HAIR)

    def tool_at(dq: Float[Array, " 7"]) -> Float[Array, " 3"]:
        return (kinematics.flange_pose(q + dq) @ T_flange_tcp)[:3, 3]

    slid = _along_the_wall(step, observation=observation, T_flange_tcp=T_flange_tcp, limits=limits)
    slid = np.clip(q + slid, low, high) - q
    wish = _into_box(tool_at(step), observation.p_tcp, limits) - observation.p_tcp

    def leaves(dq: Float[Array, " 7"]) -> bool:
        return float(outside(tool_at(dq), limits)) > most_outside

    def bounces(dq: Float[Array, " 7"]) -> bool:
        return float((tool_at(dq) - observation.p_tcp) @ wish) < -2 * _HAIR * float(np.linalg.norm(wish))

    # What is still outside (a singular arm, a joint limit), or goes back from a corner's walls further than the hair, goes
    # less far; standing still does neither.
    shares = (share * slid for share in (1.0, 0.75, 0.5, 0.25, 0.1))
    return next((dq for dq in shares if not leaves(dq) and not bounces(dq)), np.zeros(7))


def _along_the_wall(
    step: Float[Array, " 7"],
    *,
    observation: Observation,
    T_flange_tcp: Float[Array, "4 4"],
    limits: Limits,
) -> Float[Array, " 7"]:
    """Return a joint step whose tool stays in the box instead of passing its wall, no longer than the one asked for.

    The way leads a hair inside the wall: joints follow it in small arcs, and at the very edge nothing would be left but to stand.
    """
    p = observation.p_tcp
    hair = np.minimum(_HAIR, 0.25 * (limits.workspace_high - limits.workspace_low))
    inner = replace(limits, workspace_low=limits.workspace_low + hair, workspace_high=limits.workspace_high - hair)
    start = p if outside(p, limits) > _HAIR else np.clip(p, inner.workspace_low, inner.workspace_high)

    def walked(step: Float[Array, " 7"]) -> Float[Array, " 7"]:
        # In parts, each brought back before the next: a long one would end too far behind the wall for a straight way back.
        dq = np.zeros(7)
        for _ in range(_PARTS):
            dq = dq + step / _PARTS
            for _ in range(2):
                J, T = kinematics.tool_jacobian(observation.q + dq, T_flange_tcp)
                back = np.append(_into_box(T[:3, 3], start, inner) - T[:3, 3], np.zeros(3))
                dq = dq + kinematics.damped_step(J, back, damping=_DAMPING)
        return dq

    asked, share, slid = float(np.abs(step).max()), 1.0, step
    for _ in range(3):
        slid = walked(share * step)
        longest = float(np.abs(slid).max())
        if longest <= asked:
            return slid
        # Made shorter by asking for less: scaling would cut the way back short.
        share *= 0.98 * asked / longest
    return slid * min(1.0, asked / float(np.abs(slid).max()))


def outside(points: Float[Array, "*b 3"], limits: Limits) -> Float[Array, "*b"]:
    """Return how far points are outside the workspace box, metres; 0 inside."""
    excess = np.maximum(limits.workspace_low - points, points - limits.workspace_high)
    return np.asarray(np.maximum(excess, 0.0).max(axis=-1))


def _into_box(target: Float[Array, " 3"], start: Float[Array, " 3"], limits: Limits) -> Float[Array, " 3"]:
    """Return the target inside the box; a start outside may stay or come back, not go further out."""
    low = np.minimum(limits.workspace_low, start)
    high = np.maximum(limits.workspace_high, start)
    return np.clip(target, low, high)


def _scale_down(vector: Float[Array, " n"], largest: float) -> bool:
    """Shorten a vector view in place to a length; tell whether it was longer."""
    length = float(np.linalg.norm(vector))
    if length <= largest + 1e-9:
        return False
    vector *= largest / length
    return True
