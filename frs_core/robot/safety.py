"""What a candidate would do under the limits, and what it would run into, before it is offered.

Problem: a policy may ask for anything, and an operator picks by what is drawn. Idea: one frozen `Limits` answers on the preview
(`preview`: where would the arm go? `check_chunks`: what would this candidate run into?) and on the robot
(`limiting.limit_action`: what may be sent of this action?). The preview informs the operator; the limiter protects, and the world
process applies it whatever the session sends.

Example: the tool is 30 mm above the table and a candidate goes down 16 mm per row for 4 rows: `hits_table` is true and
the words are "Hits the table in row 2".

Pure functions without state; called from the inference worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.robot import kinematics, self_collision
from frs_core.robot.actions import JOINT_STEP, ActionKind, ActionSpace
from frs_core.robot.limiting import AT_REST, JOINT_LIMIT, WORKSPACE, limit_actions, outside
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation

_DAMPING = 0.01
"""Of the least squares; trades accuracy for small steps near singularities."""
Cuts = tuple[tuple[str, ...], ...]
"""Per row of a chunk the limits that cut it, in words as `limit_action` gives them."""


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """Where chunks would take the tool."""

    paths: Float[Array, "B points 3"]
    """Tool centres, base frame, metres; point 0 is the present one."""
    cuts: tuple[Cuts, ...] | None
    """What was cut of each chunk; None where the paths are as asked."""


def preview(
    chunks: Float[Array, "B H a"], space: ActionSpace, *, observation: Observation, limits: Limits | None
) -> Preview:
    """Return the paths of chunks that begin at rest.

    Where an arm may have to go more slowly than asked (`Limits.depends_on_motion`), each path is what `limit_action` leaves of the
    chunk, row by row, on an arm that arrives where it is sent. Elsewhere it is drawn as asked, and `check_chunks` says what it runs into.

    Args:
        chunks: robot units.
        space: what the numbers mean.
        observation: state the chunks start from.
        limits: what the world enforces; None = not known.
    """
    if limits is None or not limits.depends_on_motion or not len(chunks):
        return Preview(space.path(chunks, observation), None)
    T_flange_tcp = kinematics.tool_on_flange(observation.q, observation.T_base_tcp)
    paths = np.empty((len(chunks), chunks.shape[1] + 1, 3))
    paths[:, 0] = observation.p_tcp
    now, moving = [observation] * len(chunks), [AT_REST] * len(chunks)
    cuts: list[list[tuple[str, ...]]] = [[] for _ in chunks]
    for i, actions in enumerate(np.swapaxes(space.clip(chunks), 0, 1), start=1):
        allowed = limit_actions(list(actions), space.kind, observations=now, limits=limits, moving=moving)
        moving = [a.moving for a in allowed]
        q = np.stack([o.q for o in now]) + np.stack([m.dq for m in moving])
        T_base_tcp = kinematics.flange_pose(q) @ T_flange_tcp
        paths[:, i] = T_base_tcp[:, :3, 3]
        now = [replace(observation, q=q[b], T_base_tcp=T_base_tcp[b]) for b in range(len(q))]
        for reasons, a in zip(cuts, allowed, strict=True):
            reasons.append(a.reasons)
    return Preview(paths, tuple(map(tuple, cuts)))


@dataclass(frozen=True, slots=True)
class ChunkCheck:
    """What one candidate would run into over the rows that would be executed."""

    leaves_workspace: bool
    near_joint_limit: bool
    hits_table: bool
    hits_itself: bool
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
    cuts: Sequence[Cuts] | None = None,
) -> list[ChunkCheck]:
    """Return what each candidate would run into.

    Args:
        chunks: robot units, clipped to the action limits.
        paths: tool centres, base frame, metres, as `preview` gives them.
        space: what the numbers mean.
        observation: state the chunks start from.
        limits: where the arm may be; None = not known, and nothing is found.
        rows: how many rows would be executed.
        cuts: of the same preview; each limit that cuts a row is warned of. None = the paths are as asked, and are judged by themselves.
    """
    if limits is None:
        return [ChunkCheck(False, False, False, False, ())] * len(chunks)
    points = paths[:, 1 : rows + 1]
    if limits.table_height is None:
        hits = np.zeros(points.shape[:2], dtype=bool)
    else:
        floor = limits.table_height + limits.table_margin
        hits = (points[..., 2] < floor) & (points[..., 2] < paths[:, :1, 2] - 1e-4)
    joints = _joint_path(chunks[:, :rows], space, observation=observation)  # As asked, also where limits cut it.
    itself = np.zeros(points.shape[:2], dtype=bool)
    if limits.knows_links:
        itself, below = _link_hits(joints, observation=observation, limits=limits)
        hits |= below
    if cuts is not None:
        return [_words_of_cuts(hits[i], itself[i], cuts[i][:rows]) for i in range(len(chunks))]
    # A start just outside the box (after a clip) must not forbid the way back in: only moving out counts.
    start_out = outside(paths[:, :1], limits)
    out = outside(points, limits)
    leaves = (out > np.maximum(start_out, 1e-4)).astype(bool)
    near = _near_joint_limit(joints, q=observation.q, limits=limits)
    return [_words(leaves[i], hits[i], itself[i], near[i]) for i in range(len(chunks))]


def _joint_path(
    chunks: Float[Array, "B E a"], space: ActionSpace, *, observation: Observation
) -> Float[Array, "B E 7"]:
    """Return where the joints would be after each row, as asked.

    In end-effector space they are estimated along the present Jacobian: good to some hundredths of a rad over the
    few rows that are executed.
    """
    q = observation.q
    if space.kind is ActionKind.EE_DELTA:
        J = np.broadcast_to(kinematics.jacobian(q), (6, 6, 7))
        step_of_axis = kinematics.damped_step(J, np.eye(6), damping=_DAMPING)
        return q + space.reach * np.cumsum(chunks[..., :6], axis=1) @ step_of_axis
    if space.kind is ActionKind.JOINT_VELOCITY:
        return q + JOINT_STEP * np.cumsum(chunks[..., :7], axis=1)
    return chunks[..., :7].astype(np.float64)


def _link_hits(
    joints: Float[Array, "B E 7"], *, observation: Observation, limits: Limits
) -> tuple[Bool[Array, "B E"], Bool[Array, "B E"]]:
    """Return in which rows links would come within the margin of one another, and of the table, and closer to it than now."""
    T_flange_tcp = kinematics.tool_on_flange(observation.q, observation.T_base_tcp)
    gaps, gap = self_collision.clearance(joints, T_flange_tcp), self_collision.clearance(observation.q, T_flange_tcp)
    itself = (gaps < limits.link_margin) & (gaps < gap - 1e-3)
    if limits.table_height is None:
        return itself, np.zeros_like(itself)
    heights, height = self_collision.lowest(joints), self_collision.lowest(observation.q)
    return itself, (heights < limits.table_height + limits.table_margin) & (heights < height - 1e-3)


def _near_joint_limit(path: Float[Array, "B E 7"], *, q: Float[Array, " 7"], limits: Limits) -> Bool[Array, "B 7"]:
    """Return which joints would come within the margin of a limit and closer to it than now."""
    too_low = (path < limits.joint_low + limits.joint_margin) & (path < q - 1e-4)
    too_high = (path > limits.joint_high - limits.joint_margin) & (path > q + 1e-4)
    return np.any(too_low | too_high, axis=1, keepdims=False)


def _words(
    leaves: Bool[Array, " E"], hits: Bool[Array, " E"], itself: Bool[Array, " E"], near: Bool[Array, " 7"]
) -> ChunkCheck:
    warnings: list[str] = []
    if itself.any():
        warnings.append(f"The arm hits itself in row {int(np.argmax(itself)) + 1}")
    if hits.any():
        warnings.append(f"Hits the table in row {int(np.argmax(hits)) + 1}")
    if leaves.any():
        warnings.append(f"Leaves the workspace in row {int(np.argmax(leaves)) + 1}")
    joints: Sequence[int] = (np.flatnonzero(near) + 1).tolist()
    if joints:
        names = ", ".join(map(str, joints))
        warnings.append(f"Comes near the limit of joint{'s' if len(joints) > 1 else ''} {names}")
    return ChunkCheck(bool(leaves.any()), bool(joints), bool(hits.any()), bool(itself.any()), tuple(warnings))


def _words_of_cuts(hits: Bool[Array, " E"], itself: Bool[Array, " E"], cuts: Cuts) -> ChunkCheck:
    """Return the verdict on a path after limits: what was cut of it would otherwise have been run into."""
    leaves = np.array([WORKSPACE in reasons for reasons in cuts], dtype=bool)
    joints = {int(r.removeprefix(JOINT_LIMIT)) for reasons in cuts for r in reasons if r.startswith(JOINT_LIMIT)}
    near = np.isin(np.arange(1, 8), list(joints))
    check = _words(leaves, hits, itself, near)
    first: dict[str, int] = {}
    for row, reasons in enumerate(cuts, start=1):
        for reason in reasons:
            if reason != WORKSPACE and not reason.startswith(JOINT_LIMIT):
                first.setdefault(reason, row)
    cut = tuple(f"Cut by {reason} in row {row}" for reason, row in first.items())
    return replace(check, warnings=(*check.warnings, *cut))
