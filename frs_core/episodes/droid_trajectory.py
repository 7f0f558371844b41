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
from frs_core.episodes.droid_cameras import DroidCamera, column, find_cameras
from frs_core.episodes.export_droid import h5py_module
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from frs_core.runtime.foreign import MALFORMED, plain_file, read_json

HZ = 15.0
"""Control rate. Source: DROID's RobotEnv."""
TOLERATED = 0.1
"""Share of rows that may be left out as damaged. Guess: one image in ten seconds, not one in three."""
FEW = 3
"""Rows that may be left out of a trajectory however short, 0.2 s. Guess: a tenth of a short one would be a single row."""
_PAUSE_MS = 60_000
"""Two rows further apart than this are a set clock, not a pause: DROID writes rows while it pauses."""
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
    h5py, path, remarks = h5py_module(), folder / "trajectory.h5", list[str]()
    if not path.is_file():
        below = sum(1 for _ in folder.glob("**/trajectory.h5")) if folder.is_dir() else 0
        raise EpisodeError(
            f"'{folder}' holds no trajectory.h5. Name the folder of one DROID trajectory"
            f"{f'; {below} lie below it' if below else ''}."
        )
    if kind not in (None, *_COLUMNS):
        raise EpisodeError(f"DROID trajectories are imported as joint_velocity or joint_position, not {kind.value}.")
    try:
        with h5py.File(plain_file(path), "r") as file:
            return _read(file, folder, _facts(folder, remarks), kind, width, remarks)
    except EpisodeError:
        raise
    except (OSError, *MALFORMED) as error:
        raise EpisodeCorrupt(
            f"'{path}' is not a whole DROID trajectory: {error}. Copy it again; an interrupted recording cannot be imported."
        ) from error


def _read(
    file: Any, folder: Path, facts: Mapping[str, Any], kind: ActionKind | None, width: int, remarks: list[str]
) -> DroidTrajectory:
    observation, action = file["observation"], file["action"]
    if kind is None:
        kind = next((k for k, name in _COLUMNS.items() if name in action), ActionKind.JOINT_VELOCITY)
    table = {
        "q": ("observation/robot_state/joint_positions", 7),
        "dq": ("observation/robot_state/joint_velocities", 7),
        "gripper": ("observation/robot_state/gripper_position", 1),
        "arm": (f"action/{_COLUMNS[kind]}", 7),
        "fingers": ("action/gripper_position", 1),
    }
    columns = {name: _numbers(file, path, size) for name, (path, size) in table.items()}
    paths = {name: path for name, (path, _) in table.items()}
    moved, times = _moved(observation, remarks), _times(observation)
    n = _common_length({paths[k]: v for k, v in columns.items()} | _stated(moved, times), file.filename, remarks)
    columns = {name: values[:n] for name, values in columns.items()}
    moved = np.ones(n, dtype=bool) if moved is None else moved[:n]
    if not moved.any():
        raise EpisodeError(
            f"'{file.filename}' has {counted(n, 'step')} and the robot moved in none. There is nothing to import."
        )
    is_finite = _finite(columns, paths, moved, file.filename, remarks)
    cameras, reached = find_cameras(folder, observation, facts, rows=n, width=width, remarks=remarks)
    rows, damaged = np.flatnonzero(moved & is_finite & reached), np.flatnonzero(moved & ~is_finite)
    if not len(rows):
        raise EpisodeCorrupt(f"'{file.filename}' has no row with both numbers and frames. Copy it and its films again.")
    between = np.searchsorted(damaged, rows)
    attributes = {str(k): text_of(v) for k, v in file.attrs.items()}
    times_ns = _rising(times, n, _stated_start(attributes, folder), remarks)[rows]
    return DroidTrajectory(
        kind=kind,
        rows=rows,
        gaps=frozenset(int(i) for i in np.flatnonzero(np.diff(between)) + 1),
        q=columns["q"][rows],
        dq=columns["dq"][rows],
        gripper=columns["gripper"][rows, 0],
        actions=np.column_stack([columns["arm"], np.clip(columns["fingers"], 0.0, 1.0)])[rows].astype(np.float32),
        times_ns=times_ns,
        cameras=cameras,
        started_unix=float(times_ns[0]) / 1e9 if times_ns[0] > 10**18 else _stated_start(attributes, folder),
        instruction=_instruction(attributes, facts),
        outcome=_outcome(attributes, facts, observation, folder, remarks),
        attributes=attributes,
        remarks=tuple(remarks),
    )


def text_of(value: Any) -> str:
    """Return an attribute as text, whether it was written as text, bytes, a number or an array of one."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size == 1 else ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return "" if type(value).__name__ == "Empty" else str(value).strip()


def truth_of(text: str) -> bool | None:
    """Return what a label says in any spelling; None where it says nothing known."""
    word = text.strip().strip("'\"").lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _facts(folder: Path, remarks: list[str]) -> Mapping[str, Any]:
    """Return the metadata record that DROID's postprocessing puts beside a trajectory."""
    for path in sorted(folder.glob("metadata_*.json")):
        try:
            facts = read_json(path)
            if isinstance(facts, dict):
                return facts
            raise ValueError("no table")
        except (OSError, *MALFORMED) as error:
            remarks.append(f"'{path.name}' cannot be read and was left out ({error})")
    return {}


def _numbers(file: Any, path: str, size: int) -> Float[Array, "n size"]:
    values = np.asarray(column(file, path), dtype=np.float64)
    if values.ndim == 1 and size == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] != size:
        raise ValueError(f"'{path}' has shape {values.shape}, expected ({'n' if size == 1 else f'n, {size}'})")
    return values


def _moved(observation: Any, remarks: list[str]) -> Bool[Array, " n"] | None:
    """Return at which rows the demonstrator's hand was on the trigger."""
    if "timestamp/skip_action" in observation:
        return ~column(observation, "timestamp/skip_action").astype(bool).reshape(-1)
    if "controller_info/movement_enabled" in observation:
        remarks.append("no skip_action: rows without movement_enabled left out instead")
        return column(observation, "controller_info/movement_enabled").astype(bool).reshape(-1)
    remarks.append("no skip_action: every row taken")
    return None


def _times(observation: Any) -> Float[Array, " n"] | None:
    path = "timestamp/control/step_start"
    return column(observation, path).astype(np.float64).reshape(-1) if path in observation else None


def _stated(moved: Array | None, times: Array | None) -> dict[str, Array]:
    stated = {"observation/timestamp/skip_action": moved, "observation/timestamp/control/step_start": times}
    return {k: v for k, v in stated.items() if v is not None}


def _common_length(columns: Mapping[str, Array], name: str, remarks: list[str]) -> int:
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
    columns: Mapping[str, Array], paths: Mapping[str, str], moved: Array, name: str, remarks: list[str]
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
    known = times[:n]
    steps = np.diff(known)
    bad = ~(np.isfinite(steps) & (steps > 0))
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


def _instruction(attributes: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    stated = (attributes.get("current_task", ""), text_of(facts.get("current_task", "")))
    return next((text for text in stated if text), "")


def _outcome(
    attributes: Mapping[str, str], facts: Mapping[str, Any], observation: Any, folder: Path, remarks: list[str]
) -> Outcome | None:
    """Return how it ended: by its attributes, its metadata, its folder, the controller's buttons, in this order."""
    success = truth_of(attributes.get("success", ""))
    if attributes.get("success") and success is None:
        remarks.append(f"attribute success says {attributes['success'][:40]!r}, which is neither true nor false")
    if success and truth_of(attributes.get("failure", "")):
        remarks.append("its attributes say both success and failure")
        return None
    above = folder.resolve().parents
    placed = next((p.name == "success" for p in above[:2] if p.name in ("success", "failure")), None)
    if success is not None and placed is not None and success != placed:
        remarks.append(f"its attribute says {'success' if success else 'failure'}, its folder the contrary")
    failure = True if truth_of(attributes.get("failure", "")) else None
    ended = {
        key: bool(column(observation, f"controller_info/{key}").any())
        for key in ("success", "failure")
        if f"controller_info/{key}" in observation
    }
    pressed = None if ended.get("success", False) == ended.get("failure", False) else ended.get("success", False)
    stated = (success, truth_of(text_of(facts.get("success", ""))), None if failure is None else False, placed, pressed)
    said = next((s for s in stated if s is not None), None)
    return None if said is None else Outcome.SUCCESS if said else Outcome.FAILURE
