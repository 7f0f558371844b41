"""A DROID raw trajectory (trajectory.h5 with its MP4 films) as an episode, to look at, to replay, to learn from.

    import_droid(Path("success/2023-04-20/Thu_Apr_20_14:11:09_2023"), store)      # -> "20230420T141109Z_01GYF..."

Each stretch of `rows` steps becomes a chunk with one offer, "demonstration", picked by a person; it has no noise (NaN), so
training takes it only through offline labels. Steps at which the demonstrator's hand was off the trigger are left out: the
arm stood still. Pictures are the left eyes; DROID's frame i belongs to step i unless its time stamps say otherwise.

Any thread; tens of seconds for HD films.
"""

import calendar
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from frs_core import kinematics
from frs_core.actions import ActionKind, ActionSpace
from frs_core.directions import Gripper
from frs_core.episodes.export_droid import h5py_module
from frs_core.episodes.store import EpisodeStore
from frs_core.episodes.video import read_video, video_size
from frs_core.episodes.writer import JournalRecorder
from frs_core.errors import EpisodeCorrupt, EpisodeError, EpisodeUnconfirmed
from frs_core.events import CandidateKind, Driver, Latency, Outcome, Verdict
from frs_core.foreign import MALFORMED, plain_file, read_json
from frs_core.observation import Calibration, CameraFrame, Observation
from frs_core.plan import SteeringPlan
from frs_core.recording import ChunkRecord, EpisodeMeta, StepRecord
from frs_core.worlds.droid.calibration import pose_matrix, scale_intrinsics
from frs_core.worlds.droid.world import ROBOTIQ_OFFSET

DEMONSTRATION = "demonstration"
LARGEST_DATASET = 256 << 20
"""Bytes of one column; ten minutes of seven joints take 0.5 MB."""
"""Label of the only offer, and name of the policy that there was not."""


@dataclass(frozen=True, slots=True, eq=False)
class _Camera:
    """One camera of a trajectory."""

    name: str
    serial: str
    film: Path
    is_stereo: bool
    native: tuple[int, int]
    """(width, height) of one eye in the film, which K is for."""
    size: tuple[int, int]
    """(width, height) of the pictures to keep."""
    frames: Int[np.ndarray, " N"]
    """Film frame of each kept step."""
    K: Float[np.ndarray, "N 3 3"] | None
    pose: Float[np.ndarray, "N 6"] | None


@dataclass(frozen=True, slots=True, eq=False)
class _Trajectory:
    """What a trajectory.h5 says, kept steps only."""

    q: Float[np.ndarray, "N 7"]
    dq: Float[np.ndarray, "N 7"]
    gripper: Float[np.ndarray, " N"]
    actions: Float[np.ndarray, "N 8"]
    times_ns: Int[np.ndarray, " N"]
    cameras: tuple[_Camera, ...]
    attributes: dict[str, Any]


def import_droid(
    source: Path,
    store: EpisodeStore,
    *,
    kind: ActionKind = ActionKind.JOINT_VELOCITY,
    rows: int = 8,
    width: int = 640,
    tool_offset: float = ROBOTIQ_OFFSET,
) -> str:
    """Record a trajectory into a store and return the new episode's name.

    Args:
        source: the trajectory's folder, or its trajectory.h5.
        store: where to record.
        kind: which of DROID's action columns to take, joint velocity or joint position.
        rows: steps per chunk.
        width: pictures wider than this are shrunk to it, pixels.
        tool_offset: flange to fingertips, metres.
    Raises:
        ConfigError: h5py or PyAV is missing.
        EpisodeCorrupt: the trajectory is damaged or not DROID's.
        EpisodeError: the store cannot be written.
    """
    folder = source if source.is_dir() else source.parent
    trajectory = _read(folder, kind, width)
    pictures = _Pictures(trajectory)
    meta = _meta(trajectory, kind, rows, folder)
    recorder, name, n = JournalRecorder(store), "", len(trajectory.q)
    try:
        for index, first in enumerate(range(0, n, rows)):
            last = min(first + rows, n)
            seen = [_observe(trajectory, pictures, s, meta, tool_offset) for s in range(first, last)]
            after = _observe(trajectory, pictures, min(last, n - 1), meta, tool_offset)
            if index == 0:
                name = recorder.begin(meta)
            recorder.chunk(_chunk(index, seen, after, trajectory.actions[first:last], meta))
        recorder.end(
            Outcome.SUCCESS if bool(trajectory.attributes.get("success", False)) else Outcome.FAILURE,
            f"Imported from DROID: {folder.name}",
        )
    except EpisodeUnconfirmed:
        # It is committed; its journal stays and is recognised by the next writer.
        recorder.abort()
        raise
    except BaseException:
        if name:
            recorder.end(Outcome.DISCARDED, "The import failed")
        raise
    return name


def _read(folder: Path, kind: ActionKind, width: int) -> _Trajectory:
    h5py, path = h5py_module(), folder / "trajectory.h5"
    if not path.is_file():
        raise EpisodeError(f"'{folder}' holds no trajectory.h5. Name the folder of one DROID trajectory.")
    column = {ActionKind.JOINT_VELOCITY: "joint_velocity", ActionKind.JOINT_POSITION: "joint_position"}.get(kind)
    if column is None:
        raise EpisodeError(f"DROID trajectories are imported as joint_velocity or joint_position, not {kind.value}.")
    try:
        with h5py.File(plain_file(path), "r") as file:
            observation, action = file["observation"], file["action"]
            state, n = observation["robot_state"], int(action[column].shape[0])
            skipped = np.asarray(_rows(observation["timestamp/skip_action"], n), dtype=bool)
            keep = np.flatnonzero(~skipped)
            if not len(keep):
                raise EpisodeError(f"'{path}' has {n} steps and the robot moved in none. There is nothing to import.")
            arm = np.asarray(_rows(action[column], n), dtype=np.float64)
            fingers = np.asarray(_rows(action["gripper_position"], n), dtype=np.float64)
            return _Trajectory(
                q=np.asarray(_rows(state["joint_positions"], n), dtype=np.float64)[keep],
                dq=np.asarray(_rows(state["joint_velocities"], n), dtype=np.float64)[keep],
                gripper=np.asarray(_rows(state["gripper_position"], n), dtype=np.float64)[keep],
                actions=np.column_stack([arm, np.clip(fingers, 0.0, 1.0)])[keep].astype(np.float32),
                times_ns=np.asarray(_rows(observation["timestamp/control/step_start"], n), dtype=np.int64)[keep]
                * 1_000_000,
                cameras=_cameras(folder, observation, keep, n, width),
                attributes=dict(file.attrs),
            )
    except (OSError, *MALFORMED) as error:
        raise EpisodeCorrupt(
            f"'{path}' is not a whole DROID trajectory: {error}. An interrupted recording cannot be imported."
        ) from error


def _rows(dataset: Any, n: int) -> Any:
    """Return the first rows of a dataset. Raises ValueError where it would take more memory than any trajectory does."""
    if dataset.nbytes > LARGEST_DATASET:
        raise ValueError(f"'{dataset.name}' has {dataset.nbytes} bytes, at most {LARGEST_DATASET} are read")
    return dataset[:n]


def _cameras(folder: Path, observation: Any, keep: Int[np.ndarray, " N"], n: int, width: int) -> tuple[_Camera, ...]:
    """Return the cameras whose films are there: the hand's as wrist, the others left and right as the robot sees them."""
    extrinsics = observation.get("camera_extrinsics", {})
    intrinsics = observation.get("camera_intrinsics", {})
    stamps = observation.get("timestamp/cameras", {})
    types = {s: int(observation["camera_type"][s][0]) for s in observation.get("camera_type", {})}
    found = []
    for serial, camera_type in types.items():
        film, is_stereo = _film(folder, serial)
        if film is None:
            continue
        eye = f"{serial}_left"
        pose = np.asarray(_rows(extrinsics[eye], n), dtype=np.float64) if eye in extrinsics else None
        K = np.asarray(_rows(intrinsics[eye], n), dtype=np.float64) if eye in intrinsics else None
        frames = _frame_numbers(film, stamps, serial, n)
        found.append((camera_type, pose, serial, film, is_stereo, frames, K))
    exterior = [f for f in found if f[0] != 0]
    # +y is to the robot's left; an uncalibrated camera goes by its serial number.
    exterior.sort(key=lambda f: (-float(f[1][0][1]) if f[1] is not None else 0.0, f[2]))
    names = [("wrist", f) for f in found if f[0] == 0][:1] + list(zip(("left", "right"), exterior, strict=False))
    cameras = []
    for name, (_, pose, serial, film, is_stereo, frames, K) in sorted(names, key=lambda pair: pair[0]):
        native = video_size(film)
        native = (native[0] // 2, native[1]) if is_stereo else native
        size = (width, round(native[1] * width / native[0])) if native[0] > width else native
        if K is None or pose is None:
            K = pose = None
        cameras.append(
            _Camera(
                name,
                serial,
                film,
                is_stereo,
                native,
                size,
                frames[keep],
                None if K is None else K[keep],
                None if pose is None else pose[keep],
            )
        )
    return tuple(cameras)


def _film(folder: Path, serial: str) -> tuple[Path | None, bool]:
    for where in (folder / "recordings" / "MP4", folder / "recordings"):
        for name, is_stereo in ((f"{serial}.mp4", False), (f"{serial}-stereo.mp4", True)):
            if (where / name).is_file():
                return where / name, is_stereo
    return None, False


def _frame_numbers(film: Path, stamps: Any, serial: str, n: int) -> Int[np.ndarray, " n"]:
    """Return which film frame each step saw; by time stamps where both sides have them."""
    path, key = film.with_name(f"{serial}_timestamps.json"), f"{serial}_frame_received"
    if path.is_file() and key in stamps:
        recorded = np.array(read_json(path), dtype=np.int64)
        if len(recorded):
            after = np.searchsorted(recorded, np.asarray(_rows(stamps[key], n), dtype=np.int64), side="right") - 1
            return np.clip(after, 0, len(recorded) - 1)
    return np.arange(n)


class _Pictures:
    """Films read forward, one picture per step; a film that ends early repeats its last picture."""

    def __init__(self, trajectory: _Trajectory) -> None:
        self._trajectory = trajectory
        self._films = {c.name: read_video(c.film, size=c.size, is_left_half=c.is_stereo) for c in trajectory.cameras}
        self._at = dict.fromkeys(self._films, -1)
        self._now: dict[str, UInt8[np.ndarray, "H W 3"]] = {}

    def frames(self, step: int) -> dict[str, CameraFrame]:
        """Return the pictures of a step; steps must not go back."""
        result = {}
        for camera in self._trajectory.cameras:
            while self._at[camera.name] < camera.frames[step]:
                image = next(self._films[camera.name], None)
                if image is None:
                    break
                self._now[camera.name] = image
                self._at[camera.name] += 1
            if camera.name not in self._now:
                raise EpisodeCorrupt(f"'{camera.film}' holds no picture. Convert the recording again.")
            image = self._now[camera.name]
            calibration = _calibration(camera, step)
            result[camera.name] = CameraFrame(image, int(self._trajectory.times_ns[step]), calibration)
        return result


def _calibration(camera: _Camera, step: int) -> Calibration | None:
    if camera.K is None or camera.pose is None:
        return None
    K = scale_intrinsics(camera.K[step], camera.native, camera.size)
    return Calibration(K, pose_matrix(camera.pose[step].tolist()), *camera.size)


def _meta(trajectory: _Trajectory, kind: ActionKind, rows: int, folder: Path) -> EpisodeMeta:
    is_velocity = kind is ActionKind.JOINT_VELOCITY
    low = np.append(np.full(7, -1.0) if is_velocity else kinematics.Q_LOW, 0.0).astype(np.float32)
    high = np.append(np.ones(7) if is_velocity else kinematics.Q_HIGH, 1.0).astype(np.float32)
    space = ActionSpace(kind, np.zeros(8, np.float32), np.ones(8, np.float32), low, high)
    attributes = trajectory.attributes
    task = str(attributes.get("current_task", ""))
    return EpisodeMeta(
        task=None,
        instruction=task,
        seed=0,
        world="droid",
        is_simulated=False,
        policy=DEMONSTRATION,
        policy_fingerprint=DEMONSTRATION,
        horizon=rows,
        width=8,
        execute_rows=rows,
        integration_steps=SteeringPlan().steps,
        action_space=space,
        plan=SteeringPlan(),
        cameras={c.name: None for c in trajectory.cameras},
        control_hz=15.0,
        started_unix=_started(attributes, trajectory.times_ns),
        operator=str(attributes.get("user", "")),
        world_options={
            "imported_from": folder.name,
            "building": str(attributes.get("building", "")),
            **{f"serial_{c.name}": c.serial for c in trajectory.cameras},
        },
    )


def _started(attributes: dict[str, Any], times_ns: Int[np.ndarray, " N"]) -> float:
    """Return when the trajectory began, Unix time; its own clock, else its folder's name."""
    if times_ns[0] > 1_000_000_000 * 1_000_000_000:
        return float(times_ns[0]) / 1e9
    try:
        return float(calendar.timegm(time.strptime(str(attributes["time"]).replace("__", "_"), "%a_%b_%d_%H:%M:%S_%Y")))
    except (KeyError, ValueError):
        return 0.0


def _observe(
    trajectory: _Trajectory, pictures: _Pictures, step: int, meta: EpisodeMeta, tool_offset: float
) -> Observation:
    q = trajectory.q[step]
    T = kinematics.flange_pose(q).copy()
    T[:3, 3] += tool_offset * T[:3, 2]
    before = trajectory.actions[step - 1, 7] if step else trajectory.gripper[0]
    return Observation(
        frames=pictures.frames(step),
        q=q,
        dq=trajectory.dq[step],
        gripper=float(np.clip(trajectory.gripper[step], 0.0, 1.0)),
        T_base_tcp=T,
        instruction=meta.instruction,
        captured_ns=int(trajectory.times_ns[step]),
        step=step,
        gripper_command=float(before),
    )


def _chunk(
    index: int, seen: list[Observation], after: Observation, actions: Float[np.ndarray, "E 8"], meta: EpisodeMeta
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
        device="droid",
        reason="",
        is_correction=False,
        noise=noise,
        recovered=noise,
        chunk=chunk,
        unsteered_chunk=np.full_like(chunk, np.nan),
        plan=meta.plan,
        gripper=Gripper.POLICY,
        instruction=meta.instruction,
        steps=tuple(
            StepRecord(row, o, action, action, is_clipped=False)
            for row, (o, action) in enumerate(zip(seen, actions, strict=True))
        ),
        after=after,
        latency=Latency(),
        snapshot=None,
        started_ns=seen[0].captured_ns,
    )
