"""Episodes as a LeRobot dataset, codebase v2.1: one Parquet table and one video per camera and episode, and JSON beside them.

Problem: the library itself cannot live beside the cockpit (its pins), but fine-tuning on it, and openpi's DROID recipe, start
from this format. Idea: write the files by pyarrow and PyAV, nothing else; LeRobot converts v2.1 to its later versions.

    export_lerobot(episode, Path("my_dataset"))        # makes the dataset, or adds one episode to it

DROID's names are used: `exterior_image_1_left` (left), `exterior_image_2_left` (right), `wrist_image_left`, `joint_position`,
`gripper_position`, `actions`. Images are 180 pixels high. Branches not taken are left out.

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
from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.episodes.reader import Episode, standing_steps
from frs_core.episodes.video import fitted, write_video
from frs_core.errors import ConfigError, EpisodeError
from frs_core.robot.actions import ActionKind
from frs_core.runtime.foreign import DOCUMENT, MALFORMED, parse_json, read_json, read_text

CODEBASE = "v2.1"
CHUNK_SIZE = 1000
"""Episodes per folder. Source: LeRobot's default."""
HEIGHT = 180
"""Pixels; DROID's 1280x720 becomes 320x180 as in openpi's DROID conversion."""
STAT_PICTURES = 100
"""Images per camera and episode that the statistics look at. Source: LeRobot samples at least as many."""

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
"""Of every column, beside mean and spread. Source: LeRobot's statistics; openpi normalises by q01 and q99."""
SOURCES = Path("meta") / "frs_episodes.jsonl"
"""Which recorded episode each number of the dataset is; LeRobot passes over it."""

_KEYS = {"left": "exterior_image_1_left", "right": "exterior_image_2_left", "wrist": "wrist_image_left"}
_DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
_ARM_NAMES = {
    ActionKind.EE_DELTA: ["dx", "dy", "dz", "rx", "ry", "rz", "gripper_position"],
    ActionKind.JOINT_VELOCITY: [*(f"joint_velocity_{i}" for i in range(1, 8)), "gripper_position"],
    ActionKind.JOINT_POSITION: [*(f"joint_position_{i}" for i in range(1, 8)), "gripper_position"],
}
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


def export_lerobot(episode: Episode, path: Path) -> Path:
    """Add one episode to a dataset, which is made if it is not there, and return the dataset's folder.

    Files of the episode are written first and the dataset's tables last, so an interrupted export leaves the dataset as it was.

    Args:
        episode: what to write.
        path: the dataset's folder.
    Raises:
        ConfigError: pyarrow or PyAV is missing.
        EpisodeError: the dataset there is of another shape or has the episode already, the episode contains NaN, or
            the disk refused.
        EpisodeCorrupt: the episode is damaged.
    """
    modules = pyarrow_modules()
    info, steps = _read_info(path), standing_steps(episode)
    sizes = {c: _size(episode, c, steps[0]) for c in episode.cameras}
    hz = _fps(episode.meta.control_hz)
    features = _features(episode, sizes)
    if info is None:
        info = _new_info(features, hz)
    elif _shapes(info["features"]) != _shapes(features) or info["fps"] != hz:
        raise EpisodeError(
            f"'{path}' holds a dataset with {sorted(info['features'])} at {info['fps']} Hz, episode '{episode.name}' has "
            f"{sorted(features)} at {hz} Hz or other sizes. Export it into another folder."
        )
    sources = [s for s in _read_lines(path / SOURCES) if s["episode_index"] < info["total_episodes"]]
    there = next((s for s in sources if s["episode"] == episode.name), None)
    if there is not None:
        raise EpisodeError(
            f"Episode '{episode.name}' is in '{path}' already, as number {there['episode_index']}. Nothing was added."
        )
    tasks = _read_lines(path / "meta" / "tasks.jsonl")
    task = episode.meta.instruction
    if task not in [t["task"] for t in tasks]:
        tasks.append({"task_index": len(tasks), "task": task})
    number = int(info["total_episodes"])
    try:
        columns = _columns(episode, info, next(t["task_index"] for t in tasks if t["task"] == task))
        stats = {name: _number_stats(np.asarray(values)) for name, values in columns.items()}
        _write_table(
            path / _DATA_PATH.format(episode_chunk=number // CHUNK_SIZE, episode_index=number), columns, modules
        )
        for camera in episode.cameras:
            key = _key(camera)
            film = _VIDEO_PATH.format(episode_chunk=number // CHUNK_SIZE, episode_index=number, video_key=key)
            stats[key] = _write_film(episode, camera, path / film, sizes[camera])
        sources.append({"episode_index": number, "episode": episode.name})
        _replace(path / SOURCES, "".join(json.dumps(s) + "\n" for s in sources))
        _write_meta(path, info, tasks, stats, len(columns["index"]), task)
    except OSError as error:
        raise EpisodeError(f"'{path}' could not be written: {error}. Free space or choose another folder.") from error
    return path


def _key(camera: str) -> str:
    return _KEYS.get(camera, f"{camera}_image")


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


def _features(episode: Episode, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    space, hz = episode.meta.action_space, _fps(episode.meta.control_hz)
    features: dict[str, Any] = {}
    for camera in episode.cameras:
        width, height = sizes[camera]
        video = {"video.fps": hz, "video.height": height, "video.width": width, "video.channels": 3}
        video |= {"video.codec": "h264", "video.pix_fmt": "yuv420p", "video.is_depth_map": False, "has_audio": False}
        features[_key(camera)] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channel"],
            "info": video,
        }
    joints = [f"joint_{i}" for i in range(1, 8)]
    features["joint_position"] = {"dtype": "float32", "shape": [7], "names": joints}
    features["gripper_position"] = {"dtype": "float32", "shape": [1], "names": ["gripper_position"]}
    features["actions"] = {"dtype": "float32", "shape": [space.size], "names": _ARM_NAMES[space.kind]}
    return features | {name: {"dtype": t, "shape": [1], "names": None} for name, t in _COUNTERS.items()}


def _new_info(features: dict[str, Any], hz: int | float) -> dict[str, Any]:
    return {
        "codebase_version": CODEBASE,
        "robot_type": "panda",
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "total_videos": 0,
        "total_chunks": 0,
        "chunks_size": CHUNK_SIZE,
        "fps": hz,
        "splits": {},
        "data_path": _DATA_PATH,
        "video_path": _VIDEO_PATH,
        "features": features,
    }


def _columns(episode: Episode, info: Mapping[str, Any], task_index: int) -> dict[str, Array]:
    steps = standing_steps(episode)
    a, n = episode.arrays, len(steps)
    columns = {
        "joint_position": a["steps/q"][steps].astype(np.float32),
        "gripper_position": a["steps/gripper"][steps].astype(np.float32),
        "actions": a["steps/action_sent"][steps].astype(np.float32),
        "timestamp": (np.arange(n) / info["fps"]).astype(np.float32),
        "frame_index": np.arange(n),
        "episode_index": np.full(n, info["total_episodes"]),
        "index": np.arange(n) + info["total_frames"],
        "task_index": np.full(n, task_index),
    }
    for name, values in columns.items():
        bad = np.flatnonzero(~np.isfinite(values.reshape(n, -1)).all(axis=1))
        if len(bad):
            raise EpisodeError(
                f"Episode '{episode.name}': '{name}' is not a number in {len(bad)} of {n} steps, first in step "
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
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table(arrays), path)


def _write_film(episode: Episode, camera: str, path: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Write a camera's video and return its statistics, in 0..1 per colour."""
    steps = standing_steps(episode)
    looked_at = set(steps[:: max(1, len(steps) // STAT_PICTURES)])
    sample: list[UInt8[Array, "H W 3"]] = []

    def pictures() -> Any:
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

    write_video(path, pictures(), hz=episode.meta.control_hz)
    seen = np.stack(sample).astype(np.float64) / 255.0
    return {
        **{
            name: getattr(seen, name)(axis=(0, 1, 2)).reshape(3, 1, 1).tolist()
            for name in ("min", "max", "mean", "std")
        },
        **{k: v.reshape(3, 1, 1).tolist() for k, v in _quantiles(seen.reshape(-1, 3)).items()},
        "count": [len(sample)],
    }


def _number_stats(values: Array) -> dict[str, Any]:
    table = values.reshape(len(values), -1)
    return {
        "min": table.min(axis=0).tolist(),
        "max": table.max(axis=0).tolist(),
        "mean": table.mean(axis=0).tolist(),
        "std": table.std(axis=0).tolist(),
        **{k: v.tolist() for k, v in _quantiles(table).items()},
        "count": [len(table)],
    }


def _quantiles(table: Array) -> dict[str, Array]:
    return {f"q{round(100 * q):02d}": np.quantile(table, q, axis=0) for q in QUANTILES}


def _write_meta(
    path: Path, info: dict[str, Any], tasks: list[Any], stats: dict[str, Any], length: int, task: str
) -> None:
    """Add the episode to the dataset's tables; info.json last, since it is what makes the episode count."""
    meta, number = path / "meta", int(info["total_episodes"])
    episodes = [e for e in _read_lines(meta / "episodes.jsonl") if e["episode_index"] < number]
    all_stats = [e for e in _read_lines(meta / "episodes_stats.jsonl") if e["episode_index"] < number]
    episodes.append({"episode_index": number, "tasks": [task], "length": length})
    all_stats.append({"episode_index": number, "stats": stats})
    videos = sum(f["dtype"] == "video" for f in info["features"].values())
    total = number + 1
    info = info | {
        "total_episodes": total,
        "total_frames": int(info["total_frames"]) + length,
        "total_tasks": len(tasks),
        "total_videos": total * videos,
        "total_chunks": number // CHUNK_SIZE + 1,
        "splits": {"train": f"0:{total}"},
    }
    _replace(meta / "tasks.jsonl", "".join(json.dumps(t) + "\n" for t in tasks))
    _replace(meta / "episodes.jsonl", "".join(json.dumps(e) + "\n" for e in episodes))
    _replace(meta / "episodes_stats.jsonl", "".join(json.dumps(e) + "\n" for e in all_stats))
    _replace(meta / "info.json", json.dumps(info, indent=4))


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    os.replace(part, path)


def _read_info(path: Path) -> dict[str, Any] | None:
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
    if version != CODEBASE:
        raise EpisodeError(
            f"'{path}' is a dataset of version {version}, this writes {CODEBASE}. Choose another folder."
        )
    return info


def _read_lines(path: Path) -> list[Any]:
    if not path.is_file():
        return []
    try:
        return [parse_json(line) for line in read_text(path, limit=DOCUMENT).split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise EpisodeError(f"'{path}' cannot be read: {error}. Choose another folder.") from error
