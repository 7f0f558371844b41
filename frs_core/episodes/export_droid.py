"""An episode as a DROID raw trajectory: trajectory.h5, one MP4 per camera, and the metadata DROID's own tools expect.

    export_droid(episode, Path("droid_data"))
    droid_data/success/2026-11-04/Wed_Nov_04_10_15_30_2026/{trajectory.h5, metadata_*.json, recordings/MP4/*.mp4}

Only what was measured or follows from it is written: no torques, no right eyes, no SVO. Video i belongs to step i, at the size
the images were recorded in, and `camera_intrinsics` is for that size. Branches not taken are left out.

Any thread; a second or two per episode.
"""

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.episodes.begun import Begun, begun
from frs_core.episodes.droid_rows import DroidActions, droid_actions, flange_numbers
from frs_core.episodes.reader import Episode, standing_steps
from frs_core.episodes.video import fit, write_video
from frs_core.errors import ConfigError, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.observation import Calibration
from frs_core.worlds.droid.calibration import pose_numbers, scale_intrinsics

DROID_VERSION = "1.3"
_UNKNOWN = "unknown"
_CAMERA_TYPES = {"wrist": 0}
"""DROID's numbers: 0 hand, 1 varied; every other camera is varied."""


def h5py_module() -> ModuleType:
    """Return h5py. Raises ConfigError where it is missing."""
    try:
        import h5py
    except ImportError as error:
        raise ConfigError("DROID trajectories need h5py. Install it with `pip install frs-cockpit[export]`.") from error
    return h5py


def serial_numbers(episode: Episode) -> dict[str, str]:
    """Return a camera serial number per camera: the recorded one, else a stand-in in DROID's form."""
    options = episode.meta.world_options
    return {c: str(options.get(f"serial_{c}", 10000001 + i)) for i, c in enumerate(episode.cameras)}


def export_droid(episode: Episode, path: Path) -> Path:
    """Write one trajectory below a data folder and return the trajectory's own folder.

    Args:
        episode: what to write.
        path: DROID data root; gets `success/` and `failure/`.
    Raises:
        ConfigError: h5py or PyAV is missing.
        EpisodeError: it exists already, has no standing steps, or the disk refused.
        EpisodeCorrupt: the episode is damaged.
    """
    h5py = h5py_module()
    started = _started(episode)
    label = "success" if episode.outcome is Outcome.SUCCESS else "failure"
    # DROID's own folder names hold colons, which some file systems refuse; its tools read underscores as well.
    name = time.asctime(started).replace(" ", "_").replace(":", "_") if started else f"{_UNKNOWN}_{episode.name}"
    folder = path / label / (time.strftime("%Y-%m-%d", started) if started else _UNKNOWN) / name
    if (folder / "trajectory.h5").exists():
        raise EpisodeError(f"'{folder}' holds a trajectory already. Choose another folder, or remove it.")
    serials, steps = serial_numbers(episode), standing_steps(episode)
    times_ms = _times_ms(episode, steps)
    # Written to memory: where the disk is full, the HDF5 library ends the process when it closes a file there.
    table = io.BytesIO()
    with h5py.File(table, "w") as file:
        _put(file, _leaves(episode, steps, serials, times_ms))
        file.attrs.update(_attributes(episode, started))
    with begun(path) as files:
        for camera, serial in serials.items():
            film = files.add(folder / "recordings" / "MP4" / f"{serial}.mp4")
            write_video(film, (episode.frame(camera, s) for s in steps), hz=episode.meta.control_hz)
            stamps = files.add(film.with_name(f"{serial}_timestamps.json"))
            stamps.write_text(json.dumps([int(t) for t in times_ms]))
        _write_metadata(episode, folder, path, serials, started, files)
        # Last: a folder with it is a whole trajectory.
        part = files.add(folder / ".trajectory.part")
        part.write_bytes(table.getbuffer())
        part.replace(folder / "trajectory.h5")
    return folder


def _times_ms(episode: Episode, steps: list[int]) -> Float[Array, " N"]:
    """Return the wall time of each step, ms since 1970; the monotonic clock is set to the episode's start."""
    ns = episode.arrays["steps/captured_ns"][steps].astype(np.int64)
    return np.round(episode.meta.started_unix * 1e3 + (ns - ns[0]) / 1e6)


def _leaves(
    episode: Episode, steps: list[int], serials: Mapping[str, str], times_ms: Float[Array, " N"]
) -> dict[str, Any]:
    """Return everything in trajectory.h5 as nested dictionaries of [N, ...] arrays."""
    a, n = episode.arrays, len(steps)
    q, gripper = a["steps/q"][steps].astype(np.float64), a["steps/gripper"][steps].astype(np.float64)
    actions = droid_actions(
        a["steps/action_sent"][steps],
        episode.meta.action_space.kind,
        q=q,
        gripper=gripper,
        T_base_tcp=a["steps/T_base_tcp"][steps],
    )
    robot_state = {
        "joint_positions": q,
        "joint_velocities": a["steps/dq"][steps].astype(np.float64),
        "gripper_position": gripper,
        "cartesian_position": flange_numbers(q),
    }
    is_success, last = episode.outcome is Outcome.SUCCESS, np.arange(n) == n - 1
    period = 1000.0 / episode.meta.control_hz
    control = {k: (times_ms + d).astype(np.int64) for k, d in (("step_start", 0.0), ("policy_start", 0.0))}
    control |= {k: (times_ms + period).astype(np.int64) for k in ("sleep_start", "control_start", "step_end")}
    stamps = {f"{s}_{k}": times_ms.astype(np.int64) for s in serials.values() for k in _CAMERA_STAMPS}
    return {
        "observation": {
            "robot_state": robot_state,
            "controller_info": {
                "success": last & is_success,
                "failure": last & (not is_success),
                "movement_enabled": np.ones(n, dtype=bool),
                "controller_on": np.ones(n, dtype=bool),
            },
            "camera_type": {s: np.full(n, _CAMERA_TYPES.get(c, 1)) for c, s in serials.items()},
            **_calibrations(episode, steps, serials),
            "timestamp": {
                "control": control,
                "cameras": stamps,
                "robot_state": {
                    "read_start": times_ms.astype(np.int64),
                    "read_end": times_ms.astype(np.int64),
                    "robot_timestamp_seconds": (times_ms // 1000).astype(np.int64),
                    "robot_timestamp_nanos": ((times_ms % 1000) * 1e6).astype(np.int64),
                },
                "skip_action": np.zeros(n, dtype=bool),
            },
        },
        "action": {"robot_state": robot_state, **_named(actions)},
    }


_CAMERA_STAMPS = ("read_start", "read_end", "frame_received", "estimated_capture")


def _named(actions: DroidActions) -> dict[str, Any]:
    named: dict[str, Any] = {k: getattr(actions, k) for k in DroidActions.__dataclass_fields__}
    return {
        **named,
        "target_cartesian_position": actions.cartesian_position,
        "target_gripper_position": actions.gripper_position,
    }


def _calibrations(episode: Episode, steps: list[int], serials: Mapping[str, str]) -> dict[str, Any]:
    """Return extrinsics and intrinsics per step, of the cameras that are calibrated throughout."""
    extrinsics, intrinsics = {}, {}
    for camera, serial in serials.items():
        known = [episode.calibration(camera, s) for s in steps]
        if all(c is not None for c in known):
            extrinsics[f"{serial}_left"] = np.array([pose_numbers(c.T_base_camera) for c in known if c])
            intrinsics[f"{serial}_left"] = np.array([_fitted_K(c, known[0]) for c in known if c])
    return {"camera_extrinsics": extrinsics, "camera_intrinsics": intrinsics}


def _fitted_K(calibration: Calibration, first: Calibration | None) -> Float[Array, "3 3"]:
    """Return K for an image in a video of the first one's size."""
    if first is None or (calibration.width, calibration.height) == (first.width, first.height):
        return calibration.K
    scale, left, top = fit(calibration.width, calibration.height, (first.width, first.height))
    native = (calibration.width, calibration.height)
    K = scale_intrinsics(calibration.K, native, (round(native[0] * scale), round(native[1] * scale)))
    K[:2, 2] += (left, top)
    return K


def _put(group: Any, leaves: Mapping[str, Any]) -> None:
    for name, value in leaves.items():
        if isinstance(value, Mapping):
            _put(group.require_group(name), value)
        else:
            group.create_dataset(name, data=value, maxshape=(None, *value.shape[1:]), chunks=True)


def _started(episode: Episode) -> time.struct_time | None:
    """Return when an episode began, local time as DROID writes it; None where that is not known, as of episodes of LeRobot datasets."""
    began = episode.meta.started_unix
    return time.localtime(began) if began > 0 else None


def _attributes(episode: Episode, started: time.struct_time | None) -> dict[str, Any]:
    is_success = episode.outcome is Outcome.SUCCESS
    return {
        "user": episode.meta.operator or "unknown",
        "building": str(episode.meta.world_options.get("building", "unknown")),
        "scene_id": int(episode.meta.seed),
        "current_task": episode.meta.instruction,
        "time": time.asctime(started).replace(" ", "_") if started else _UNKNOWN,
        "robot_serial_number": episode.meta.robot or "unknown",
        "version_number": DROID_VERSION,
        "success": is_success,
        "failure": not is_success,
        "movement_enabled": True,
        "controller_on": True,
        # DROID has no word for it. A reader needs one: joint velocities that were computed from positions are no commands, and go beyond 1.
        "action_space": episode.meta.action_space.kind.value,
    }


def _write_metadata(
    episode: Episode,
    folder: Path,
    root: Path,
    serials: Mapping[str, str],
    started: time.struct_time | None,
    files: Begun,
) -> None:
    """Write DROID's metadata record; paths in it are relative to the data root."""
    stamp = time.strftime("%Y-%m-%d-%Hh-%Mm-%Ss", started) if started else _UNKNOWN
    user = episode.meta.operator or "unknown"
    uuid = f"FRS+{episode.name[-8:].lower()}+{stamp}"
    record: dict[str, Any] = {"uuid": uuid, "lab": "FRS", "user": user, "user_id": episode.name[-8:].lower()}
    record |= {"date": stamp[:10] if started else _UNKNOWN, "timestamp": stamp}
    record |= {
        "hdf5_path": str((folder / "trajectory.h5").relative_to(root)),
        "trajectory_length": len(episode.main_steps),
    }
    attributes = _attributes(episode, started)
    record |= {k: attributes[k] for k in ("building", "scene_id", "success", "current_task")}
    record |= {"robot_serial": attributes["robot_serial_number"], "droid_version": DROID_VERSION}
    first = int(episode.main_steps[0])
    exteriors = sorted((s, c) for c, s in serials.items() if c != "wrist")
    named = [("wrist", "wrist", serials["wrist"])] if "wrist" in serials else []
    named += [(f"ext{i + 1}", camera, serial) for i, (serial, camera) in enumerate(exteriors[:2])]
    for key, camera, serial in named:
        calibration = episode.calibration(camera, first)
        film = str((folder / "recordings" / "MP4" / f"{serial}.mp4").relative_to(root))
        record[f"{key}_cam_serial"] = serial
        record[f"{key}_cam_extrinsics"] = pose_numbers(calibration.T_base_camera).tolist() if calibration else None
        record |= {f"{key}_svo_path": None, f"{key}_mp4_path": film}
        if camera in ("left", "right"):
            record[f"{camera}_mp4_path"] = film
    files.add(folder / f"metadata_{uuid}.json").write_text(json.dumps(record, indent=2))
