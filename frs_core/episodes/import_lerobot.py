"""Episodes of a LeRobot dataset (codebase v2.1 or v3.0, a local folder) as episodes, one each.

    import_lerobot(Path("my_dataset"), store)        # -> ("20260420T141109Z_01GYF...", ...)

Problem: a dataset's columns mean what their names say, and often they say nothing. Idea: seven joints, a gripper and actions are taken
where the names state them, in the words of our export and of the DROID dataset; anything else is refused with what was found. v2.1 has
one table and one video per episode; v3.0 packs several into one and says in `meta/episodes` where each begins.

Any thread; seconds per episode.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.episodes.demonstration import DEMONSTRATION, Demonstration, demonstrated_space, record_demonstration
from frs_core.episodes.export_lerobot import pyarrow_modules
from frs_core.episodes.layout import check_part
from frs_core.episodes.records import EpisodeMeta
from frs_core.episodes.store import EpisodeStore
from frs_core.episodes.video import read_video
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from frs_core.robot.kinematics import ROBOTIQ_OFFSET
from frs_core.robot.observation import CameraFrame
from frs_core.runtime.foreign import DOCUMENT, MALFORMED, parse_json, plain_file, read_json, read_text
from frs_core.steering.plan import SteeringPlan

VERSIONS = ("v2.1", "v3.0")
_JOINTS = ("joint_position", "observation.state.joint_position")
_GRIPPERS = ("gripper_position", "observation.state.gripper_position")
_ACTIONS = ("actions", "action")
_CAMERAS = {
    "exterior_image_1_left": "left",
    "exterior_image_2_left": "right",
    "wrist_image_left": "wrist",
    "exterior_1_left": "left",
    "exterior_2_left": "right",
    "wrist_left": "wrist",
}


@dataclass(frozen=True, slots=True)
class _Episode:
    """Where one episode lies."""

    number: int
    length: int
    tasks: tuple[str, ...]
    table: Path
    films: Mapping[str, tuple[Path, float]]
    """Image feature -> (video, seconds into it)."""


def import_lerobot(
    source: Path,
    store: EpisodeStore,
    *,
    instruction: str | None = None,
    outcome: Outcome | None = None,
    rows: int = 8,
    tool_offset: float = ROBOTIQ_OFFSET,
) -> tuple[str, ...]:
    """Record every episode of a dataset into a store and return the new names; one that fails leaves nothing of itself.

    Args:
        source: the dataset's folder.
        store: where to record.
        instruction: what the policy is to do; default the dataset's task.
        outcome: how the episodes ended, which the format has no place for.
        rows: steps per chunk.
        tool_offset: flange to fingertips, metres.
    Raises:
        ConfigError: pyarrow or PyAV is missing.
        EpisodeCorrupt: the dataset is damaged.
        EpisodeError: no such dataset, its columns' meaning is not stated, its numbers are too large for their units, or the store cannot
            be written.
    """
    if outcome is None:
        raise EpisodeError(
            f"LeRobot datasets do not say how an episode ended. Give --outcome success (as for demonstrations) or failure, for '{source}'."
        )
    _, parquet = pyarrow_modules()
    names: list[str] = []
    try:
        info = read_json(source / "meta" / "info.json")
        version, features, hz = info["codebase_version"], info["features"], _rate(info["fps"])
        if version not in VERSIONS:
            raise EpisodeError(
                f"'{source}' is of version {version}, {' and '.join(VERSIONS)} are read. Convert it with LeRobot first."
            )
        kind = _kind(features, source)
        episodes = list((_packed if version == "v3.0" else _single)(source, info, parquet))
        left_out = sorted(name for name, feature in features.items() if feature["dtype"] == "image")
        lost = f"; frames kept in the table were left out: {', '.join(left_out)}" if left_out else ""
        for episode in episodes:
            said = instruction if instruction is not None else "; ".join(episode.tasks)
            demonstration = _demonstration(episode, features, hz, parquet)
            names.append(
                record_demonstration(
                    demonstration,
                    store,
                    _meta(source, episode, features, kind, hz, rows, said, robot=_robot(info)),
                    outcome=outcome,
                    note=f"Imported from LeRobot: {source.resolve().name}, episode {episode.number}{lost}",
                    tool_offset=tool_offset,
                )
            )
    except EpisodeError as error:
        if not names:
            raise
        raise type(error)(f"{error}{_kept(names)}") from error
    except (OSError, *MALFORMED) as error:
        raise EpisodeCorrupt(
            f"'{source}' is not a complete LeRobot dataset: {error}. Download it again.{_kept(names)}"
        ) from error
    return tuple(names)


def _kept(names: list[str]) -> str:
    return f" Imported before it and kept: {counted(len(names), 'episode')}, up to {names[-1]}." if names else ""


def _rate(stated: object) -> float:
    """Return steps per second. Raises ValueError where it is no rate."""
    hz = float(stated)  # pyright: ignore[reportArgumentType]  whatever a file holds
    if not 0.0 < hz < math.inf:
        raise ValueError(f"its fps is {stated}, expected a number above 0")
    return hz


def _tasks(stated: Any) -> tuple[str, ...]:
    """Return an episode's tasks, of which some tools write a single one without a list."""
    return (stated,) if isinstance(stated, str) else tuple(map(str, stated))


def _kind(features: Mapping[str, Any], source: Path) -> ActionKind:
    """Return what the actions mean, by their names. Raises EpisodeError where they do not say."""
    key = _first(features, _ACTIONS, "actions")
    _first(features, _JOINTS, "measured joint positions")
    _first(features, _GRIPPERS, "a measured gripper position")
    names = [str(n) for n in _flat(features[key].get("names"))]
    stated = {
        ActionKind.JOINT_VELOCITY: [*(f"joint_velocity_{i}" for i in range(1, 8)), "gripper_position"],
        ActionKind.JOINT_POSITION: [*(f"joint_position_{i}" for i in range(1, 8)), "gripper_position"],
        ActionKind.EE_DELTA: ["dx", "dy", "dz", "rx", "ry", "rz", "gripper_position"],
    }
    for kind, expected in stated.items():
        if names == expected:
            return kind
    raise EpisodeError(
        f"'{source}' does not state what its {key} mean: their names are {names[:10]}, understood are "
        f"{', '.join(f'{n[0]} … {n[-1]}' for n in stated.values())}. Name them in meta/info.json as they were recorded."
    )


def _flat(names: Any) -> list[Any]:
    if isinstance(names, Mapping):
        return [n for part in names.values() for n in _flat(part)]
    return list(names) if isinstance(names, list) else []


def _first(features: Mapping[str, Any], wanted: tuple[str, ...], what: str) -> str:
    for name in wanted:
        if name in features:
            return name
    raise EpisodeError(
        f"The dataset has no {what}: looked for {' and '.join(wanted)}, found {', '.join(sorted(features))[:300]}. Only datasets of a "
        f"seven-joint arm with these columns are imported."
    )


def _image_features(features: Mapping[str, Any]) -> list[str]:
    """Return the features with videos. Raises ValueError where two of them are the same camera."""
    found = [name for name, feature in features.items() if feature["dtype"] == "video"]
    if len({_camera(name) for name in found}) < len(found):
        raise ValueError(f"two of its films are of one camera: {', '.join(found)}")
    return found


def _camera(feature: str) -> str:
    last = feature.rpartition("observation.images.")[2]
    return check_part(_CAMERAS.get(last, last))


def _single(source: Path, info: Mapping[str, Any], _: Any) -> Iterator[_Episode]:
    """Yield the episodes of v2.1."""
    for line in read_text(source / "meta/episodes.jsonl", limit=DOCUMENT).split("\n"):
        if not line.strip():
            continue
        entry = parse_json(line)
        at = {"episode_chunk": entry["episode_index"] // info["chunks_size"], "episode_index": entry["episode_index"]}
        films = {
            name: (_inside(source, info["video_path"].format(video_key=name, **at)), 0.0)
            for name in _image_features(info["features"])
        }
        table = _inside(source, info["data_path"].format(**at))
        yield _Episode(int(entry["episode_index"]), int(entry["length"]), _tasks(entry["tasks"]), table, films)


def _packed(source: Path, info: Mapping[str, Any], parquet: Any) -> Iterator[_Episode]:
    """Yield the episodes of v3.0."""
    for path in sorted((source / "meta/episodes").rglob("*.parquet")):
        for entry in parquet.read_table(plain_file(path)).to_pylist():
            films = {}
            for name in _image_features(info["features"]):
                at = {
                    "chunk_index": entry[f"videos/{name}/chunk_index"],
                    "file_index": entry[f"videos/{name}/file_index"],
                }
                film = _inside(source, info["video_path"].format(video_key=name, **at))
                films[name] = (film, float(entry[f"videos/{name}/from_timestamp"]))
            at = {"chunk_index": entry["data/chunk_index"], "file_index": entry["data/file_index"]}
            table = _inside(source, info["data_path"].format(**at))
            yield _Episode(int(entry["episode_index"]), int(entry["length"]), _tasks(entry["tasks"]), table, films)


def _inside(source: Path, name: str) -> Path:
    """Return a path below the dataset. Raises ValueError for one that lies elsewhere."""
    path = source / name
    if not path.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"'{name}' lies outside the dataset")
    return path


def _demonstration(episode: _Episode, features: Mapping[str, Any], hz: float, parquet: Any) -> Demonstration:
    wanted = [_first(features, group, "column") for group in (_JOINTS, _GRIPPERS, _ACTIONS)]
    counted_by = [name for name in ("frame_index",) if name in features]
    table = parquet.read_table(plain_file(episode.table), columns=[*wanted, "episode_index", *counted_by])
    mine = np.flatnonzero(table["episode_index"].to_numpy() == episode.number)
    if len(mine) != episode.length or not len(mine):
        raise ValueError(
            f"'{episode.table.name}' has {len(mine)} rows of episode {episode.number}, expected {episode.length}"
        )
    for name in counted_by:
        if (wrong := np.flatnonzero(np.diff(table[name].to_numpy()[mine]) != 1)).size:
            raise ValueError(f"'{name}' of episode {episode.number} does not count up after row {wrong[0]}")
    q, gripper, actions = (np.array(table[name].to_pylist(), dtype=np.float64)[mine] for name in wanted)
    gripper = gripper.reshape(len(mine), -1)[:, 0]
    for name, values in zip(wanted, (q, gripper, actions), strict=True):
        if (bad := np.flatnonzero(~np.isfinite(values.reshape(len(mine), -1)).all(axis=1))).size:
            raise ValueError(f"'{name}' of episode {episode.number} is not a number in row {bad[0]}")
    if q.shape[1:] != (7,):
        raise ValueError(f"'{wanted[0]}' has shape {q.shape}, expected 7 joints")
    times_ns = np.round(np.arange(len(mine)) * 1e9 / hz).astype(np.int64)
    films = {_camera(k): _film(path, round(start * hz), episode) for k, (path, start) in episode.films.items()}
    now: dict[str, tuple[int, UInt8[Array, "H W 3"]]] = {}

    def frames(step: int) -> dict[str, CameraFrame]:
        for camera, film in films.items():
            while camera not in now or now[camera][0] < step:
                now[camera] = (now[camera][0] + 1 if camera in now else 0, next(film))
        return {camera: CameraFrame(image, int(times_ns[step])) for camera, (_, image) in now.items()}

    return Demonstration(
        q, _speeds(q, hz), gripper, actions.astype(np.float32), times_ns, frozenset(), frames, "lerobot"
    )


def _film(path: Path, first: int, episode: _Episode) -> Iterator[UInt8[Array, "H W 3"]]:
    """Yield an episode's own images of a video. Raises EpisodeCorrupt where it ends early."""
    count = 0
    for image in islice(read_video(path), first, first + episode.length):
        count += 1
        yield image
    raise EpisodeCorrupt(
        f"'{path}' has {count} frames of episode {episode.number}, expected {episode.length}. Download it again."
    )


def _speeds(q: Float[Array, "N 7"], hz: float) -> Float[Array, "N 7"]:
    """Return joint speeds, rad/s, by differences: the format has no column for them."""
    return np.diff(q, axis=0, prepend=q[:1]) * hz


def _robot(info: Mapping[str, Any]) -> str:
    """Return the robot that a dataset states; empty where it states none."""
    stated = info.get("robot_type")
    return stated if isinstance(stated, str) and stated != "unknown" else ""


def _meta(
    source: Path,
    episode: _Episode,
    features: Mapping[str, Any],
    kind: ActionKind,
    hz: float,
    rows: int,
    instruction: str,
    *,
    robot: str,
) -> EpisodeMeta:
    space = demonstrated_space(kind, hz=hz)
    return EpisodeMeta(
        task=None,
        instruction=instruction,
        seed=0,
        world="lerobot",
        robot=robot,
        is_simulated=False,
        policy=DEMONSTRATION,
        policy_fingerprint=DEMONSTRATION,
        horizon=rows,
        width=space.size,
        execute_rows=rows,
        integration_steps=SteeringPlan().steps,
        action_space=space,
        plan=SteeringPlan(),
        cameras={_camera(name): None for name in _image_features(features)},
        control_hz=hz,
        started_unix=0.0,
        world_options={"imported_from": source.resolve().name, "episode": episode.number},
    )
