"""What the trajectory.h5 of a DROID raw trajectory says, and what the files around it add.

Problem: rows of different length, rows of NaN, labels as bytes or words, columns that older versions did not write. Idea: rows count
only where every column has a number; whatever is left out or not stated becomes a remark with its count.

    trajectory = read_trajectory(Path("Thu_Apr_20_14:13:20_2023"), width=640)

Any thread.
"""

import calendar
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.episodes.demonstration import gripper_shares, require_joint_speeds, single
from frs_core.episodes.droid_cameras import DroidCamera, find_cameras
from frs_core.episodes.foreign_columns import Hdf5File, open_hdf5
from frs_core.episodes.stated import is_text, kind_of, read_stated
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from frs_core.runtime.foreign import in_line

HZ = 15.0
"""Control rate. Source: DROID's RobotEnv."""
TOLERATED = 0.1
"""Share of rows that may be left out as damaged. Guess: one image in ten seconds, not one in three."""
FEW = 3
"""Rows that may be left out of a trajectory however short, 0.2 s. Guess: a tenth of a short one would be a single row."""
_USED = ("current_task", "success", "failure", "time", "user", "building", "action_space")
"""Attributes of trajectory.h5 that are read."""
_FACTS = ("current_task", "success", "wrist_cam_serial", "ext1_cam_serial", "ext2_cam_serial")
"""Members of the metadata record that are read."""
_PAUSE_MS = 60_000
"""Two rows further apart than this are a set clock, not a pause: DROID writes rows while it pauses."""
_LEAST_MS = 1.0
"""Two rows closer together than this have no time stamps in milliseconds."""
_LATEST_MS = 1e3 * 253402300800.0
"""The year 10000, which no calendar writes."""
_FASTEST_COMMAND = 1.0 + 1e-6
"""DROID's robots refuse joint velocities beyond 1, so larger ones were computed from another kind of command. Source: DROID's RobotEnv.step."""
_COLUMNS = {ActionKind.JOINT_VELOCITY: "joint_velocity", ActionKind.JOINT_POSITION: "joint_position"}
_TRUE, _FALSE = {"true", "1", "1.0", "yes", "y", "t", "success"}, {"false", "0", "0.0", "no", "n", "f", "failure"}


@dataclass(frozen=True, slots=True, eq=False)
class DroidTrajectory:
    """A trajectory; arrays hold the kept rows only."""

    kind: ActionKind
    rows: Int[Array, " N"]
    """Which rows of the file were kept."""
    gaps: frozenset[int]
    """Kept rows before which a damaged one was left out."""
    q: Float[Array, "N 7"]
    dq: Float[Array, "N 7"]
    gripper: Float[Array, " N"]
    actions: Float[Array, "N 8"]
    times_ns: Int[Array, " N"]
    """Rising."""
    cameras: tuple[DroidCamera, ...]
    """Entries by row of the file."""
    started_unix: float
    instruction: str
    outcome: Outcome | None
    """None where nothing says it."""
    attributes: Mapping[str, str]
    remarks: tuple[str, ...]
    """What was left out, not stated or guessed."""


def read_trajectory(folder: Path, *, kind: ActionKind | None, width: int) -> DroidTrajectory:
    """Return a trajectory.

    Args:
        folder: holds trajectory.h5.
        kind: which action column to take; None = joint velocities, else joint positions where the file has only those.
        width: images wider than this are shrunk to it, pixels.
    Raises:
        ConfigError: h5py is missing.
        EpisodeCorrupt: damaged or not DROID's.
        EpisodeError: there is none, nothing moves in it, or a video cannot be used.
    """
    path, remarks = trajectory_file(folder), list[str]()
    if kind not in (None, *_COLUMNS):
        raise EpisodeError(f"DROID trajectories are imported as joint_velocity or joint_position, not {kind.value}.")
    with open_hdf5(path) as data:
        return _read(data, folder, _facts(folder, remarks), kind, width, remarks)


def trajectory_file(folder: Path) -> Path:
    """Return the trajectory.h5 of a folder. Raises EpisodeError where there is none."""
    path = folder / "trajectory.h5"
    if not kind_of(path):
        below = len(trajectories_below(folder)) if kind_of(folder) == "folder" else 0
        raise EpisodeError(
            f"'{folder}' holds no trajectory.h5. Name the folder of one DROID trajectory"
            f"{f', of which {below} lie' + 's' * (below == 1) + ' below it' if below else ''}."
        )
    return path


def trajectories_below(folder: Path) -> list[Path]:
    """Return the folders below a folder that hold a trajectory.h5, by name."""
    return sorted(path.parent for path in folder.glob("**/trajectory.h5"))


def _read(
    data: Hdf5File, folder: Path, facts: Mapping[str, str], kind: ActionKind | None, width: int, remarks: list[str]
) -> DroidTrajectory:
    name = folder / "trajectory.h5"
    attributes = _attributes(data, remarks)
    if kind is None:
        kind = _commanded(data.names("action"), attributes.get("action_space", ""), remarks)
    table = {
        "q": ("observation/robot_state/joint_positions", 7),
        "dq": ("observation/robot_state/joint_velocities", 7),
        "gripper": ("observation/robot_state/gripper_position", 1),
        "arm": (f"action/{_COLUMNS[kind]}", 7),
        "fingers": ("action/gripper_position", 1),
    }
    columns = {key: data.numbers(path, *([size] if size > 1 else [])) for key, (path, size) in table.items()}
    columns = {key: values if values.ndim > 1 else values[:, None] for key, values in columns.items()}
    paths = {key: path for key, (path, _) in table.items()}
    moved, times = _moved(data, remarks), _times(data)
    n = _common_length({paths[k]: v for k, v in columns.items()} | _stated(moved, times), name, remarks)
    columns = {key: values[:n] for key, values in columns.items()}
    moved = np.ones(n, dtype=bool) if moved is None else moved[:n]
    if not moved.any():
        raise EpisodeError(
            f"'{name}' has {counted(n, 'step')} and the robot moved in none. There is nothing to import."
        )
    is_finite = _finite(columns, paths, moved, name, remarks)
    cameras, reached = find_cameras(folder, data, facts, rows=n, width=width, remarks=remarks)
    rows, damaged = np.flatnonzero(moved & is_finite & reached), np.flatnonzero(moved & ~is_finite)
    if not len(rows):
        raise EpisodeCorrupt(f"'{name}' has no row with both numbers and frames. Copy it and its films again.")
    require_joint_speeds(columns["dq"][rows], data.where(paths["dq"]))
    fastest = float(np.abs(columns["arm"][rows]).max())
    if kind is ActionKind.JOINT_VELOCITY and fastest > _FASTEST_COMMAND:
        remarks.append(
            f"joint velocities reach {fastest:.3g}, and DROID commands none beyond 1: they were computed from another kind of action; if joint positions "
            f"were commanded, import with --actions joint_position --again"
        )
    fingers = gripper_shares(columns["fingers"][rows, 0], paths["fingers"], remarks)
    gripper = gripper_shares(columns["gripper"][rows, 0], paths["gripper"], remarks)
    between = np.searchsorted(damaged, rows)
    started = _stated_start(attributes, folder)
    times_ns = _rising(times, n, started, remarks)[rows]
    stamped = bool(times is not None and times_ns[0] > 10**18)
    if started and not stamped:
        remarks.append("its beginning is stated without a time zone: taken for UTC")
    return DroidTrajectory(
        kind=kind,
        rows=rows,
        gaps=frozenset(int(i) for i in np.flatnonzero(np.diff(between)) + 1),
        q=columns["q"][rows],
        dq=columns["dq"][rows],
        gripper=gripper,
        actions=single(np.column_stack([columns["arm"][rows], fingers])),
        times_ns=times_ns,
        cameras=cameras,
        started_unix=float(times_ns[0]) / 1e9 if stamped else started,
        instruction=attributes.get("current_task") or facts.get("current_task", ""),
        outcome=_outcome(attributes, facts, data, folder, remarks),
        attributes=attributes,
        remarks=tuple(remarks),
    )


def _commanded(there: list[str], stated: str, remarks: list[str]) -> ActionKind:
    """Return which column has what was commanded: the one that is stated, else joint velocities, else joint positions where there are only those.

    Args:
        there: columns of actions.
        stated: the attribute action_space, which DROID does not write and our export does.
        remarks: gets a sentence where nothing states it, or it is not read.
    """
    for kind, column in _COLUMNS.items():
        if stated == kind.value and column in there:
            return kind
    if stated:
        remarks.append(f"action_space says '{in_line(stated[:40])}', which is not read")
    if "joint_velocity" not in there and "joint_position" in there:
        remarks.append("no joint_velocity: actions are joint_position")
        return ActionKind.JOINT_POSITION
    if stated:
        remarks.append("actions are joint_velocity")
    return ActionKind.JOINT_VELOCITY


def text_of(value: Any) -> str | None:
    """Return an attribute as text, whether it was written as text, bytes, a number or an array of one; None where it is no text."""
    if isinstance(value, np.ndarray):
        if value.size != 1:
            return None
        value = value.reshape(-1)[0]
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape") if not is_text(value) else value.encode()
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8").strip()
        except UnicodeDecodeError:
            return None
    if type(value).__name__ == "Empty":
        return ""
    is_plain = isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating)
    return str(value) if is_plain else None


def _attributes(data: Hdf5File, remarks: list[str]) -> dict[str, str]:
    """Return the attributes that are texts, or can be read as one; another that would be used is said to be left out."""
    texts = {name: text_of(value) for name, value in data.attributes().items()}
    for name in _USED:
        if name in texts and texts[name] is None:
            remarks.append(f"attribute {name} is no text in UTF-8: left out")
    return {name: text for name, text in texts.items() if text is not None}


def truth_of(text: str) -> bool | None:
    """Return what a label says in any spelling; None where it says nothing known."""
    word = text.strip().strip("'\"").lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _facts(folder: Path, remarks: list[str]) -> Mapping[str, str]:
    """Return the metadata record that DROID's postprocessing puts beside a trajectory, as far as it is used."""
    for path in sorted(folder.glob("metadata_*.json")):
        try:
            record = read_stated(path).members()
        except EpisodeError as error:
            remarks.append(f"the metadata record was left out: {str(error).partition('. ')[0]}")
            continue
        found: dict[str, str] = {}
        for key in _FACTS:
            stated = record.get(key)
            if stated is None or not stated.is_given:
                continue
            text = None if isinstance(stated.value, list | dict) else text_of(stated.value)
            if text is None:
                remarks.append(f"{key} of '{path.name}' is no text: left out")
            else:
                found[key] = text
        return found
    return {}


def _moved(data: Hdf5File, remarks: list[str]) -> Bool[Array, " n"] | None:
    """Return at which rows the demonstrator's hand was on the trigger."""
    if data.has("observation/timestamp/skip_action"):
        return ~data.flags("observation/timestamp/skip_action")
    if data.has("observation/controller_info/movement_enabled"):
        remarks.append("no skip_action: rows without movement_enabled left out instead")
        return data.flags("observation/controller_info/movement_enabled")
    remarks.append("no skip_action: every row taken")
    return None


def _times(data: Hdf5File) -> Float[Array, " n"] | None:
    path = "observation/timestamp/control/step_start"
    return data.numbers(path) if data.has(path) else None


def _stated(moved: Array | None, times: Array | None) -> dict[str, Array]:
    stated = {"observation/timestamp/skip_action": moved, "observation/timestamp/control/step_start": times}
    return {k: v for k, v in stated.items() if v is not None}


def _common_length(columns: Mapping[str, Array], name: Path, remarks: list[str]) -> int:
    """Return the number of rows that all columns have; one that misses many is another recording's."""
    shortest, longest = min(columns, key=lambda k: len(columns[k])), max(columns, key=lambda k: len(columns[k]))
    n, full = len(columns[shortest]), len(columns[longest])
    if full - n > max(1, TOLERATED * full):
        raise EpisodeCorrupt(
            f"'{name}' is not a whole DROID trajectory: '{shortest}' has {n} rows, '{longest}' {full}. Copy it again from "
            f"where it was recorded."
        )
    if n < full:
        remarks.append(f"{full - n} of {full} rows left out: '{shortest}' ends there")
    return n


def _finite(
    columns: Mapping[str, Array], paths: Mapping[str, str], moved: Array, name: Path, remarks: list[str]
) -> Bool[Array, " n"]:
    """Return the rows in which every column has numbers."""
    bad = {paths[k]: np.flatnonzero(~np.isfinite(v).all(axis=1) & moved) for k, v in columns.items()}
    bad = {path: rows for path, rows in bad.items() if len(rows)}
    lost = np.unique(np.concatenate(list(bad.values()))) if bad else np.zeros(0, dtype=np.int64)
    said = "; ".join(f"'{path}' is not a number in row {', '.join(map(str, rows[:5]))}" for path, rows in bad.items())
    if len(lost) > max(FEW, TOLERATED * moved.sum()):
        raise EpisodeCorrupt(
            f"'{name}' is not a whole DROID trajectory: {said}, in all {len(lost)} of {int(moved.sum())} rows. Copy it again "
            f"from where it was recorded."
        )
    if bad:
        remarks.append(f"{len(lost)} row{'s' * (len(lost) > 1)} left out: {said}")
    result = np.ones(len(moved), dtype=bool)
    result[lost] = False
    return result


def _rising(times: Float[Array, " m"] | None, n: int, started: float, remarks: list[str]) -> Int[Array, " n"]:
    """Return the time of each row, ns; where the clock was set back or says nothing, rows follow at the control rate."""
    period = 1000.0 / HZ
    if times is None:
        remarks.append(f"no control time stamps: rows counted at {HZ:g} Hz")
        return np.round(1e9 * started + 1e6 * period * np.arange(n)).astype(np.int64)
    known = np.where(np.abs(times[:n]) < _LATEST_MS, times[:n], np.nan)
    steps = np.diff(known)
    bad = ~(steps >= _LEAST_MS)
    if bad.any():
        remarks.append(
            f"time stamps stand, go back or lack at {int(bad.sum())} of {n} rows, first at row "
            f"{int(np.argmax(bad)) + 1}: counted on at {HZ:g} Hz"
        )
        steps = np.where(bad, period, steps)
        first = int(np.argmax(np.isfinite(known)))
        begin = known[first] - first * period if np.isfinite(known[first]) else 1e3 * started
        known = begin + np.concatenate([[0.0], np.cumsum(steps)])
    if (jumps := np.flatnonzero(steps > _PAUSE_MS)).size:
        remarks.append(
            f"the clock jumps by {steps[jumps[0]] / 1e3:.0f} s before row {int(jumps[0]) + 1}: kept as recorded"
        )
    return np.round(known * 1e3).astype(np.int64) * 1_000


def _stated_start(attributes: Mapping[str, str], folder: Path) -> float:
    """Return when the trajectory began, Unix time, by its attribute or its folder's name; 0 where neither gives it."""
    for text in (attributes.get("time", ""), folder.resolve().name):
        for clock in ("%H:%M:%S", "%H_%M_%S"):
            try:
                return float(calendar.timegm(time.strptime(text.replace("__", "_"), f"%a_%b_%d_{clock}_%Y")))
            except ValueError:
                continue
    return 0.0


def _outcome(
    attributes: Mapping[str, str], facts: Mapping[str, str], data: Hdf5File, folder: Path, remarks: list[str]
) -> Outcome | None:
    """Return how it ended: by its attributes, its metadata, its folder, the controller's buttons, in this order."""
    if truth_of(attributes.get("success", "")) and truth_of(attributes.get("failure", "")):
        remarks.append("its attributes say both success and failure")
        return None
    said: list[tuple[str, bool]] = []
    for where, text, meant in (
        ("attribute success", attributes.get("success", ""), True),
        ("success of the metadata record", facts.get("success", ""), True),
        ("attribute failure", attributes.get("failure", ""), False),
    ):
        truth = truth_of(text)
        if text and truth is None:
            remarks.append(f"{where} says '{in_line(text[:40])}', which is neither true nor false: not used")
        elif truth is not None and (truth or meant):
            said.append((where, truth is meant))
    above = folder.resolve().parents
    said += [("its folder", p.name == "success") for p in above[:2] if p.name in ("success", "failure")][:1]
    buttons = "observation/controller_info"
    ended = [
        key == "success"
        for key in ("success", "failure")
        if data.has(f"{buttons}/{key}") and data.flags(f"{buttons}/{key}").any()
    ]
    if len(ended) == 1:
        said.append(("controller_info", ended[0]))
    elif ended:
        remarks.append("controller_info says both success and failure: not used")
    if len({is_success for _, is_success in said}) > 1:
        words = ", ".join(f"{_word(is_success)} by {where}" for where, is_success in said)
        remarks.append(f"how it ended is contradictory ({words}): taken for a {_word(said[0][1])}")
    return None if not said else Outcome.SUCCESS if said[0][1] else Outcome.FAILURE


def _word(is_success: bool) -> str:
    return "success" if is_success else "failure"
