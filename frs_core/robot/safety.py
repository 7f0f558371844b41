"""Limits that every chunk is checked against before it is offered, and every action before it is sent.

Problem: a policy may ask for anything. Idea: one frozen `Limits` answers both questions, on the preview (`check_chunks`:
what would this candidate run into?) and on the robot (`limit_action`: what may be sent of this action?). The preview
informs the operator; the limiter protects, and the world process applies it whatever the session sends.

Example: the tool is 30 mm above the table and a candidate goes down 16 mm per row for 4 rows: `hits_table` is true and
the words are "Hits the table in row 2".

Pure functions without state; called from the inference worker and from the world process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind, ActionSpace
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation

_HAIR = 1e-4
"""Metres outside the box that a joint step may end: joints follow a wall in small arcs."""
_PARTS = 4
"""Of a joint step that would pass a wall. 8 gain little over 4."""
_DAMPING = 0.01
"""Of the least squares; trades accuracy for small steps near singularities."""


@dataclass(frozen=True, slots=True)
class ChunkCheck:
    """What one candidate would run into over the rows that would be executed."""

    leaves_workspace: bool
    near_joint_limit: bool
    hits_table: bool
    warnings: tuple[str, ...]
    """Most important first."""


def check_chunks(
    chunks: Float[Array, "B H a"],
    paths: Float[Array, "B H+1 3"],
    space: ActionSpace,
    *,
    observation: Observation,
    limits: Limits | None,
    rows: int,
) -> list[ChunkCheck]:
    """Return what each candidate would run into.

    Args:
        chunks: robot units, clipped to the action limits.
        paths: tool centres, base frame, metres, as `space.path` gives them.
        space: what the numbers mean.
        observation: state the chunks start from.
        limits: where the arm may be; None = not known, and nothing is found.
        rows: how many rows would be executed.
    """
    if limits is None:
        return [ChunkCheck(False, False, False, ())] * len(chunks)
    points = paths[:, 1 : rows + 1]
    # A start just outside the box (after a clip) must not forbid the way back in: only moving out counts.
    start_out = _outside(paths[:, :1], limits)
    out = _outside(points, limits)
    leaves = (out > np.maximum(start_out, 1e-4)).astype(bool)
    if limits.table_height is None:
        hits = np.zeros_like(leaves)
    else:
        floor = limits.table_height + limits.table_margin
        hits = (points[..., 2] < floor) & (points[..., 2] < paths[:, :1, 2] - 1e-4)
    near = _near_joint_limit(chunks[:, :rows], space, observation=observation, limits=limits)
    return [_words(leaves[i], hits[i], near[i]) for i in range(len(chunks))]


def limit_action(
    action: Float[Array, " a"], kind: ActionKind, *, observation: Observation, limits: Limits
) -> tuple[Float[Array, " a"], tuple[str, ...]]:
    """Return what may be sent of an action, and which limits changed it, in words.

    Args:
        action: robot units of `kind`, finite.
        kind: how to read it.
        observation: present state.
        limits: what to keep to.
    """
    sent = np.array(action, dtype=np.float64)
    sent[-1] = np.clip(sent[-1], 0.0, 1.0)
    reasons: list[str] = []
    if kind is ActionKind.EE_DELTA:
        if _scale_down(sent[:3], limits.max_translation):
            reasons.append("the largest tool step")
        if _scale_down(sent[3:6], limits.max_rotation):
            reasons.append("the largest tool turn")
        target = observation.p_tcp + sent[:3]
        inside = _into_box(target, observation.p_tcp, limits)
        if not np.allclose(inside, target, atol=1e-9):
            sent[:3] = inside - observation.p_tcp
            reasons.append("the workspace")
        return sent, tuple(reasons)
    step = sent[:7] * JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else sent[:7] - observation.q
    limited = _limit_joint_step(step, observation=observation, limits=limits, reasons=reasons)
    if reasons:
        sent[:7] = limited / JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else observation.q + limited
    return sent, tuple(reasons)


def _limit_joint_step(
    step: Float[Array, " 7"], *, observation: Observation, limits: Limits, reasons: list[str]
) -> Float[Array, " 7"]:
    """Return the joint step that may be made, rad; appends the limits that changed it."""
    q, limited = observation.q, step.copy()
    largest = float(np.abs(limited).max())
    if largest > limits.max_joint_step + 1e-9:
        limited *= limits.max_joint_step / largest
        reasons.append("the largest joint step")
    # A joint already past its margin may stay or come back, not go on.
    low = np.minimum(limits.joint_low + limits.joint_margin, q)
    high = np.maximum(limits.joint_high - limits.joint_margin, q)
    target = np.clip(q + limited, low, high)
    if not np.allclose(target, q + limited, atol=1e-9):
        reasons.append(f"the limit of joint {int(np.argmax(np.abs(target - q - limited))) + 1}")
    limited = target - q
    T_flange_tcp = np.linalg.inv(kinematics.flange_pose(q)) @ observation.T_base_tcp
    most_outside = max(float(_outside(observation.p_tcp, limits)), _HAIR)

    def tool_at(dq: Float[Array, " 7"]) -> Float[Array, " 3"]:
        return (kinematics.flange_pose(q + dq) @ T_flange_tcp)[:3, 3]

    def leaves(dq: Float[Array, " 7"]) -> bool:
        return float(_outside(tool_at(dq), limits)) > most_outside

    if leaves(limited):
        reasons.append("the workspace")
        slid = _along_the_wall(limited, observation=observation, T_flange_tcp=T_flange_tcp, limits=limits)
        slid = np.clip(q + slid, low, high) - q
        wish = _into_box(tool_at(limited), observation.p_tcp, limits) - observation.p_tcp

        def bounces(dq: Float[Array, " 7"]) -> bool:
            return float((tool_at(dq) - observation.p_tcp) @ wish) < -2 * _HAIR * float(np.linalg.norm(wish))

        # What is still outside (a singular arm, a joint limit), or goes back from a corner's walls further than the hair, goes
        # less far; standing still does neither.
        shares = (share * slid for share in (1.0, 0.75, 0.5, 0.25, 0.1))
        limited = next((dq for dq in shares if not leaves(dq) and not bounces(dq)), np.zeros(7))
    return limited


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
    start = p if _outside(p, limits) > _HAIR else np.clip(p, inner.workspace_low, inner.workspace_high)

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


def _outside(points: Float[Array, "*b 3"], limits: Limits) -> Float[Array, "*b"]:
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


def _near_joint_limit(
    chunks: Float[Array, "B E a"], space: ActionSpace, *, observation: Observation, limits: Limits
) -> Bool[Array, "B 7"]:
    """Return which joints would come within the margin of a limit and closer to it than now.

    In end-effector space the joints are estimated along the present Jacobian: good to some hundredths of a rad over the
    few rows that are executed.
    """
    q = observation.q
    if space.kind is ActionKind.EE_DELTA:
        J = kinematics.jacobian(q)
        pull = J.T @ np.linalg.inv(J @ J.T + _DAMPING**2 * np.eye(6))
        path = q + space.reach * np.cumsum(chunks[..., :6], axis=1) @ pull.T
    elif space.kind is ActionKind.JOINT_VELOCITY:
        path = q + JOINT_STEP * np.cumsum(chunks[..., :7], axis=1)
    else:
        path = chunks[..., :7].astype(np.float64)
    too_low = (path < limits.joint_low + limits.joint_margin) & (path < q - 1e-4)
    too_high = (path > limits.joint_high - limits.joint_margin) & (path > q + 1e-4)
    return np.any(too_low | too_high, axis=1, keepdims=False)


def _words(leaves: Bool[Array, " E"], hits: Bool[Array, " E"], near: Bool[Array, " 7"]) -> ChunkCheck:
    warnings: list[str] = []
    if hits.any():
        warnings.append(f"Hits the table in row {int(np.argmax(hits)) + 1}")
    if leaves.any():
        warnings.append(f"Leaves the workspace in row {int(np.argmax(leaves)) + 1}")
    joints: Sequence[int] = (np.flatnonzero(near) + 1).tolist()
    if joints:
        names = ", ".join(map(str, joints))
        warnings.append(f"Comes near the limit of joint{'s' if len(joints) > 1 else ''} {names}")
    return ChunkCheck(bool(leaves.any()), bool(joints), bool(hits.any()), tuple(warnings))
