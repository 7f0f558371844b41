"""Episodes as a LeRobot dataset, codebase v2.1 or v3.0: one Parquet table and one video per camera and episode, and what describes them.

Problem: the library itself cannot live beside the cockpit (its pins), but fine-tuning on it, and openpi's DROID recipe, start
from these formats. Idea: write the files by pyarrow and PyAV, nothing else.

    export_lerobot(episode, Path("my_dataset"))        # makes the dataset, or adds one episode to it

DROID's names are used, as openpi's recipe has them in v2.1 (`exterior_image_1_left`, `joint_position`, `actions`) and as LeRobot's port has
them in v3.0 (`observation.images.exterior_1_left`, `observation.state`, `action`). Images are 180 pixels high. Branches not taken are left
out.

Any thread; a second or two per episode. One writer per dataset.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.episodes.begun import begun
from frs_core.episodes.lerobot_versions import (
    CHUNK_SIZE,
    STATE,
    VERSIONS,
    DatasetVersion,
    number_stats,
    part_of,
    quantiles,
    read_lines,
    replace_lines,
    replace_text,
)
from frs_core.episodes.reader import Episode, standing_steps
from frs_core.episodes.video import fitted, write_video
from frs_core.errors import ConfigError, EpisodeError
from frs_core.robot.action_names import ACTION_NAMES
from frs_core.runtime.foreign import MALFORMED, is_text_path, read_json

HEIGHT = 180
"""Pixels; DROID's 1280x720 becomes 320x180 as in openpi's DROID conversion."""
STAT_IMAGES = 100
"""Images per camera and episode that the statistics look at. Source: LeRobot samples at least as many."""

SOURCES = Path("meta") / "frs_episodes.jsonl"
"""Which recorded episode each number of the dataset is; LeRobot passes over it."""

_COUNTERS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def pyarrow_modules() -> tuple[ModuleType, ModuleType]:
    """Return pyarrow and pyarrow.parquet. Raises ConfigError where they are missing."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ConfigError(
            "LeRobot datasets need pyarrow. Install it with `pip install frs-cockpit[export]`."
        ) from error
    return pyarrow, parquet


def export_lerobot(episode: Episode, path: Path, *, version: DatasetVersion = VERSIONS["v2.1"]) -> Path:
    """Add one episode to a dataset, which is made if it is not there, and return the dataset's folder.

    Files of the episode are written first and the dataset's tables last, so an interrupted export leaves the dataset as it was.

    Args:
        episode: what to write.
        path: the dataset's folder.
        version: LeRobot's codebase version.
    Raises:
        ConfigError: pyarrow or PyAV is missing.
        EpisodeError: the path is no UTF-8 text, the dataset there is of another shape or robot, packs episodes into shared files or has the episode already, the episode contains NaN, or
            the disk refused.
        EpisodeCorrupt: the episode is damaged.
    """
    modules = pyarrow_modules()
    if not is_text_path(path.absolute()):
        raise EpisodeError(
            f"'{path}' is no UTF-8 text, and Parquet's library writes nowhere else. Choose another --out."
        )
    info, steps = _read_info(path, version), standing_steps(episode)
    sizes = {c: _size(episode, c, steps[0]) for c in episode.cameras}
    hz = _fps(episode.meta.control_hz)
    features = _features(episode, sizes, version)
    if info is None:
        info = _new_info(features, hz, version, robot=episode.meta.robot)
    elif _shapes(info["features"]) != _shapes(features) or info["fps"] != hz:
        raise EpisodeError(
            f"'{path}' holds a dataset with {sorted(info['features'])} at {info['fps']} Hz, episode '{episode.name}' has "
            f"{sorted(features)} at {hz} Hz or other sizes. Export it into another folder."
        )
    elif episode.meta.robot and info.get("robot_type") not in (None, "", episode.meta.robot):
        raise EpisodeError(
            f"'{path}' is of robot '{info['robot_type']}', episode '{episode.name}' of '{episode.meta.robot}'. Export it into another "
            f"folder, or correct robot_type in its meta/info.json."
        )
    if info["total_episodes"]:
        version.check_own(path, info, modules)
    sources = [s for s in read_lines(path / SOURCES) if s["episode_index"] < info["total_episodes"]]
    there = next((s for s in sources if s["episode"] == episode.name), None)
    if there is not None:
        raise EpisodeError(
            f"Episode '{episode.name}' is in '{path}' already, as number {there['episode_index']}. Nothing was added."
        )
    tasks = version.read_tasks(path / "meta", modules)
    own = [episode.text("steps/instruction", s) or episode.meta.instruction for s in steps]
    for task in dict.fromkeys(own):
        if task not in [t["task"] for t in tasks]:
            tasks.append({"task_index": len(tasks), "task": task})
    numbers = {t["task"]: int(t["task_index"]) for t in reversed(tasks)}
    number = int(info["total_episodes"])
    place = version.place(number)
    with begun(path) as files:
        columns = _columns(episode, info, np.array([numbers[task] for task in own]), version)
        stats = {name: number_stats(np.asarray(values)) for name, values in columns.items()}
        table = path / version.data_path.format(**place)
        _write_table(files.add(part_of(table)), columns, modules)
        for camera in episode.cameras:
            key = version.camera_key(camera)
            film = path / version.video_path.format(video_key=key, **place)
            stats[key] = _write_film(episode, camera, files.add(film), sizes[camera])
        sources.append({"episode_index": number, "episode": episode.name})
        replace_lines(path / SOURCES, sources, files)
        meta = version.write_meta(
            path, info, tasks, stats, columns=columns, own_tasks=list(dict.fromkeys(own)), arrow=modules, files=files
        )
        for file in (table, *meta):
            os.replace(part_of(file), files.add(file))
        counted = _counted(info, len(tasks), len(columns["index"]))
        replace_text(path / "meta" / "info.json", json.dumps(counted, indent=4), files)
    return path


def export_lerobot_v3(episode: Episode, path: Path) -> Path:
    """Add one episode to a dataset of codebase v3.0; see `export_lerobot`."""
    return export_lerobot(episode, path, version=VERSIONS["v3.0"])


def _fps(hz: float) -> int | float:
    """Return a rate as LeRobot's JSON has it: whole where it is."""
    return int(hz) if float(hz).is_integer() else float(hz)


def _shapes(features: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes two datasets fit; other tools add keys of their own."""
    return {k: (f.get("dtype"), list(f.get("shape", [])), f.get("names")) for k, f in features.items()}


def _size(episode: Episode, camera: str, step: int) -> tuple[int, int]:
    """Return (width, height) of a camera's video: HEIGHT rows, sides even."""
    height, width = episode.frame(camera, step).shape[:2]
    return max(2, round(width * HEIGHT / height / 2) * 2), HEIGHT


def _features(episode: Episode, sizes: Mapping[str, tuple[int, int]], version: DatasetVersion) -> dict[str, Any]:
    space, hz = episode.meta.action_space, _fps(episode.meta.control_hz)
    features: dict[str, Any] = {}
    for camera in episode.cameras:
        width, height = sizes[camera]
        video = {"video.fps": hz, "video.height": height, "video.width": width, "video.channels": 3}
        video |= {"video.codec": "h264", "video.pix_fmt": "yuv420p", "video.is_depth_map": False, "has_audio": False}
        features[version.camera_key(camera)] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channel"],
            "info": video,
        }
    joints = [f"joint_{i}" for i in range(1, 8)]
    numbers = {"joint_position": joints, "gripper_position": ["gripper_position"], "actions": ACTION_NAMES[space.kind]}
    for ours, names in numbers.items():
        features[version.columns[ours]] = {"dtype": "float32", "shape": [len(names)], "names": names}
    if version.has_state:
        features[STATE] = {"dtype": "float32", "shape": [8], "names": [*joints, "gripper_position"]}
    return features | {name: {"dtype": t, "shape": [1], "names": None} for name, t in _COUNTERS.items()}


def _new_info(features: dict[str, Any], hz: int | float, version: DatasetVersion, *, robot: str) -> dict[str, Any]:
    return {
        "codebase_version": version.name,
        "robot_type": robot or None,
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        **version.extra_info,
        "chunks_size": CHUNK_SIZE,
        "fps": hz,
        "splits": {},
        "data_path": version.data_path,
        "video_path": version.video_path,
        "features": features,
    }


def _counted(info: Mapping[str, Any], tasks: int, length: int) -> dict[str, Any]:
    """Return info.json with one more episode."""
    total = int(info["total_episodes"]) + 1
    counts = {"total_episodes": total, "total_frames": int(info["total_frames"]) + length, "total_tasks": tasks}
    if "total_videos" in info:
        videos = sum(f["dtype"] == "video" for f in info["features"].values())
        counts |= {"total_videos": total * videos, "total_chunks": (total - 1) // CHUNK_SIZE + 1}
    return {**info, **counts, "splits": {"train": f"0:{total}"}}


def _columns(
    episode: Episode, info: Mapping[str, Any], task_index: Int[Array, " n"], version: DatasetVersion
) -> dict[str, Array]:
    steps = standing_steps(episode)
    a, n = episode.arrays, len(steps)
    q, gripper = a["steps/q"][steps].astype(np.float32), a["steps/gripper"][steps].astype(np.float32)
    columns = {
        version.columns["joint_position"]: q,
        version.columns["gripper_position"]: gripper,
        version.columns["actions"]: a["steps/action_sent"][steps].astype(np.float32),
        **({STATE: np.concatenate([q, gripper.reshape(n, 1)], axis=1)} if version.has_state else {}),
        "timestamp": (np.arange(n) / info["fps"]).astype(np.float32),
        "frame_index": np.arange(n),
        "episode_index": np.full(n, info["total_episodes"]),
        "index": np.arange(n) + info["total_frames"],
        "task_index": task_index,
    }
    for name, values in columns.items():
        bad = np.flatnonzero(~np.isfinite(values.reshape(n, -1)).all(axis=1))
        if len(bad):
            raise EpisodeError(
                f"Episode '{episode.name}': '{name}' is not a number in {len(bad)} of {counted(n, 'step')}, first in step "
                f"{steps[bad[0]]}. Leave it out of the dataset, or bin it."
            )
    return columns


def _write_table(path: Path, columns: Mapping[str, Array], modules: tuple[ModuleType, ModuleType]) -> None:
    arrow, parquet = modules
    arrays = {
        name: arrow.array(values)
        if values.ndim == 1
        else arrow.FixedSizeListArray.from_arrays(arrow.array(values.reshape(-1)), values.shape[1])
        for name, values in columns.items()
    }
    parquet.write_table(arrow.table(arrays), path)


def _write_film(episode: Episode, camera: str, path: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Write a camera's video and return its statistics, in 0..1 per colour."""
    steps = standing_steps(episode)
    looked_at = set(steps[:: max(1, len(steps) // STAT_IMAGES)])
    sample: list[UInt8[Array, "H W 3"]] = []

    def images() -> Any:
        first: tuple[int, int] | None = None
        for step in steps:
            image = episode.frame(camera, step)
            first = first or (image.shape[1], image.shape[0])
            image = fitted(image, first)
            if first != size:
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            if step in looked_at:
                sample.append(image)
            yield image

    write_video(path, images(), hz=episode.meta.control_hz)
    seen = np.stack(sample).astype(np.float64) / 255.0
    return {
        **{
            name: getattr(seen, name)(axis=(0, 1, 2)).reshape(3, 1, 1).tolist()
            for name in ("min", "max", "mean", "std")
        },
        **{k: v.reshape(3, 1, 1).tolist() for k, v in quantiles(seen.reshape(-1, 3)).items()},
        "count": [len(sample)],
    }


def _read_info(path: Path, wanted: DatasetVersion) -> dict[str, Any] | None:
    file = path / "meta" / "info.json"
    if not file.is_file():
        if path.is_dir() and {
            p.name for p in path.iterdir() if not p.name.startswith(".") and p.stem not in ("README", "LICENSE")
        } - {"data", "videos", "meta"}:
            raise EpisodeError(f"'{path}' is not empty and holds no LeRobot dataset. Choose another folder.")
        return None
    try:
        info = read_json(file)
        version = info["codebase_version"]
    except (OSError, *MALFORMED) as error:
        raise EpisodeError(f"'{file}' cannot be read: {error}. Choose another folder.") from error
    if version != wanted.name:
        raise EpisodeError(
            f"'{path}' is a dataset of version {version}, this writes {wanted.name}. Choose another folder, or the format of that version "
            f"(lerobot for v2.1, lerobot-v3 for v3.0)."
        )
    return info
