"""A demonstration made elsewhere, recorded as an episode: chunks with one offer, picked by a person, without a noise.

Problem: every import ends in the same chunks, and one that breaks must leave nothing half made. Idea: importers bring arrays and a
function for images; this cuts them into chunks, never across a gap, records them, and drops the recording if anything fails.

Example: 27 steps with a gap before step 20 and 8 rows per chunk become chunks of 8, 8, 4 and 7 steps.

Any thread.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.episodes.records import ChunkRecord, EpisodeMeta, StepRecord
from frs_core.episodes.store import EpisodeStore
from frs_core.episodes.writer import JournalRecorder
from frs_core.errors import EpisodeError, EpisodeUnconfirmed
from frs_core.events import Driver, Latency, Outcome
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind, ActionSpace, ee_delta_space
from frs_core.robot.observation import FULL_TURN, WIDEST_GRIPPER, CameraFrame, Observation
from frs_core.runtime.foreign import in_line
from frs_core.steering.candidates import CandidateKind, Verdict
from frs_core.steering.directions import Gripper

DEMONSTRATION = "demonstration"
"""Label of the only offer, and name of the policy that there was not."""

FASTEST_JOINT = 20.0
"""rad/s. Guess: four times the fastest joint of a Franka arm (5.26, FR3 data sheet); degrees per second are 57 times as many."""
LARGEST_VELOCITY = 5.0
"""Joint velocities of actions, whose 1 is `JOINT_STEP` per step. Guess: DROID clips them to 1; percent and degrees go to 50 and above."""
LONGEST_STEP, WIDEST_TURN, SLOW_HZ = 0.5, 1.0, 5.0
"""Metres and rad that an arm's tool is asked to move in one step, at this rate or a higher one; longer at lower rates. Guess: five times what an
arm does at 1.7 m/s and 2.5 rad/s (Franka's data sheet) and 15 Hz; millimetres and degrees per step are 1000 and 57 times as many."""
_OVERSHOOT = 0.1
"""How far beyond open or closed a gripper's numbers go where they are shares of its opening."""

_NARROW, _WIDTH = 0.02, 0.1
"""A gripper's numbers that go beyond the one and never beyond the other may be metres between its fingers. Guess: 0.08 of Franka's hand and 0.085 of
Robotiq's 2F-85 with some play; an open gripper's share stays below the one."""


@dataclass(frozen=True, slots=True, eq=False)
class Demonstration:
    """The steps of one demonstration."""

    q: Float[Array, "N 7"]
    """Measured joints before each action, rad."""
    dq: Float[Array, "N 7"]
    """rad/s."""
    gripper: Float[Array, " N"]
    """Measured, 0 open .. 1 closed."""
    actions: Float[Array, "N a"]
    """As sent, robot units; the last column is the gripper's."""
    times_ns: Int[Array, " N"]
    """Rising."""
    gaps: frozenset[int]
    """Steps that do not follow the one before."""
    frames: Callable[[int], Mapping[str, CameraFrame]]
    """Images of a step; asked for in order, a step possibly twice."""
    device: str
    """What it was made with, e.g. "droid"."""
    instructions: tuple[str, ...] = ()
    """Of each step; empty = all have the episode's. No chunk has two."""


def demonstrated_space(kind: ActionKind, *, hz: float = 15.0) -> ActionSpace:
    """Return an action space for actions kept in robot units.

    Args:
        kind: what they mean.
        hz: actions per second.
    """
    if kind is ActionKind.EE_DELTA:
        return ee_delta_space(translation=1.0, rotation=1.0, control_hz=hz)
    is_velocity = kind is ActionKind.JOINT_VELOCITY
    low = np.append(np.full(7, -1.0) if is_velocity else kinematics.Q_LOW, 0.0).astype(np.float32)
    high = np.append(np.ones(7) if is_velocity else kinematics.Q_HIGH, 1.0).astype(np.float32)
    return ActionSpace(kind, np.zeros(8, np.float32), np.ones(8, np.float32), low, high, hz)


def single(values: Float[Array, "N a"]) -> Float[Array, "N a"]:
    """Return numbers in single precision, as actions are sent; what is too large for it becomes infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def record_demonstration(
    demonstration: Demonstration,
    store: EpisodeStore,
    meta: EpisodeMeta,
    *,
    source: str,
    outcome: Outcome,
    note: str,
    tool_offset: float,
) -> str:
    """Record a demonstration and return the episode's name; a failure leaves nothing in the store.

    Args:
        demonstration: at least one step.
        store: where to record.
        meta: the episode's facts; its horizon is the rows of a chunk.
        source: where its numbers were read, for errors, such as "'trajectory.h5'".
        outcome: how it ended.
        note: a few words.
        tool_offset: flange to fingertips, metres.
    Raises:
        EpisodeUnconfirmed: recorded, but a power cut could still take it.
        EpisodeUnwritten: the disk refused.
        StoreLocked: another program records into the store.
        EpisodeError: numbers too large for their units, or an image cannot be read.
    """
    _require_units(demonstration, meta.action_space, source)
    recorder, name, n = JournalRecorder(store, is_all_or_nothing=True), "", len(demonstration.q)
    try:
        for index, (first, last) in enumerate(
            _stretches(n, meta.horizon, demonstration.gaps | _changes(demonstration.instructions))
        ):
            seen = [_observe(demonstration, s, meta, tool_offset) for s in range(first, last)]
            after = _observe(demonstration, min(last, n - 1), meta, tool_offset)
            if index == 0:
                name = recorder.begin(meta)
            recorder.chunk(_chunk(index, seen, after, demonstration.actions[first:last], meta, demonstration.device))
        recorder.end(outcome, in_line(note))
    except EpisodeUnconfirmed:
        # It is committed; its journal stays and is recognised by the next writer.
        recorder.abort()
        raise
    except BaseException:
        recorder.drop()
        raise
    return name


def say_gripper_range(values: Float[Array, " n"], what: str, done: str, remarks: list[str]) -> None:
    """Add a remark where a gripper's numbers go further beyond 0 (open) and 1 (closed) than they overshoot, or look like metres.

    Args:
        values: as recorded.
        what: they are.
        done: with those outside: "clipped" or "kept".
        remarks: to add to.
    """
    if len(values) and _NARROW < values.max() <= _WIDTH:
        remarks.append(
            f"{what}: no number is above {values.max():.3g}, read as shares from 0 (open) to 1 (closed), so nearly open throughout; if these are metres, "
            f"convert them to shares and import again with --again"
        )
    if n := int(((values < -_OVERSHOOT) | (values > 1 + _OVERSHOOT)).sum()):
        remarks.append(
            f"{what}: {counted(n, 'number')} outside 0 (open) to 1 (closed), from {values.min():.3g} to {values.max():.3g}, {done}"
        )


def gripper_shares(values: Float[Array, " n"], what: str, remarks: list[str]) -> Float[Array, " n"]:
    """Return a gripper's numbers clipped to 0 .. 1, saying what was far outside; what cannot be shares at all is returned as it is, and
    refused when the episode is made."""
    if not len(values) or np.abs(values).max() > WIDEST_GRIPPER:
        return values
    say_gripper_range(values, what, "clipped", remarks)
    return np.clip(values, 0.0, 1.0)


def require_unit(values: Float[Array, "..."], most: float, what: str, expected: str, fix: str) -> None:
    """Raise EpisodeError where numbers are too large for their unit.

    Args:
        values: as recorded.
        most: largest absolute value.
        what: they are, with the file: "'trajectory.h5': the measured joints".
        expected: the unit and why larger numbers have another.
        fix: how to put it right.
    """
    if values.size and (largest := float(np.abs(values).max())) > most:
        raise EpisodeError(f"{what} reach {largest:.4g}, expected {expected}. {fix}")


def require_joint_speeds(speeds: Float[Array, "N 7"], where: str) -> None:
    """Raise EpisodeError where measured joint speeds cannot be in radians per second."""
    require_unit(
        speeds,
        FASTEST_JOINT,
        f"{where}: the measured joint speeds",
        f"radians per second, of which no joint of the arm makes more than {FASTEST_JOINT:g}",
        "Convert them first; such numbers are usually degrees per second.",
    )


def _require_units(demonstration: Demonstration, space: ActionSpace, source: str) -> None:
    """Raise EpisodeError where numbers cannot be in the units that they are read in, or a number cannot be kept."""
    radians = f"radians, of which no joint of the arm has more than {FULL_TURN:.2f}"
    degrees = "Convert them first; such numbers are usually degrees."
    require_unit(demonstration.q, FULL_TURN, f"{source}: the measured joint positions", radians, degrees)
    arm = demonstration.actions[:, :-1]
    if space.kind is ActionKind.JOINT_POSITION:
        require_unit(arm, FULL_TURN, f"{source}: the joint positions of the actions", radians, degrees)
    elif space.kind is ActionKind.JOINT_VELOCITY:
        require_unit(
            arm,
            LARGEST_VELOCITY,
            f"{source}: the joint velocities of the actions",
            f"numbers of which 1 is {JOINT_STEP:g} rad per step, and none is above {LARGEST_VELOCITY:g}",
            "Convert them first; such numbers are usually degrees per second or percent.",
        )
    else:
        longer = max(1.0, SLOW_HZ / space.control_hz)
        for part, most, what, unit, usually in (
            (arm[:, :3], longer * LONGEST_STEP, "translations", "metres", "millimetres"),
            (arm[:, 3:], longer * WIDEST_TURN, "rotations", "radians", "degrees"),
        ):
            require_unit(
                part,
                most,
                f"{source}: the {what} of the actions",
                f"{unit} per step, of which an arm makes no more than {most:g} at {space.control_hz:g} Hz",
                f"Convert them first; such numbers are usually {usually}.",
            )
    for what, values in (("actions", demonstration.actions), ("measured joint speeds", demonstration.dq)):
        if len(bad := np.argwhere(~np.isfinite(single(values)))):
            raise EpisodeError(
                f"{source}: the {what} are no numbers that single precision holds, first in step {bad[0][0]}. Leave the episode out, or correct them first."
            )
    for what, values in (
        ("measured gripper", demonstration.gripper),
        ("gripper's action", demonstration.actions[:, -1]),
    ):
        if (largest := float(np.abs(values).max())) > WIDEST_GRIPPER:
            raise EpisodeError(
                f"{source}: the {what} reaches {largest:.4g}, expected 0 (open) to 1 (closed). Scale it first; such numbers are usually millimetres, "
                f"percent or a motor's steps."
            )


def _changes(instructions: tuple[str, ...]) -> frozenset[int]:
    """Return the steps at which the instruction changes."""
    return frozenset(i + 1 for i, (now, then) in enumerate(itertools.pairwise(instructions)) if now != then)


def _stretches(n: int, rows: int, gaps: frozenset[int]) -> list[tuple[int, int]]:
    """Return (first, last + 1) of each chunk."""
    edges = [0, *sorted(g for g in gaps if 0 < g < n), n]
    return [
        (first, min(first + rows, end)) for begin, end in itertools.pairwise(edges) for first in range(begin, end, rows)
    ]


def _observe(demonstration: Demonstration, step: int, meta: EpisodeMeta, tool_offset: float) -> Observation:
    q = demonstration.q[step]
    T = kinematics.flange_pose(q).copy()
    T[:3, 3] += tool_offset * T[:3, 2]
    before = demonstration.actions[step - 1, -1] if step else demonstration.gripper[0]
    return Observation(
        frames=demonstration.frames(step),
        q=q,
        dq=demonstration.dq[step],
        gripper=float(np.clip(demonstration.gripper[step], 0.0, 1.0)),
        T_base_tcp=T,
        instruction=demonstration.instructions[step] if demonstration.instructions else meta.instruction,
        captured_ns=int(demonstration.times_ns[step]),
        step=step,
        gripper_command=float(before),
    )


def _chunk(
    index: int,
    seen: list[Observation],
    after: Observation,
    actions: Float[Array, "E a"],
    meta: EpisodeMeta,
    device: str,
) -> ChunkRecord:
    chunk = np.concatenate([actions, np.repeat(actions[-1:], meta.horizon - len(actions), axis=0)])
    noise = np.full((meta.horizon, meta.width), np.nan, dtype=np.float32)
    walked = np.array([o.p_tcp for o in (*seen, after)])
    path = np.concatenate([walked, np.repeat(walked[-1:], meta.horizon + 1 - len(walked), axis=0)])
    motion = 1e3 * float(np.linalg.norm(walked[-1] - walked[0]))
    return ChunkRecord(
        index=index,
        parent=index - 1,
        observation=seen[0],
        features=np.zeros(0, dtype=np.float32),
        offered_labels=(DEMONSTRATION,),
        offered_kinds=(CandidateKind.UNSTEERED,),
        offered_chunks=chunk[None],
        offered_noises=noise[None],
        offered_paths=path[None],
        offered_verdicts=(Verdict(motion, 0.0, float("nan"), float("nan")),),
        picked=DEMONSTRATION,
        driver=Driver.PERSON,
        device=device,
        reason="",
        is_correction=False,
        noise=noise,
        recovered=noise,
        chunk=chunk,
        unsteered_chunk=np.full_like(chunk, np.nan),
        plan=meta.plan,
        gripper=Gripper.POLICY,
        instruction=seen[0].instruction,
        steps=tuple(
            StepRecord(row, o, action, action, is_clipped=False)
            for row, (o, action) in enumerate(zip(seen, actions, strict=True))
        ),
        after=after,
        latency=Latency(),
        snapshot=None,
        started_ns=seen[0].captured_ns,
    )
